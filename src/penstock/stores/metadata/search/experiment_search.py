"""Search experiments by name, id, times and tags; there are few, so clarity wins."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, false, not_, or_, select, true

from penstock.entities.errors import UsageError
from penstock.entities.run import Experiment
from penstock.rules.filters.tree import And, Comparison, Condition, Not, Op, Or, OrderKey, Scope
from penstock.stores.metadata.experiments import parse_id, read_experiments, stages_of
from penstock.stores.metadata.search.row_sets import among
from penstock.stores.metadata.search.run_conditions import bytewise, value_condition
from penstock.stores.metadata.tables import experiment_tags, experiments

_ATTRIBUTES: dict[str, ColumnElement[Any]] = {
    "name": experiments.c.name,
    "experiment_id": experiments.c.id,
    "creation_time": experiments.c.created_at,
    "last_update_time": experiments.c.updated_at,
}


def search_experiments(
    connection: Connection,
    where: Condition | None,
    order: tuple[OrderKey, ...],
    *,
    view: str = "ACTIVE_ONLY",
    limit: int,
    offset: int = 0,
) -> list[Experiment]:
    """Return a page of the experiments that a filter finds.

    Parameters
    ----------
    where : Condition, optional
        Compares attributes and tags; ids are decimal texts.
    order : tuple of OrderKey
        Attributes; without one the newest come first, and equal ones always by falling id.
    view : {"ACTIVE_ONLY", "DELETED_ONLY", "ALL"}
        Which lifecycle stages to show.
    limit, offset : int
        The page.

    Raises
    ------
    UsageError
        If the filter or order names what experiments do not have.
    """
    dialect = connection.dialect.name
    # What is being deleted for ever is kept under rows below 0.
    statement = select(experiments).where(experiments.c.id >= 0)
    stage = stages_of(view)
    if stage is not None:
        statement = statement.where(experiments.c.lifecycle_stage == stage)
    if where is not None:
        statement = statement.where(_condition(where, dialect))
    for key in order:
        column = _attribute(key.field.key) if key.field.scope is Scope.ATTRIBUTE else None
        if column is None:
            raise UsageError("experiments are ordered by their attributes only")
        column = bytewise(column, dialect) if key.field.key == "name" else column
        statement = statement.order_by(column.desc() if key.is_descending else column)
    if not order:
        statement = statement.order_by(experiments.c.created_at.desc(), experiments.c.id)
    statement = statement.order_by(experiments.c.id.desc()).limit(limit).offset(offset)
    return read_experiments(connection, connection.execute(statement).all())


def _condition(where: Condition, dialect: str) -> ColumnElement[bool]:
    match where:
        case And(items):
            return and_(true(), *(_condition(item, dialect) for item in items))
        case Or(items):
            return or_(false(), *(_condition(item, dialect) for item in items))
        case Not(item):
            return not_(_condition(item, dialect))
        case Comparison():
            return _comparison(where, dialect)


def _comparison(where: Comparison, dialect: str) -> ColumnElement[bool]:
    field, op, value = where.field, where.op, where.value
    if field.scope is Scope.ATTRIBUTE:
        if field.key == "experiment_id":
            rows = [parse_id(one) for one in (value if isinstance(value, tuple) else (value,)) if isinstance(one, str)]
            found = among(dialect, experiments.c.id, rows)
            return not_(found) if op in (Op.NE, Op.NOT_IN) else found
        return value_condition(_attribute(field.key), op, value, dialect)
    if field.scope is not Scope.TAG:
        raise UsageError(f"experiments have no {field.scope}s")
    table = experiment_tags
    wanted = select(1).where(table.c.experiment == experiments.c.id, table.c.key == field.key).correlate(experiments)
    if op in (Op.IS_NULL, Op.IS_NOT_NULL):
        return ~exists(wanted) if op is Op.IS_NULL else exists(wanted)
    return exists(wanted.where(value_condition(table.c.value, op, value, dialect)))


def _attribute(name: str) -> ColumnElement[Any]:
    column = _ATTRIBUTES.get(name)
    if column is None:
        raise UsageError(f'experiments have no attribute "{name}"', hint=f"They have {', '.join(_ATTRIBUTES)}.")
    return column
