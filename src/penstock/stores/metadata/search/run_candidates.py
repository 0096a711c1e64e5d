"""The set of runs that a filter leaves, from one index after another.

Each comparison reads one range of one index, which holds all that it compares, so its cost is that of its matches;
sets are then combined here. A filter of which no part matches much, and one whose parts match half of all runs each and
together none, both take milliseconds, whatever the database's planner would have made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from penstock.entities.tags import RUN_NAME_TAG
from penstock.rules.filters.tree import And, Comparison, Condition, Field, Not, Op, Or, Scope
from penstock.stores.metadata.search.row_sets import bind_rows, fetch_rows, in_rows
from penstock.stores.metadata.search.run_conditions import (
    attribute_condition,
    dataset_condition,
    metric_condition,
    value_condition,
)
from penstock.stores.metadata.search.run_queries import Search
from penstock.stores.metadata.tables import (
    INDEXED_CHARACTERS,
    datasets,
    latest,
    params,
    run_datasets,
    runs,
    tags,
)


@dataclass(frozen=True, slots=True)
class Candidates:
    """A set of rows of runs, or all but those."""

    rows: frozenset[int] | set[int]
    is_complement: bool = False

    def keep(self, found: Iterable[int]) -> list[int]:
        """Return those of ``found`` that are in the set."""
        rows = self.rows
        return (
            [row for row in found if row not in rows] if self.is_complement else [row for row in found if row in rows]
        )

    def meet(self, other: Candidates) -> Candidates:
        """Return what is in both."""
        match self.is_complement, other.is_complement:
            case False, False:
                return Candidates(self.rows & other.rows)
            case False, True:
                return Candidates(self.rows - other.rows)
            case True, False:
                return Candidates(other.rows - self.rows)
        return Candidates(self.rows | other.rows, is_complement=True)

    def turned(self) -> Candidates:
        """Return what is not in it."""
        return Candidates(self.rows, not self.is_complement)


def visible_runs(search: Search) -> Candidates:
    """Return the runs in the stages that are shown; of one experiment most are, so it is all but the hidden ones."""
    if search.stage is None:
        return Candidates(frozenset(), is_complement=True)
    deleted = select(runs.c.id).where(search.within(runs.c.experiment), runs.c.lifecycle_stage == "deleted")
    return Candidates(set(fetch_rows(search.connection, deleted)), is_complement=search.stage == "active")


def probe(search: Search, where: Condition, rows: Sequence[int]) -> list[int]:
    """Return those of some runs that a filter leaves, asked one by one."""
    if not rows:
        return []
    statement = select(runs.c.id).where(in_rows(search.dialect, runs.c.id), search.condition(where))
    return fetch_rows(search.connection, statement, rows=bind_rows(search.dialect, rows))


def solve(search: Search, where: Condition) -> Candidates:
    """Return the runs that a filter leaves, whatever their stage."""
    match where:
        case And(items):
            return _solve_and(search, where, items)
        case Or(items):
            found = Candidates(frozenset(), is_complement=True)
            for item in items:
                found = found.meet(solve(search, item).turned())
            return found.turned()
        case Not(item):
            return solve(search, item).turned()
        case Comparison(field, Op.IS_NULL):
            return solve(search, Comparison(field, Op.IS_NOT_NULL)).turned()
        case Comparison():
            return Candidates(set(_read(search, [where])))


def _solve_and(search: Search, where: Condition, items: tuple[Condition, ...]) -> Candidates:
    ranges, others = _grouped(items)
    few = search.pace.few
    for part in ranges:
        matched = _read(search, part, few + 1)
        if len(matched) <= few:
            return Candidates(set(probe(search, where, matched)))
    found = Candidates(frozenset(), is_complement=True)
    for part in ranges:
        rows = _read(search, part)
        # To meet a list costs half of what to meet a set costs.
        found = Candidates(set(rows) if found.is_complement else found.rows.intersection(rows))
        if len(found.rows) <= few:
            return Candidates(set(probe(search, where, list(found.rows))))
    for item in others:
        found = found.meet(solve(search, item))
    return found


def _grouped(items: tuple[Condition, ...]) -> tuple[list[list[Comparison]], list[Condition]]:
    """Return what can be read with one range of an index, each together, and the rest."""
    ranges: dict[Any, list[Comparison]] = {}
    others: list[Condition] = []
    for item in items:
        if not isinstance(item, Comparison) or item.op is Op.IS_NULL:
            others.append(item)
        elif item.field.scope is Scope.DATASET:
            # A run has several: one may match the one comparison, another the other.
            ranges[len(ranges)] = [item]
        elif item.field.scope is Scope.ATTRIBUTE and item.field.key != "run_name":
            ranges.setdefault(Scope.ATTRIBUTE, []).append(item)
        else:
            ranges.setdefault(item.field, []).append(item)
    return list(ranges.values()), others


def _read(search: Search, together: Sequence[Comparison], most: int | None = None) -> list[int]:
    """Return what comparisons of one range match, ``most`` of it; every run comes once."""
    statement = _range(search, together[0].field)
    if statement is None:
        return []
    for where in together:
        statement = statement.where(*_conditions(where, search.dialect))
    return fetch_rows(search.connection, statement if most is None else statement.limit(most))


def _range(search: Search, field: Field) -> Select[Any] | None:
    """Return the statement that reads what there is of a field, None where nothing can be."""
    match field:
        case Field(Scope.METRIC, key):
            row = search.metric_rows.get(key)
            found = select(latest.c.run).where(search.within(latest.c.experiment), latest.c.key == row)
            return None if row is None else found
        case Field(Scope.DATASET):
            found = select(run_datasets.c.run).distinct().join(datasets, datasets.c.id == run_datasets.c.dataset)
            return found.where(search.within(datasets.c.experiment))
        case Field(Scope.ATTRIBUTE, key) if key != "run_name":
            return select(runs.c.id).where(*search.shown())
        case Field(scope, key):
            table = params if scope is Scope.PARAM else tags
            name = RUN_NAME_TAG if scope is Scope.ATTRIBUTE else key
            return select(table.c.run).where(search.within(table.c.experiment), table.c.key == name)


def _conditions(where: Comparison, dialect: str) -> list[ColumnElement[bool]]:
    """Return what a comparison means in its range."""
    field, op, value = where.field, where.op, where.value
    if field.scope is Scope.DATASET:
        return [dataset_condition(field.key, op, value, dialect)]
    if field.scope is Scope.ATTRIBUTE and field.key != "run_name":
        return [attribute_condition(field.key, op, value, dialect)]
    if op is Op.IS_NOT_NULL:
        return []
    if field.scope is Scope.METRIC:
        return [metric_condition(op, value, dialect)]
    table = params if field.scope is Scope.PARAM else tags
    found = [value_condition(table.c.value, op, value, dialect)]
    if dialect != "sqlite" and op is Op.EQ and isinstance(value, str):
        # The index there holds the first characters only; SQLite's holds all.
        found.append(func.substr(table.c.value, 1, INDEXED_CHARACTERS) == value[:INDEXED_CHARACTERS])
    return found
