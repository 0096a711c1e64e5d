"""Registered models: names with tags, aliases and stages; their versions are assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from penstock.entities.asset import AssetKind, AssetVersion
from penstock.entities.errors import ConflictError, NotFoundError
from penstock.entities.registered_model import RegisteredModel
from penstock.stores.metadata import assets
from penstock.stores.metadata.asset_rows import read_versions
from penstock.stores.metadata.engine.statements import put_row
from penstock.stores.metadata.tables import asset_aliases as aliases
from penstock.stores.metadata.tables import asset_name_tags as name_tags
from penstock.stores.metadata.tables import asset_names as names
from penstock.stores.metadata.tables import asset_version_tags as version_tags
from penstock.stores.metadata.tables import asset_versions as versions

KIND = AssetKind.MODEL
NO_STAGE = "None"
_AT_ONCE = 500


def create_model(
    connection: Connection, name: str, *, now: int, description: str = "", tags: Mapping[str, str] | None = None
) -> RegisteredModel:
    """Register a name without a version.

    Raises
    ------
    ConflictError
        If it is taken.
    """
    _refuse_taken(connection, name)
    row = {"kind": KIND.value, "name": name, "last_number": 0, "created_at": now, "updated_at": now}
    connection.execute(insert(names).values(**row, description=description))
    for key, value in (tags or {}).items():
        put_row(connection, name_tags, kind=KIND.value, name=name, key=key, value=value)
    return get_model(connection, name)


def get_model(connection: Connection, name: str) -> RegisteredModel:
    """Return a registered model.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    found = read_models(connection, [_row(connection, name)])
    return found[0]


def check_model(connection: Connection, name: str) -> None:
    """Raise NotFoundError if no model has that name."""
    _row(connection, name)


def read_models(connection: Connection, rows: Sequence[Row[Any]]) -> list[RegisteredModel]:
    """Return the registered models of rows of ``asset_names``, in their order, with all that belongs to them."""
    found: list[RegisteredModel] = []
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        wanted = [row.name for row in part]
        tags = _pairs(connection, name_tags, wanted, name_tags.c.key, name_tags.c.value)
        marks = _pairs(connection, aliases, wanted, aliases.c.alias, aliases.c.version)
        latest = latest_versions(connection, wanted)
        found += [
            RegisteredModel(
                row.name,
                row.created_at,
                row.updated_at,
                row.description,
                tags[row.name],
                marks[row.name],
                tuple(latest[row.name]),
            )
            for row in part
        ]
    return found


def describe_model(connection: Connection, name: str, description: str, *, now: int) -> RegisteredModel:
    """Set the description of a name and return the registered model."""
    _row(connection, name)
    connection.execute(update(names).where(*_one(name)).values(description=description, updated_at=now))
    return get_model(connection, name)


def rename_model(connection: Connection, name: str, new_name: str, *, now: int) -> RegisteredModel:
    """Give a model another name, with all its versions, those deleted among them.

    Raises
    ------
    ConflictError
        If the new name is taken.
    """
    row = _row(connection, name)
    if new_name != name:
        _refuse_taken(connection, new_name)
        connection.execute(insert(names).values({**row._asdict(), "name": new_name}))
        for table in (name_tags, aliases, versions):
            whose = (table.c.kind == KIND.value, table.c.name == name)
            connection.execute(update(table).where(*whose).values(name=new_name))
        connection.execute(delete(names).where(*_one(name)))
    shown = (versions.c.kind == KIND.value, versions.c.name == new_name, ~versions.c.is_deleted)
    connection.execute(update(versions).where(*shown).values(updated_at=now))
    touch_model(connection, new_name, now=now)
    return get_model(connection, new_name)


