"""A filter tree as a condition on the rows of ``runs``; correct for every tree, on every backend.

The search asks it of few runs at a time; it is also the one place that says what a comparison means in SQL. Each
comparison is true or false, never NULL, so that ``not`` turns it round.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, cast, exists, false, not_, or_, select, true

from penstock.entities.errors import UsageError
from penstock.entities.tags import RUN_NAME_TAG
from penstock.rules.filters.tree import And, Comparison, Condition, Field, Not, Op, Or, OrderKey, Scope
from penstock.stores.metadata.engine.patterns import check_pattern
from penstock.stores.metadata.search.row_sets import among
from penstock.stores.metadata.search.shown_times import span
from penstock.stores.metadata.tables import datasets, latest, params, run_datasets, runs, tags

MAX_PATTERN = 10_000
_INT64 = 2**63

ATTRIBUTES: Mapping[str, ColumnElement[Any]] = {
    "run_id": runs.c.run_id,
    "run_name": runs.c.run_name,
    "user_id": runs.c.user_id,
    "status": runs.c.status,
    "lifecycle_stage": runs.c.lifecycle_stage,
    "start_time": runs.c.start_time,
    "end_time": runs.c.end_time,
    "duration": span(runs.c.start_time, runs.c.end_time),
    "artifact_uri": runs.c.artifact_uri,
    "experiment_id": cast(runs.c.experiment, Text),
}
"""What an attribute of a run is, by its name in a filter; times and durations in ms."""

NUMERIC_ATTRIBUTES = frozenset({"start_time", "end_time", "duration"})
_OPERATORS: Mapping[Op, Callable[[Any, Any], Any]] = {
    Op.EQ: operator.eq,
    Op.NE: operator.ne,
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.GT: operator.gt,
    Op.GE: operator.ge,
}
DATASET_COLUMNS = {"name": datasets.c.name, "digest": datasets.c.digest, "context": run_datasets.c.context}


def run_condition(where: Condition, dialect: str, metric_rows: Mapping[str, int]) -> ColumnElement[bool]:
    """Return the condition on ``runs`` that a filter means.

    Parameters
    ----------
    where : Condition
        The filter.
    dialect : str
        The backend's name, as SQLAlchemy says it.
    metric_rows : mapping
        The row of each metric's name that exists; see :func:`metric_names`.

    Raises
    ------
    UsageError
        If the filter names an attribute that runs do not have, or a pattern is too long.
    """
    match where:
        case And(items):
            return and_(true(), *(run_condition(item, dialect, metric_rows) for item in items))
        case Or(items):
            return or_(false(), *(run_condition(item, dialect, metric_rows) for item in items))
        case Not(item):
            return not_(run_condition(item, dialect, metric_rows))
        case Comparison():
            return _comparison(where, dialect, metric_rows)


def metric_names(where: Condition | None, order: tuple[OrderKey, ...] = ()) -> set[str]:
    """Return the names of the metrics that a filter and an order speak of."""
    fields = [*_fields(where), *(key.field for key in order)]
    return {field.key for field in fields if field.scope is Scope.METRIC}


def attribute(name: str) -> ColumnElement[Any]:
    """Return what an attribute is.

    Raises
    ------
    UsageError
        If runs have no such attribute.
    """
    found = ATTRIBUTES.get(name)
    if found is None:
        raise UsageError(f'runs have no attribute "{name}"', hint=f"They have {', '.join(ATTRIBUTES)}.")
    return found


def value_condition(column: ColumnElement[Any], op: Op, value: Any, dialect: str) -> ColumnElement[bool]:
    """Return a comparison of a column that is not NULL.

    Text compares bytewise and case-sensitively on every backend; so does ``LIKE``, in which ``%`` and ``_`` are the
    only special characters.
    """
    value = _bindable(value)
    if op in (Op.LIKE, Op.ILIKE) and len(str(value)) > MAX_PATTERN:
        raise UsageError(f"a pattern has more than {MAX_PATTERN} characters")
    if op in (Op.LT, Op.LE, Op.GT, Op.GE) and isinstance(value, str):
        column = bytewise(column, dialect)
    if op in _OPERATORS:
        found: ColumnElement[bool] = _OPERATORS[op](column, value)
        return found
    match op:
        case Op.IN:
            return among(dialect, column, value)
        case Op.NOT_IN:
            return not_(among(dialect, column, value))
        case Op.LIKE if dialect == "sqlite":
            # SQLite's own LIKE folds case; GLOB does not.
            return column.op("GLOB", is_comparison=True)(_glob(value))
        case Op.LIKE:
            return column.like(value.replace("\\", "\\\\"))
        case Op.ILIKE if dialect == "sqlite":
            return column.op("LIKE", is_comparison=True)(value)
        case Op.ILIKE:
            return column.ilike(value.replace("\\", "\\\\"))
        case Op.MATCHES if dialect == "sqlite":
            return column.regexp_match(check_pattern(value))
        case Op.MATCHES:
            raise AssertionError("patterns are answered before: penstock.stores.metadata.search.patterns")
    raise AssertionError("a value is not compared with NULL")


def metric_condition(op: Op, value: Any, dialect: str) -> ColumnElement[bool]:
    """Return a comparison of the value in a row of ``latest``; NaN differs from every number."""
    found = value_condition(latest.c.value, op, value, dialect)
    if op in (Op.NE, Op.NOT_IN):
        return or_(latest.c.is_nan == true(), found)
    return and_(latest.c.is_nan == false(), found)


def bytewise(column: ColumnElement[Any], dialect: str) -> ColumnElement[Any]:
    """Return a text that sorts by its bytes on that backend, as SQLite's do."""
    return column if dialect == "sqlite" else column.collate("C")


