"""Versioned assets: models, data, environments. What a version holds never changes; how it is described may.

A deleted version keeps all that it was until a collection removes it, and can be restored. Its number is not used
again, so a reference never comes to mean something else. Names, with their own tags, description and aliases, are in
:mod:`penstock.stores.metadata.registered_models`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from penstock.entities.asset import AssetKind, AssetType, AssetVersion
from penstock.entities.errors import ConflictError, NotFoundError
from penstock.stores.metadata.asset_rows import read_versions
from penstock.stores.metadata.engine.statements import HotStatement, insert_into, put_row
from penstock.stores.metadata.tables import asset_name_tags as name_tags
from penstock.stores.metadata.tables import asset_names as names
from penstock.stores.metadata.tables import asset_version_tags as tag_table
from penstock.stores.metadata.tables import asset_versions as table

PROMPT_TAG = "mlflow.prompt.is_prompt"
_LARGEST_NUMBER = 2**31 - 1
_DOCUMENT = {"kind", "type", "properties", "size", "uri", "definition", "source_path", "folder", "created_by"}

_WAITS = HotStatement(
    lambda _: select(table.c.id).where(
        table.c.job_name == bindparam("run"), table.c.tree.is_(None), ~table.c.is_deleted
    ),
    "run",
)


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
    folder: str | None = None,
    source: str = "",
    run_link: str = "",
    model_id: str | None = None,
) -> AssetVersion:
    """Register a version and return it; without ``version`` it gets the next whole number.

    Parameters
    ----------
    job_name : str, optional
        The job or run it came from.
    folder : str, optional
        What its folder or file is called where it is deployed.
    source, run_link, model_id
        What an MLflow client said of where it came from.

    Raises
    ------
    ConflictError
        If that version exists, or existed and was deleted.
    """
    last = _last_number(connection, kind, name)
    if version is None:
        version = str(last + 1)
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 11 else 0
    _touch_name(connection, kind, name, max(last, min(number, _LARGEST_NUMBER)), now)
    _refuse_taken(connection, kind, name, version)
    made = AssetVersion(
        kind=kind,
        name=name,
        version=version,
        type=type,
        description=description or None,
        tags=dict(tags or {}),
        properties=dict(properties or {}),
        tree=tree,
        size=size,
        uri=uri,
        definition=definition,
        job_name=job_name,
        source_path=source_path,
        folder=folder,
        source=source or None,
        run_link=run_link or None,
        model_id=model_id,
        created_at=now,
        created_by=created_by,
        updated_at=now,
    )
    row = connection.execute(
        table.insert()
        .values(
            kind=str(kind),
            name=name,
            version=version,
            tree=tree,
            job_name=job_name,
            created_at=now,
            updated_at=now,
            is_archived=False,
            is_deleted=False,
            description=description or "",
            source=source,
            run_link=run_link,
            model_id=model_id,
            document=made.model_dump_json(by_alias=True, exclude_none=True, include=_DOCUMENT),
        )
        .returning(table.c.id)
    ).scalar_one()
    for key, value in made.tags.items():
        connection.execute(tag_table.insert().values(version=row, key=key, value=value))
    return made


def get_version(connection: Connection, kind: AssetKind, name: str, version: str) -> AssetVersion:
    """Return one version, archived or not.

    Raises
    ------
    NotFoundError
        If there is none, or it was deleted.
    """
    rows = connection.execute(select(table).where(*_one(kind, name, version), ~table.c.is_deleted)).all()
    if not rows:
        raise NotFoundError(
            f'no {kind} "{name}" with version "{version}"',
            hint=f"List them with: penstock {kind} list --name {name}",
            ref=f"{kind}:{name}:{version}",
        )
    return read_versions(connection, rows)[0]


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
    """Return the last created version of each name, sorted by name; ``after`` is the last name of the page before.

    Prompts, which MLflow keeps among its models, are not listed.
    """
    newest = select(func.max(table.c.id)).where(table.c.kind == str(kind), ~table.c.is_deleted)
    if not include_archived:
        newest = newest.where(~table.c.is_archived)
    if kind is AssetKind.MODEL:
        prompts = select(name_tags.c.name).where(
            name_tags.c.kind == str(kind), name_tags.c.key == PROMPT_TAG, name_tags.c.value == "true"
        )
        newest = newest.where(table.c.name.not_in(prompts))
    if after is not None:
        newest = newest.where(table.c.name > after)
    newest = newest.group_by(table.c.name).order_by(table.c.name).limit(limit)
    statement = select(table).where(table.c.id.in_(newest)).order_by(table.c.name)
    return read_versions(connection, connection.execute(statement).all())


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
    rows = connection.execute(statement.order_by(table.c.id.desc()).limit(limit)).all()
    return read_versions(connection, rows)


def set_archived(
    connection: Connection, kind: AssetKind, name: str, version: str, is_archived: bool = True
) -> AssetVersion:
    """Hide a version from lists and ``@latest``, or show it again; it stays usable by its version."""
    return update_version(connection, kind, name, version, {"is_archived": is_archived})


def update_version(
    connection: Connection, kind: AssetKind, name: str, version: str, changed: Mapping[str, Any]
) -> AssetVersion:
    """Change columns that say nothing of the content: description, stage, status, updated_at, is_archived.

    Raises
    ------
    NotFoundError
        If there is no such version.
    """
    if changed:
        statement = update(table).where(*_one(kind, name, version), ~table.c.is_deleted)
        connection.execute(statement.values(**changed))
    return get_version(connection, kind, name, version)


def put_content(
    connection: Connection,
    asset: AssetVersion,
    *,
    tree: str,
    size: int,
    type: AssetType,
    properties: Mapping[str, str],
    now: int,
) -> AssetVersion:
    """Give a version that was registered without files the files that came, and return it; what it holds stays."""
    filled = asset.model_copy(
        update={"size": size, "type": type, "properties": {**asset.properties, **properties}, "tree": tree}
    )
    document = filled.model_dump_json(by_alias=True, exclude_none=True, include=_DOCUMENT)
    where = (*_one(asset.kind, asset.name, asset.version), table.c.tree.is_(None), ~table.c.is_deleted)
    connection.execute(update(table).where(*where).values(tree=tree, document=document, updated_at=now))
    return get_version(connection, asset.kind, asset.name, asset.version)


def waiting_versions(
    connection: Connection, *, model_id: str | None = None, run_id: str | None = None
) -> list[AssetVersion]:
    """Return the versions of models made of a logged model, or of a run, that have no files yet."""
    if run_id is not None and _WAITS.first(connection, (run_id,)) is None:
        return []  # asked at the end of every run
    made_of = table.c.model_id == model_id if model_id is not None else table.c.job_name == run_id
    statement = select(table).where(
        made_of, table.c.kind == AssetKind.MODEL.value, table.c.tree.is_(None), ~table.c.is_deleted
    )
    return read_versions(connection, connection.execute(statement).all())


def set_version_tag(connection: Connection, kind: AssetKind, name: str, version: str, key: str, value: str) -> None:
    """Set one tag of a version.

    Raises
    ------
    NotFoundError
        If there is no such version.
    """
    put_row(connection, tag_table, version=_row(connection, kind, name, version), key=key, value=value)


def delete_version_tag(connection: Connection, kind: AssetKind, name: str, version: str, key: str) -> None:
    """Delete one tag of a version; one that is not there is fine.

    Raises
    ------
    NotFoundError
        If there is no such version.
    """
    row = _row(connection, kind, name, version)
    connection.execute(delete(tag_table).where(tag_table.c.version == row, tag_table.c.key == key))


def asset_names(connection: Connection, kind: AssetKind) -> list[str]:
    """Return the names that have a version, sorted; for hints."""
    statement = (
        select(table.c.name).where(table.c.kind == str(kind), ~table.c.is_deleted).distinct().order_by(table.c.name)
    )
    return list(connection.execute(statement).scalars())


def _one(kind: AssetKind, name: str, version: str) -> tuple[Any, ...]:
    return table.c.kind == str(kind), table.c.name == name, table.c.version == version


def _row(connection: Connection, kind: AssetKind, name: str, version: str) -> int:
    statement = select(table.c.id).where(*_one(kind, name, version), ~table.c.is_deleted)
    row = connection.execute(statement).scalar_one_or_none()
    if row is None:
        get_version(connection, kind, name, version)
    return int(row or 0)


def _last_number(connection: Connection, kind: AssetKind, name: str) -> int:
    statement = select(names.c.last_number).where(names.c.kind == str(kind), names.c.name == name)
    return int(connection.execute(statement).scalar_one_or_none() or 0)


def _touch_name(connection: Connection, kind: AssetKind, name: str, last_number: int, now: int) -> None:
    statement = insert_into(connection.dialect.name, names).values(
        kind=str(kind), name=name, last_number=last_number, created_at=now, updated_at=now, description=""
    )
    changed = {column: statement.excluded[column] for column in ("last_number", "updated_at")}
    connection.execute(statement.on_conflict_do_update(index_elements=["kind", "name"], set_=changed))


def _refuse_taken(connection: Connection, kind: AssetKind, name: str, version: str) -> None:
    is_deleted = connection.execute(select(table.c.is_deleted).where(*_one(kind, name, version))).scalar_one_or_none()
    if is_deleted is not None:
        raise ConflictError(
            f'the {kind} "{name}" {"had" if is_deleted else "has"} a version "{version}"'
            f"{', which was deleted; versions are not used again' if is_deleted else ' already'}",
            hint="Leave the version out to get the next one.",
            ref=f"{kind}:{name}:{version}",
        )