def delete_model(connection: Connection, name: str) -> None:
    """Forget a name with all its versions; it is free afterwards, and its versions begin at 1 again.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    _row(connection, name)
    whose = (versions.c.kind == KIND.value, versions.c.name == name)
    rows = select(versions.c.id).where(*whose)
    connection.execute(delete(version_tags).where(version_tags.c.version.in_(rows)))
    connection.execute(delete(versions).where(*whose))
    for table in (name_tags, aliases):
        connection.execute(delete(table).where(table.c.kind == KIND.value, table.c.name == name))
    connection.execute(delete(names).where(*_one(name)))


def touch_model(connection: Connection, name: str, *, now: int) -> None:
    """Say that something of a model changed."""
    connection.execute(update(names).where(*_one(name)).values(updated_at=now))


def set_tag(connection: Connection, name: str, key: str, value: str) -> None:
    """Set a tag of a name."""
    _row(connection, name)
    put_row(connection, name_tags, kind=KIND.value, name=name, key=key, value=value)


def delete_tag(connection: Connection, name: str, key: str) -> None:
    """Delete a tag of a name; one that is not there is fine."""
    _row(connection, name)
    whose = (name_tags.c.kind == KIND.value, name_tags.c.name == name, name_tags.c.key == key)
    connection.execute(delete(name_tags).where(*whose))


def set_alias(connection: Connection, name: str, alias: str, version: str) -> None:
    """Let an alias point at a version, wherever it pointed before.

    Raises
    ------
    NotFoundError
        If there is no such version.
    """
    assets.get_version(connection, KIND, name, version)
    put_row(connection, aliases, kind=KIND.value, name=name, alias=alias, version=version)


def delete_alias(connection: Connection, name: str, alias: str) -> None:
    """Delete an alias; one that is not there is fine."""
    _row(connection, name)
    whose = (aliases.c.kind == KIND.value, aliases.c.name == name, aliases.c.alias == alias)
    connection.execute(delete(aliases).where(*whose))


def find_alias(connection: Connection, name: str, alias: str) -> str | None:
    """Return the version that an alias of a name points at, or None."""
    whose = (aliases.c.kind == KIND.value, aliases.c.name == name, aliases.c.alias == alias)
    return connection.execute(select(aliases.c.version).where(*whose)).scalar_one_or_none()


def list_aliases(connection: Connection, name: str) -> list[str]:
    """Return the aliases of a name, sorted; for hints."""
    statement = select(aliases.c.alias).where(aliases.c.kind == KIND.value, aliases.c.name == name)
    return list(connection.execute(statement.order_by(aliases.c.alias)).scalars())


def latest_versions(connection: Connection, wanted: Sequence[str]) -> dict[str, list[AssetVersion]]:
    """Return for each name and stage the version that was created last and is neither deleted nor archived."""
    place = func.row_number().over(partition_by=(versions.c.name, versions.c.stage), order_by=versions.c.id.desc())
    in_use = (~versions.c.is_deleted, ~versions.c.is_archived, is_number())
    ranked = (
        select(versions.c.id, place.label("place"))
        .where(versions.c.kind == KIND.value, versions.c.name.in_(wanted), *in_use)
        .subquery()
    )
    newest = select(ranked.c.id).where(ranked.c.place == 1)
    rows = connection.execute(select(versions).where(versions.c.id.in_(newest)).order_by(versions.c.id)).all()
    found: dict[str, list[AssetVersion]] = {name: [] for name in wanted}
    for version in read_versions(connection, rows):
        found[version.name].append(version)
    return found


def set_stage(
    connection: Connection, name: str, version: str, stage: str, *, now: int, empty_to: str | None = None
) -> AssetVersion:
    """Move a version to a stage and return it.

    Parameters
    ----------
    empty_to : str, optional
        Where the other versions of that stage go; None leaves them.
    """
    assets.get_version(connection, KIND, name, version)
    if empty_to is not None:
        others = (versions.c.kind == KIND.value, versions.c.name == name, versions.c.version != version)
        same = (versions.c.stage == stage, ~versions.c.is_deleted)
        connection.execute(update(versions).where(*others, *same).values(stage=empty_to, updated_at=now))
    touch_model(connection, name, now=now)
    return assets.update_version(connection, KIND, name, version, {"stage": stage, "updated_at": now})


def is_number() -> Any:
    """Return the condition that a version is a whole number; what was registered before that rule may not be."""
    return (func.trim(versions.c.version, "0123456789") == "") & (func.length(versions.c.version) <= 10)


def _one(name: str) -> tuple[Any, ...]:
    return names.c.kind == KIND.value, names.c.name == name


def _row(connection: Connection, name: str) -> Row[Any]:
    row = connection.execute(select(names).where(*_one(name))).one_or_none()
    if row is None:
        raise NotFoundError(f"Registered Model with name={name} not found", ref=f"model:{name}")
    return row


def _refuse_taken(connection: Connection, name: str) -> None:
    if connection.execute(select(names.c.name).where(*_one(name))).one_or_none() is not None:
        raise ConflictError(f"Registered Model (name={name}) already exists.", ref=f"model:{name}")


def _pairs(
    connection: Connection, table: Any, wanted: Sequence[str], key: Any, value: Any
) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {name: {} for name in wanted}
    statement = select(table.c.name, key, value).where(table.c.kind == KIND.value, table.c.name.in_(wanted))
    for name, one, other in connection.execute(statement.order_by(key)):
        found[name][one] = other
    return found
