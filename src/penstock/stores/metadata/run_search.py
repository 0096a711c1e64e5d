"""Find runs: a filter tree, an order, a page.

The order is MLflow's: numbers, then NaN, then runs without the key, in both directions; equal ones newest first,
then by id. A page begins at an offset, or after the place where another ended, which stays valid while runs come
and go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, false, literal, or_, select

from penstock.entities.errors import UsageError
from penstock.rules.filters.tree import Condition, OrderKey, Scope
from penstock.stores.metadata.experiments import parse_id, stages_of
from penstock.stores.metadata.run_conditions import (
    NUMERIC_ATTRIBUTES,
    attribute,
    bytewise,
    metric_names,
    run_condition,
)
from penstock.stores.metadata.tables import latest, metric_keys, params, runs, tags

NUMBER, NAN, MISSING = 0, 1, 2
"""How the values of one order key follow each other, in both directions."""


@dataclass(frozen=True, slots=True)
class RunQuery:
    """What is asked.

    Parameters
    ----------
    experiments : tuple of str, optional
        Ids of experiments; None for all of them.
    where : Condition, optional
        The filter; attributes as :data:`penstock.stores.metadata.run_conditions.ATTRIBUTES` names them.
    order : tuple of OrderKey
        Further keys are always ``start_time DESC, run_id``.
    view : {"ACTIVE_ONLY", "DELETED_ONLY", "ALL"}
        Which lifecycle stages to show.
    limit : int
        At most so many.
    offset : int
        So many are left out first.
    after : tuple, optional
        ``next`` of the page before, asked with the same filter and order.
    """

    experiments: tuple[str, ...] | None
    where: Condition | None = None
    order: tuple[OrderKey, ...] = ()
    view: str = "ACTIVE_ONLY"
    limit: int = 1000
    offset: int = 0
    after: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class FoundRuns:
    """A page: the rows of runs in order, and where the next page begins; None at the end."""

    rows: list[int]
    next: tuple[Any, ...] | None


def find_runs(connection: Connection, query: RunQuery) -> FoundRuns:
    """Return one page of runs.

    Parameters
    ----------
    connection : Connection
        A snapshot.
    query : RunQuery
        What is asked.

    Returns
    -------
    FoundRuns
        ``next`` is made of JSON values only.

    Raises
    ------
    UsageError
        If an attribute does not exist or ``after`` is not of such a query.
    """
    names = metric_names(query.where, query.order)
    metric_rows: dict[str, int] = {}
    if names:
        wanted = select(metric_keys.c.key, metric_keys.c.id).where(metric_keys.c.key.in_(names))
        metric_rows = {key: row for key, row in connection.execute(wanted)}
    dialect = connection.dialect.name
    source: Any = runs
    keys: list[_Key] = []
    for index, order in enumerate(query.order):
        source, key = _join(source, order, index, dialect, metric_rows)
        keys.append(key)
    statement = select(runs.c.id, runs.c.start_time, runs.c.run_id)
    statement = statement.add_columns(*(column for key in keys for column in (key.rank, key.value)))
    statement = statement.select_from(source)
    if query.experiments is not None:
        statement = statement.where(runs.c.experiment.in_([parse_id(one) for one in query.experiments]))
    stage = stages_of(query.view)
    if stage is not None:
        statement = statement.where(runs.c.lifecycle_stage == stage)
    if query.where is not None:
        statement = statement.where(run_condition(query.where, dialect, metric_rows))
    if query.after is not None:
        statement = statement.where(_after(keys, query.after))
    for key in keys:
        statement = statement.order_by(key.rank, key.value.desc() if key.is_descending else key.value)
    statement = statement.order_by(runs.c.start_time.desc(), runs.c.run_id)
    statement = statement.limit(query.limit + 1).offset(query.offset or None)
    found = connection.execute(statement).all()
    page = found[: query.limit]
    return FoundRuns([row[0] for row in page], _place(page[-1]) if len(found) > query.limit and page else None)


@dataclass(frozen=True, slots=True)
class _Key:
    rank: ColumnElement[int]
    value: ColumnElement[Any]
    is_descending: bool
    is_text: bool


def _join(source: Any, order: OrderKey, index: int, dialect: str, metric_rows: dict[str, int]) -> tuple[Any, _Key]:
    """Join what an order key compares, and return how it does."""
    field = order.field
    if field.scope is Scope.ATTRIBUTE:
        column = attribute(field.key)
        is_text = field.key not in NUMERIC_ATTRIBUTES
        value = bytewise(column, dialect) if is_text else column
        return source, _Key(_rank(column), value, order.is_descending, is_text)
    if field.scope is Scope.METRIC:
        table = latest.alias(f"o{index}")
        source = source.outerjoin(table, and_(table.c.run == runs.c.id, table.c.key == metric_rows.get(field.key, -1)))
        rank = case((table.c.value.is_(None), MISSING), (table.c.is_nan.is_(True), NAN), else_=NUMBER)
        return source, _Key(rank, table.c.value, order.is_descending, False)
    if field.scope is Scope.DATASET:
        raise UsageError("runs are not ordered by their datasets")
    table = (params if field.scope is Scope.PARAM else tags).alias(f"o{index}")
    source = source.outerjoin(table, and_(table.c.run == runs.c.id, table.c.key == field.key))
    return source, _Key(_rank(table.c.value), bytewise(table.c.value, dialect), order.is_descending, True)


def _rank(column: ColumnElement[Any]) -> ColumnElement[int]:
    return case((column.is_(None), MISSING), else_=NUMBER)


def _place(row: Sequence[Any]) -> tuple[Any, ...]:
    """Return where a row stands: (rank, value) of each key, start, id."""
    start_time, run_id, *values = row[1:]
    return (*(_jsonable(value) for value in values), start_time, run_id)


def _jsonable(value: Any) -> Any:
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def _after(keys: list[_Key], place: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition of coming after a place in the order."""
    steps: list[tuple[ColumnElement[bool], ColumnElement[bool]]] = []
    try:
        *values, start_time, run_id = place
        pairs = list(zip(values[::2], values[1::2], strict=True))
        for key, (rank, value) in zip(keys, pairs, strict=True):
            steps.append((key.rank > int(rank), key.rank == int(rank)))
            if int(rank) != MISSING:
                bound = literal(str(value) if key.is_text else float(value) if isinstance(value, str) else value)
                steps.append((key.value < bound if key.is_descending else key.value > bound, key.value == bound))
        steps.append((runs.c.start_time < int(start_time), runs.c.start_time == int(start_time)))
        steps.append((runs.c.run_id > str(run_id), false()))
    except (TypeError, ValueError) as error:
        raise UsageError("this is not the place where a page of such a search ended") from error
    return or_(*(and_(*(equal for _, equal in steps[:index]), later) for index, (later, _) in enumerate(steps)))