def _comparison(where: Comparison, dialect: str, metric_rows: Mapping[str, int]) -> ColumnElement[bool]:
    op, value = where.op, where.value
    match where.field:
        case Field(Scope.METRIC, key):
            row = metric_rows.get(key)
            if row is None:
                return true() if op is Op.IS_NULL else false()
            return _has(latest, latest.c.key == row, op, lambda: metric_condition(op, value, dialect))
        case Field(Scope.PARAM, key):
            return _pair(params, key, op, value, dialect)
        case Field(Scope.TAG, key):
            return _pair(tags, key, op, value, dialect)
        case Field(Scope.ATTRIBUTE, "run_name"):
            # As in MLflow, the name is compared through its tag: a run whose tag was deleted has none.
            return _pair(tags, RUN_NAME_TAG, op, value, dialect)
        case Field(Scope.ATTRIBUTE, key):
            return attribute_condition(key, op, value, dialect)
        case Field(_, key):
            return _dataset(key, op, value, dialect)


def _has(table: Any, which: ColumnElement[bool], op: Op, compare: Any) -> ColumnElement[bool]:
    wanted = select(1).select_from(table).where(table.c.run == runs.c.id, which).correlate(runs)
    if op in (Op.IS_NULL, Op.IS_NOT_NULL):
        return ~exists(wanted) if op is Op.IS_NULL else exists(wanted)
    return exists(wanted.where(compare()))


def _pair(table: Any, key: str, op: Op, value: Any, dialect: str) -> ColumnElement[bool]:
    return _has(table, table.c.key == key, op, lambda: value_condition(table.c.value, op, value, dialect))


def attribute_condition(key: str, op: Op, value: Any, dialect: str) -> ColumnElement[bool]:
    """Return a comparison of an attribute that stands in ``runs``."""
    column = attribute(key)
    if op in (Op.IS_NULL, Op.IS_NOT_NULL):
        return column.is_(None) if op is Op.IS_NULL else column.is_not(None)
    found = value_condition(column, op, value, dialect)
    return and_(column.is_not(None), found) if key in ("end_time", "duration") else found


def dataset_condition(key: str, op: Op, value: Any, dialect: str) -> ColumnElement[bool]:
    """Return a comparison of a dataset in ``datasets`` joined to its use in ``run_datasets``."""
    column: Any = DATASET_COLUMNS.get(key)
    if column is None:
        raise UsageError(f'datasets have no "{key}"', hint=f"They have {', '.join(DATASET_COLUMNS)}.")
    there: ColumnElement[bool] = column.is_not(None)
    return there if op is Op.IS_NOT_NULL else and_(there, value_condition(column, op, value, dialect))


def _dataset(key: str, op: Op, value: Any, dialect: str) -> ColumnElement[bool]:
    is_null = op is Op.IS_NULL
    wanted = (
        select(1)
        .select_from(run_datasets.join(datasets, datasets.c.id == run_datasets.c.dataset))
        .where(run_datasets.c.run == runs.c.id)
        .where(dataset_condition(key, Op.IS_NOT_NULL if is_null else op, value, dialect))
        .correlate(runs)
    )
    return ~exists(wanted) if is_null else exists(wanted)


def _fields(where: Condition | None) -> Iterator[Field]:
    match where:
        case Comparison(field):
            yield field
        case And(items) | Or(items):
            for item in items:
                yield from _fields(item)
        case Not(item):
            yield from _fields(item)


def _bindable(value: Any) -> Any:
    """Return a number that every driver takes: beyond 64 bits as a double, which compares the same."""
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return float(value)
    return value


def _glob(pattern: str) -> str:
    special = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(special.get(letter, letter) for letter in pattern)
