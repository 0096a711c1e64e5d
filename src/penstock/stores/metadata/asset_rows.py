"""From rows to asset versions: what a version says of itself is a document, what may change are columns and rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from penstock.entities.asset import AssetKind, AssetType, AssetVersion
from penstock.stores.metadata.tables import asset_aliases, asset_version_tags

_AT_ONCE = 500


def read_versions(connection: Connection, rows: Sequence[Row[Any]]) -> list[AssetVersion]:
    """Return the versions of rows of ``asset_versions``, in their order, with their tags and aliases."""
    found: list[AssetVersion] = []
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        tags, aliases = _tags(connection, part), _aliases(connection, part)
        found += [
            _version(row, tags.get(row.id, {}), aliases.get((row.kind, row.name, row.version), ())) for row in part
        ]
    return found


def _tags(connection: Connection, rows: Sequence[Row[Any]]) -> dict[int, dict[str, str]]:
    table = asset_version_tags
    statement = select(table).where(table.c.version.in_([row.id for row in rows])).order_by(table.c.key)
    found: dict[int, dict[str, str]] = {}
    for row in connection.execute(statement):
        found.setdefault(row.version, {})[row.key] = row.value
    return found


def _aliases(connection: Connection, rows: Sequence[Row[Any]]) -> dict[tuple[str, str, str], tuple[str, ...]]:
    table = asset_aliases
    statement = select(table).where(table.c.name.in_({row.name for row in rows})).order_by(table.c.alias)
    found: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for row in connection.execute(statement):
        place = (row.kind, row.name, row.version)
        found[place] = (*found.get(place, ()), row.alias)
    return found


def _version(row: Row[Any], tags: dict[str, str], aliases: tuple[str, ...]) -> AssetVersion:
    # Constructed, not validated: it was when it was made, and a search returns thousands.
    said = json.loads(row.document)
    return AssetVersion.model_construct(
        kind=AssetKind(row.kind),
        name=row.name,
        version=row.version,
        type=AssetType(said["type"]) if said.get("type") else None,
        description=row.description or None,
        tags=tags,
        properties=said.get("properties", {}),
        tree=row.tree,
        size=said.get("size", 0),
        uri=said.get("uri"),
        definition=said.get("definition"),
        job_name=row.job_name,
        source_path=said.get("source_path"),
        folder=said.get("folder"),
        source=row.source or None,
        run_link=row.run_link or None,
        model_id=row.model_id,
        aliases=aliases,
        stage=None if row.stage == "None" else row.stage,
        status=row.status,
        status_message=row.status_message or None,
        created_at=row.created_at,
        created_by=said["created_by"],
        updated_at=row.updated_at,
        is_archived=row.is_archived,
    )
