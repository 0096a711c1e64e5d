"""Find registered models and versions of them, by MLflow's filters and orders.

MLflow keeps prompts in its registry too, marked by a tag; a search that does not ask for them by that tag does not
find them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, ColumnElement, Connection, case, cast, exists, func, select

from penstock.entities.asset import AssetVersion
from penstock.entities.registered_model import RegisteredModel
from penstock.rules.filters.tree import And, Comparison, Condition, Op, OrderKey, Scope
from penstock.stores.metadata.asset_rows import read_versions
from penstock.stores.metadata.assets import PROMPT_TAG
from penstock.stores.metadata.registered_models import KIND, is_number, read_models
from penstock.stores.metadata.search.record_conditions import Record
from penstock.stores.metadata.search.run_conditions import bytewise
from penstock.stores.metadata.tables import asset_name_tags as name_tags
from penstock.stores.metadata.tables import asset_names as names
from penstock.stores.metadata.tables import asset_version_tags as version_tags
from penstock.stores.metadata.tables import asset_versions as versions


@dataclass(frozen=True, slots=True)
class RegistryQuery:
    """What is asked: a filter, an order, a page."""

    where: Condition | None = None
    order: tuple[OrderKey, ...] = ()
    limit: int = 100
    offset: int = 0


def search_models(connection: Connection, query: RegistryQuery) -> list[RegisteredModel]:
    """Return registered models; equal ones, and all where the order says nothing, by name.

    Raises
    ------
    UsageError
        If the filter or the order names what models do not have.
    """
    dialect = connection.dialect.name
    attributes: dict[str, ColumnElement[object]] = {
        "name": names.c.name,
        "creation_timestamp": names.c.created_at,
        "last_updated_timestamp": names.c.updated_at,
        "timestamp": names.c.updated_at,
    }
    plain = Record("registered models", dialect, attributes)
    tagged = plain.pair(name_tags, (name_tags.c.kind == names.c.kind) & (name_tags.c.name == names.c.name))
    record = Record("registered models", dialect, attributes, {Scope.TAG: tagged})
    where, wants_prompts = _split_prompts(query.where)
    conditions = [names.c.kind == KIND.value, record.condition(where)]
    if not wants_prompts:
        conditions.append(~tagged(PROMPT_TAG, Op.EQ, "true"))
    order = [*record.order(query.order), bytewise(names.c.name, dialect).asc()]
    statement = select(names).where(*conditions).order_by(*order)
    rows = connection.execute(statement.limit(query.limit).offset(query.offset)).all()
    return read_models(connection, rows)


def search_versions(connection: Connection, query: RegistryQuery) -> list[AssetVersion]:
    """Return versions of models; without an order those changed last come first.

    Raises
    ------
    UsageError
        If the filter or the order names what versions do not have.
    """
    dialect = connection.dialect.name
    number = case((is_number(), cast(versions.c.version, BigInteger)))
    attributes: dict[str, ColumnElement[object]] = {
        "name": versions.c.name,
        "version_number": number,
        "version": number,
        "run_id": func.coalesce(versions.c.job_name, ""),
        "source_path": versions.c.source,
        "creation_timestamp": versions.c.created_at,
        "last_updated_timestamp": versions.c.updated_at,
    }
    plain = Record("model versions", dialect, attributes)
    tagged = plain.pair(version_tags, version_tags.c.version == versions.c.id)
    record = Record("model versions", dialect, attributes, {Scope.TAG: tagged})
    where, wants_prompts = _split_prompts(query.where)
    conditions = [versions.c.kind == KIND.value, ~versions.c.is_deleted, is_number(), record.condition(where)]
    if not wants_prompts:
        prompts = select(1).where(
            name_tags.c.kind == versions.c.kind,
            name_tags.c.name == versions.c.name,
            name_tags.c.key == PROMPT_TAG,
            name_tags.c.value == "true",
        )
        conditions += [~tagged(PROMPT_TAG, Op.EQ, "true"), ~exists(prompts)]
    given = record.order(query.order) or [versions.c.updated_at.desc()]
    order = [*given, bytewise(versions.c.name, dialect).asc(), number.desc()]
    statement = select(versions).where(*conditions).order_by(*order)
    rows = connection.execute(statement.limit(query.limit).offset(query.offset)).all()
    return read_versions(connection, rows)


def _split_prompts(where: Condition | None) -> tuple[Condition | None, bool]:
    """Return the filter without the comparison that asks for prompts, and whether it asks for them."""
    items = where.items if isinstance(where, And) else () if where is None else (where,)
    asked = [item for item in items if isinstance(item, Comparison) and _is_prompt(item)]
    if not asked:
        return where, False
    first = asked[0]
    wanted = "true" if first.op is Op.EQ else "false" if first.op is Op.NE else None
    if str(first.value).lower() == wanted:
        return where, True
    return And(tuple(item for item in items if item not in asked)), False


def _is_prompt(item: Comparison) -> bool:
    return item.field.scope is Scope.TAG and item.field.key == PROMPT_TAG
