"""What is asked of a search over runs, and what all its parts need to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from penstock.rules.filters.tree import And, Comparison, Condition, Field, Op, OrderKey, Scope
from penstock.stores.metadata.experiments import parse_id, stages_of
from penstock.stores.metadata.search.patterns import answer_patterns
from penstock.stores.metadata.search.row_sets import among
from penstock.stores.metadata.search.run_conditions import metric_names, run_condition
from penstock.stores.metadata.tables import experiments, metric_keys, runs

START = Field(Scope.ATTRIBUTE, "start_time")
_RUN_ID = Field(Scope.ATTRIBUTE, "run_id")


@dataclass(frozen=True, slots=True)
class RunQuery:
    """What is asked.

    Parameters
    ----------
    experiments : tuple of str, optional
        Ids of experiments; None for all of them.
    where : Condition, optional
        The filter; attributes as :data:`penstock.stores.metadata.search.run_conditions.ATTRIBUTES` names them.
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


@dataclass(frozen=True, slots=True)
class Pace:
    """How a search goes about it; the result is the same for all.

    Parameters
    ----------
    first_piece, largest_piece : int
        How many runs are read at once, at first and at most.
    probed : int
        So many runs are asked one by one before a filter's whole set is found instead.
    few : int
        A set of so many runs is asked or sorted as it is.
    """

    first_piece: int = 256
    largest_piece: int = 65_536
    probed: int = 2000
    few: int = 2000


class Search:
    """A query on one snapshot, its names resolved.

    Parameters
    ----------
    connection : Connection
        The snapshot.
    query : RunQuery
        What is asked.
    pace : Pace
        How to go about it.
    """

    def __init__(self, connection: Connection, query: RunQuery, pace: Pace) -> None:
        self.connection = connection
        self.query = query
        self.pace = pace
        self.dialect = connection.dialect.name
        if self.dialect != "sqlite":
            self.query = replace(query, where=answer_patterns(connection, query.where, self.within))
        self.order = _without_default(query.order)
        self.stage = stages_of(query.view)
        self.metric_rows = _metric_rows(connection, metric_names(query.where, query.order))

    @cached_property
    def experiments(self) -> list[int]:
        """Return the rows of the experiments; below 0 is what is being deleted for ever."""
        if self.query.experiments is not None:
            return sorted({parse_id(one) for one in self.query.experiments} - {-1})
        return list(self.connection.execute(select(experiments.c.id).where(experiments.c.id >= 0)).scalars())

    def within(self, experiment: ColumnElement[int]) -> ColumnElement[bool]:
        """Return the condition of belonging to the experiments; of one, so that an index gives its order."""
        rows = self.experiments
        return experiment == rows[0] if len(rows) == 1 else among(self.dialect, experiment, rows)

    def shown(self) -> list[ColumnElement[bool]]:
        """Return the conditions on ``runs`` of being in the experiments and in a stage that is shown."""
        found = [self.within(runs.c.experiment)]
        return found if self.stage is None else [*found, runs.c.lifecycle_stage == self.stage]

    def demanded(self, field: Field) -> list[Comparison]:
        """Return the comparisons with a value of one field that every run found has to pass."""
        where = self.query.where
        items = where.items if isinstance(where, And) else (where,)
        found = [item for item in items if isinstance(item, Comparison) and item.field == field]
        return [item for item in found if item.op not in (Op.IS_NULL, Op.IS_NOT_NULL)]

    def condition(self, where: Condition) -> ColumnElement[bool]:
        """Return a filter as a condition on ``runs``."""
        found = run_condition(where, self.dialect, self.metric_rows)
        # Else PostgreSQL makes a join of each comparison, and plans the order of a hundred joins for seconds.
        return found if self.dialect == "sqlite" else found.is_(True)


def _metric_rows(connection: Connection, names: set[str]) -> Mapping[str, int]:
    if not names:
        return {}
    wanted = select(metric_keys.c.key, metric_keys.c.id).where(metric_keys.c.key.in_(sorted(names)))
    return {key: row for key, row in connection.execute(wanted)}


def _without_default(order: tuple[OrderKey, ...]) -> tuple[OrderKey, ...]:
    """Leave out what every order ends with anyway."""
    if order[-1:] == (OrderKey(_RUN_ID),) and order[-2:-1] == (OrderKey(START, is_descending=True),):
        order = order[:-1]
    return order[:-1] if order[-1:] == (OrderKey(START, is_descending=True),) else order
