"""Order runs by any keys: the database joins what they compare and sorts all that the filter leaves.

Right for every order; :mod:`penstock.stores.metadata.search.run_walks` is for those that an index has already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, false, literal, or_, select

from penstock.entities.errors import UsageError
from penstock.rules.filters.tree import OrderKey, Scope
from penstock.stores.metadata.search.row_sets import bind_rows, in_rows
from penstock.stores.metadata.search.run_conditions import NUMERIC_ATTRIBUTES, attribute, bytewise
from penstock.stores.metadata.search.run_queries import FoundRuns, Search
from penstock.stores.metadata.tables import latest, params, runs, tags

NUMBER, NAN, MISSING = 0, 1, 2
"""How the values of one order key follow each other, in both directions."""


def sort_runs(search: Search, rows: Sequence[int] | None = None) -> FoundRuns:
    """Return the page of a search.

    Parameters
    ----------
    search : Search
        What is asked.
    rows : sequence of int, optional
        The runs that the filter leaves, where that is known; they are shown ones.

    Raises
    ------
    UsageError
        If an attribute does not exist or ``after`` is not of such a search.
    """
    query = search.query
    source: Any = runs
    keys: list[_Key] = []
    for index, order in enumerate(search.order):
        source, key = _join(source, order, index, search)
        keys.append(key)
    statement = select(runs.c.id, runs.c.start_time, runs.c.run_id)
    statement = statement.add_columns(*(column for key in keys for column in (key.rank, key.value)))
    statement = statement.select_from(source)
    bound: dict[str, Any] = {}
    if rows is not None:
        statement = statement.where(in_rows(search.dialect, runs.c.id))
        bound["rows"] = bind_rows(search.dialect, rows)
    else:
        statement = statement.where(*search.shown())
        if query.where is not None:
            statement = statement.where(search.condition(query.where))
    if query.after is not None:
        statement = statement.where(_after(keys, query.after))
    for key in keys:
        statement = statement.order_by(key.rank, key.value.desc() if key.is_descending else key.value)
    statement = statement.order_by(runs.c.start_time.desc(), runs.c.run_id)
    statement = statement.limit(query.limit + 1).offset(query.offset or None)
    found = search.connection.execute(statement, bound).all()
    page = found[: query.limit]
    return FoundRuns([row[0] for row in page], _place(page[-1]) if len(found) > query.limit and page else None)


@dataclass(frozen=True, slots=True)
class _Key:
    rank: ColumnElement[int]
    value: ColumnElement[Any]
    is_descending: bool
    is_text: bool


def _join(source: Any, order: OrderKey, index: int, search: Search) -> tuple[Any, _Key]:
    """Join what an order key compares, and return how it does."""
    field, dialect = order.field, search.dialect
    if field.scope is Scope.ATTRIBUTE:
        column = attribute(field.key)
        is_text = field.key not in NUMERIC_ATTRIBUTES
        value = bytewise(column, dialect) if is_text else column
        return source, _Key(_rank(column), value, order.is_descending, is_text)
    if field.scope is Scope.METRIC:
        table = latest.alias(f"o{index}")
        source = source.outerjoin(
            table, and_(table.c.run == runs.c.id, table.c.key == search.metric_rows.get(field.key, -1))
        )
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
    return (*(jsonable(value) for value in values), start_time, run_id)


def jsonable(value: Any) -> Any:
    """Return a value of an order that JSON has too."""
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
