"""Deleted versions of assets: hidden, with all that they were, until they are restored or a collection removes them.

A deleted version changes no more, so that the time of its last change is that of its deletion.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, delete, select, update

from penstock.entities.asset import AssetKind, AssetVersion
from penstock.entities.errors import NotFoundError
from penstock.stores.metadata import assets
from penstock.stores.metadata.engine.statements import insert_into
from penstock.stores.metadata.tables import asset_aliases
from penstock.stores.metadata.tables import asset_versions as table

_ALIASES = "deleted_aliases"


def delete_version(connection: Connection, kind: AssetKind, name: str, version: str, *, now: int) -> None:
    """Hide a version until it is restored or collected; its aliases are free at once. Idempotent."""
    where = (*_one(kind, name, version), ~table.c.is_deleted)
    row = connection.execute(select(table.c.id, table.c.document).where(*where)).one_or_none()
    if row is None:
        return
    marks = (asset_aliases.c.kind == str(kind), asset_aliases.c.name == name, asset_aliases.c.version == version)
    aliases = list(connection.execute(select(asset_aliases.c.alias).where(*marks)).scalars())
    connection.execute(delete(asset_aliases).where(*marks))
    document = json.dumps({**json.loads(row.document), _ALIASES: aliases}) if aliases else row.document
    connection.execute(
        update(table).where(table.c.id == row.id).values(is_deleted=True, document=document, updated_at=now)
    )


def restore_version(connection: Connection, kind: AssetKind, name: str, version: str, *, now: int) -> AssetVersion:
    """Take back a deletion or an archiving and return the version.

    It has its aliases again, but for those that were given to another version.

    Raises
    ------
    NotFoundError
        If there is no such version any more.
    """
    row = connection.execute(select(table).where(*_one(kind, name, version))).one_or_none()
    if row is None or not row.is_deleted:
        return assets.set_archived(connection, kind, name, version, False)
    said = json.loads(row.document)
    if not said:
        raise NotFoundError(
            f'the {kind} "{name}" with version "{version}" was deleted by a Penstock that kept nothing of it',
            hint="Register it again; it gets the next number.",
            ref=f"{kind}:{name}:{version}",
        )
    for alias in said.pop(_ALIASES, ()):
        statement = insert_into(connection.dialect.name, asset_aliases).values(
            kind=str(kind), name=name, alias=alias, version=version
        )
        connection.execute(statement.on_conflict_do_nothing())
    back = {"is_deleted": False, "is_archived": False, "document": json.dumps(said), "updated_at": now}
    connection.execute(update(table).where(table.c.id == row.id).values(**back))
    return assets.get_version(connection, kind, name, version)


def restore_hint(connection: Connection, kind: AssetKind, name: str, version: str) -> str:
    """Return how to get a deleted version back, "" for one that cannot be."""
    found = connection.execute(select(table.c.document).where(*_one(kind, name, version), table.c.is_deleted)).first()
    if found is None or found.document == "{}":
        return ""
    return f"It was deleted; bring it back with: penstock {kind} restore -n {name} -v {version}"


def _one(kind: AssetKind, name: str, version: str) -> tuple[Any, ...]:
    return table.c.kind == str(kind), table.c.name == name, table.c.version == version
