"""Versioned assets: models, data, environments. A version never changes but for being archived or deleted.

Deleted versions leave their number behind: it is not used again, so a reference never comes to mean
something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from penstock.entities.asset import AssetKind, AssetType, AssetVersion
from penstock.entities.errors import ConflictError, NotFoundError
from penstock.stores.metadata.statements import put_row
from penstock.stores.metadata.tables import asset_names as names
from penstock.stores.metadata.tables import asset_versions as table

_LARGEST_NUMBER = 2**31 - 1


def create_version(
    connection: Connection,
    *,
    kind: AssetKind,
    name: str,
    version: str | None,
    now: int,
    created_by: str,
    type: AssetType | None = None,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
    tree: str | None = None,
    size: int = 0,
    uri: str | None = None,
    definition: dict[str, Any] | None = None,
    job_name: str | None = None,
    source_path: str | None = None,
) -> AssetVersion:
    """Register a version and return it; without ``version`` it gets the next whole number.

    Raises
    ------
    ConflictError
        If that version exists, or existed and was deleted.
    """
    last = _last_number(connection, kind, name)
    if version is None:
        version = str(last + 1)
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 11 else 0
    put_row(connection, names, kind=str(kind), name=name, last_number=max(last, min(number, _LARGEST_NUMBER)))
    _refuse_taken(connection, kind, name, version)
    made = AssetVersion(
        kind=kind,
        name=name,
        version=version,
        type=type,
        description=description,
        tags=dict(tags or {}),
        properties=dict(properties or {}),
        tree=tree,
        size=size,
        uri=uri,
        definition=definition,
        job_name=job_name,
        source_path=source_path,
        created_at=now,
        created_by=created_by,
    )
    connection.execute(
        table.insert().values(
            kind=str(kind),
            name=name,
            version=version,
            tree=tree,
            job_name=job_name,
            created_at=now,
            is_archived=False,
            is_deleted=False,
            document=made.model_dump_json(by_alias=True, exclude_none=True),
        )
    )
    return made


def get_version(connection: Connection, kind: AssetKind, name: str, version: str) -> AssetVersion:
    """Return one version, archived or not.

    Raises
    ------
    NotFoundError
        If there is none, or it was deleted.
    """
    row = connection.execute(select(table).where(*_one(kind, name, version), ~table.c.is_deleted)).one_or_none()
    if row is None:
        raise NotFoundError(
            f'no {kind} "{name}" with version "{version}"',
            hint=f"List them with: penstock {kind} list --name {name}",
            ref=f"{kind}:{name}:{version}",
        )
    return _version(row)


def latest_version(connection: Connection, kind: AssetKind, name: str) -> AssetVersion:
    """Return the last created version that is neither deleted nor archived.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    found = list_versions(connection, kind, name, limit=1)
    if not found:
        raise NotFoundError(
            f'no {kind} named "{name}" has a version in use',
            hint=f"Archived ones are reached by their version. List them with: penstock {kind} list",
            ref=f"{kind}:{name}",
        )
    return found[0]


def list_assets(
    connection: Connection,
    kind: AssetKind,
    *,
    limit: int,
    after: str | None = None,
    include_archived: bool = False,
) -> list[AssetVersion]:
    """Return the last created version of each name, sorted by name; ``after`` is the last name of the page before."""
    newest = select(func.max(table.c.id)).where(table.c.kind == str(kind), ~table.c.is_deleted)
    if not include_archived:
        newest = newest.where(~table.c.is_archived)
    if after is not None:
        newest = newest.where(table.c.name > after)
    newest = newest.group_by(table.c.name).order_by(table.c.name).limit(limit)
    statement = select(table).where(table.c.id.in_(newest)).order_by(table.c.name)
    return [_version(row) for row in connection.execute(statement)]


def list_versions(
    connection: Connection,
    kind: AssetKind,
    name: str,
    *,
    limit: int,
    after: str | None = None,
    include_archived: bool = False,
) -> list[AssetVersion]:
    """Return the versions of one name, last created first; ``after`` is the last version of the page before."""
    statement = select(table).where(table.c.kind == str(kind), table.c.name == name, ~table.c.is_deleted)
    if not include_archived:
        statement = statement.where(~table.c.is_archived)
    if after is not None:
        reached = select(table.c.id).where(*_one(kind, name, after)).scalar_subquery()
        statement = statement.where(table.c.id < reached)
    rows = connection.execute(statement.order_by(table.c.id.desc()).limit(limit))
    return [_version(row) for row in rows]


def set_archived(
    connection: Connection, kind: AssetKind, name: str, version: str, is_archived: bool = True
) -> AssetVersion:
    """Hide a version from lists and ``@latest``, or show it again; it stays usable by its version."""
    get_version(connection, kind, name, version)
    connection.execute(update(table).where(*_one(kind, name, version)).values(is_archived=is_archived))
    return get_version(connection, kind, name, version)


def delete_version(connection: Connection, kind: AssetKind, name: str, version: str) -> None:
    """Delete a version; idempotent. Its files stay until nothing names them."""
    connection.execute(
        update(table).where(*_one(kind, name, version)).values(is_deleted=True, tree=None, document="{}")
    )


def asset_names(connection: Connection, kind: AssetKind) -> list[str]:
    """Return the names that have a version, sorted; for hints."""
    statement = (
        select(table.c.name).where(table.c.kind == str(kind), ~table.c.is_deleted).distinct().order_by(table.c.name)
    )
    return list(connection.execute(statement).scalars())


def _one(kind: AssetKind, name: str, version: str) -> tuple[Any, ...]:
    return table.c.kind == str(kind), table.c.name == name, table.c.version == version


def _last_number(connection: Connection, kind: AssetKind, name: str) -> int:
    statement = select(names.c.last_number).where(names.c.kind == str(kind), names.c.name == name)
    return int(connection.execute(statement).scalar_one_or_none() or 0)


def _refuse_taken(connection: Connection, kind: AssetKind, name: str, version: str) -> None:
    is_deleted = connection.execute(select(table.c.is_deleted).where(*_one(kind, name, version))).scalar_one_or_none()
    if is_deleted is not None:
        raise ConflictError(
            f'the {kind} "{name}" {"had" if is_deleted else "has"} a version "{version}"'
            f"{', which was deleted; versions are not used again' if is_deleted else ' already'}",
            hint="Leave the version out to get the next one.",
            ref=f"{kind}:{name}:{version}",
        )


def _version(row: Row[Any]) -> AssetVersion:
    found = AssetVersion.model_validate_json(row.document)
    return found.model_copy(update={"is_archived": row.is_archived}) if row.is_archived else found
