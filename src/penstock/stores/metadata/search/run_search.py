"""Find runs: a filter tree, an order, a page.

The order is MLflow's: numbers, then NaN, then runs without the key, in both directions; equal ones newest first,
then by id. A page begins at an offset, or after the place where another ended, which stays valid while runs come
and go.

A page in an order that an index has is found by walking it. Where the filter leaves many runs that is all: each piece
of the walk is asked which runs it keeps. Where it leaves few, the set of them is found first, from other indexes. Which
of the two is seen from the first pieces, not estimated from statistics, which a database may not have.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, select

from penstock.entities.errors import UsageError
from penstock.rules.filters.tree import Scope
from penstock.stores.metadata.search.row_sets import bind_rows, fetch_rows, in_rows
from penstock.stores.metadata.search.run_candidates import Candidates, probe, solve, visible_runs
from penstock.stores.metadata.search.run_conditions import run_condition
from penstock.stores.metadata.search.run_queries import FoundRuns, Pace, RunQuery, Search
from penstock.stores.metadata.search.run_sorting import MISSING, NAN, NUMBER, jsonable, sort_runs
from penstock.stores.metadata.search.run_walks import FallingWalk, Keep, NewestWalk, Piece, RisingWalk, Step, Walk
from penstock.stores.metadata.tables import latest, runs

__all__ = ["FoundRuns", "Pace", "RunQuery", "find_runs"]

_PACE = Pace()


def find_runs(connection: Connection, query: RunQuery, pace: Pace = _PACE) -> FoundRuns:
    """Return one page of runs.

    Parameters
    ----------
    connection : Connection
        A snapshot.
    query : RunQuery
        What is asked.
    pace : Pace
        How to go about it; changes nothing of the result.

    Returns
    -------
    FoundRuns
        ``next`` is made of JSON values only.

    Raises
    ------
    UsageError
        If an attribute does not exist, a pattern is none, or ``after`` is not of such a query.
    """
    search = Search(connection, query, pace)
    query = search.query
    if query.where is not None:
        # What cannot be asked is refused whatever there is to find: a page may need only a part of the filter, or none.
        run_condition(query.where, search.dialect, {})
    if not search.experiments:
        return FoundRuns([], None)
    way = _Way.find(search)
    if way is None:
        return _sort(search)
    return _Page(search, way).find()


class _Way:
    """The walks that follow each other in an order of one metric, or newest first."""

    def __init__(self, search: Search, key: int | None, *, is_metric: bool, is_descending: bool) -> None:
        self._search = search
        self._key = key
        self._is_metric = is_metric
        self._is_descending = is_descending

    @classmethod
    def find(cls, search: Search) -> _Way | None:
        """Return the way of a search's order, or None if no index has it."""
        if not search.order:
            return cls(search, None, is_metric=False, is_descending=True)
        first = search.order[0]
        if len(search.order) > 1 or first.field.scope is not Scope.METRIC:
            return None
        key = search.metric_rows.get(first.field.key)
        return cls(search, key, is_metric=True, is_descending=first.is_descending)

    def walks(self, after: tuple[Any, ...] | None) -> Iterator[tuple[Walk, Candidates | None]]:
        """Yield each walk from a place on, and the runs it must leave out, if any."""
        search = self._search
        if not self._is_metric:
            yield NewestWalk(search, None if after is None else (after[0], after[1])), None
            return
        rank = NUMBER if after is None else after[0]
        if self._key is not None:
            if rank == NUMBER:
                kind = FallingWalk if self._is_descending else RisingWalk
                yield kind(search, self._key, NUMBER, None if after is None else (after[1], after[2])), None
            if rank <= NAN:
                yield (
                    FallingWalk(search, self._key, NAN, (0.0, after[2]) if after is not None and rank == NAN else None),
                    None,
                )
        if search.demanded(search.order[0].field):
            return
        begin = (after[2], after[3]) if after is not None and rank == MISSING else None
        yield NewestWalk(search, begin, (MISSING, None)), self._with_key()

    def _with_key(self) -> Candidates:
        if self._key is None:
            return Candidates(frozenset(), is_complement=True)
        found = select(latest.c.run).where(self._search.within(latest.c.experiment), latest.c.key == self._key)
        return Candidates(set(fetch_rows(self._search.connection, found)), is_complement=True)

    def read_after(self, place: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        """Return a place as the walks take it, or raise UsageError if it is of another order."""
        if place is None:
            return None
        try:
            if not self._is_metric:
                start, run_id = place
                return int(start), _text(run_id)
            rank, value, start, run_id = place
            if rank not in (NUMBER, NAN, MISSING):
                raise ValueError(rank)
            return rank, None if rank == MISSING else float(value), int(start), _text(run_id)
        except (TypeError, ValueError) as error:
            raise UsageError("this is not the place where a page of such a search ended") from error


class _Page:
    """One page, collected from walks."""

    def __init__(self, search: Search, way: _Way) -> None:
        self._search = search
        self._way = way
        self._after = way.read_after(search.query.after)
        self._needed = search.query.offset + search.query.limit + 1
        self._visible = visible_runs(search)
        self._keep: Keep = self._visible.keep
        self._is_probing = search.query.where is not None
        self._found: list[Step] = []
        self._probed = 0

    def find(self) -> FoundRuns:
        where = self._search.query.where
        if not self._visible.is_complement and len(self._visible.rows) <= self._search.pace.few:
            few = list(self._visible.rows)
            return sort_runs(self._search, few if where is None else probe(self._search, where, few))
        if where is not None:
            self._keep = lambda rows: probe(self._search, where, self._visible.keep(rows))
            if self._needed > self._search.pace.probed and self._solve():
                return self._sort_few()
        for walk, left_out in self._way.walks(self._after):
            if not self._follow(walk, left_out):
                return self._sort_few()
            if len(self._found) >= self._needed:
                break
        return self._page()

    def _follow(self, walk: Walk, left_out: Candidates | None) -> bool:
        """Collect from a walk until the page is full; False if the filter turned out to leave few runs."""
        pace = self._search.pace
        size = pace.first_piece if self._is_probing else self._needed + pace.first_piece
        while not walk.is_over:
            keep = self._keep if left_out is None else _both(left_out.keep, self._keep)
            most = self._needed - len(self._found) + 1 if self._search.query.where is not None else None
            piece = walk.read(min(size, pace.largest_piece), keep, most)
            self._found += self._after_place(piece.kept)
            if self._is_full(piece):
                return True
            size *= 4
            if self._is_probing:
                self._probed += piece.read
                expected = self._expected_probes()
                if expected > pace.probed and self._solve():
                    return False
                size = expected if self._is_probing else pace.first_piece * 16
        return True

    def _is_full(self, piece: Piece) -> bool:
        """Return whether the page is full and all that equal its last run are there, so that ids can order them."""
        if len(self._found) < self._needed:
            return False
        last = self._found[self._needed - 1]
        return last.run_id is not None or piece.last is None or piece.last.place != last.place

    def _expected_probes(self) -> int:
        """Return how many more runs would have to be asked, going by those that were."""
        missing = max(self._needed - len(self._found), 1)
        share = max(len(self._found), 1) / max(self._probed, 1)
        return int(missing / share * 1.4) + 16

    def _solve(self) -> bool:
        """Find the filter's whole set; return whether it has few runs."""
        where = self._search.query.where
        assert where is not None
        self._candidates = solve(self._search, where).meet(self._visible)
        self._keep = self._candidates.keep
        self._is_probing = False
        return not self._candidates.is_complement and len(self._candidates.rows) <= self._search.pace.few

    def _sort_few(self) -> FoundRuns:
        return sort_runs(self._search, list(self._candidates.rows))

    def _after_place(self, steps: list[Step]) -> list[Step]:
        """Leave out what does not come after the place to begin at, which equals it in all but the id."""
        if self._after is None:
            return steps
        *place, run_id = self._after
        equal = [step for step in steps if step.place == tuple(place)]
        if not equal:
            return steps
        ids = self._ids(equal)
        gone = {step.row for step in equal if ids[step.row] <= run_id}
        return [step for step in steps if step.row not in gone]

    def _ids(self, steps: list[Step]) -> dict[int, str]:
        known = {step.row: step.run_id for step in steps if step.run_id is not None}
        asked = [step.row for step in steps if step.run_id is None]
        if not asked:
            return known
        wanted = select(runs.c.id, runs.c.run_id).where(in_rows(self._search.dialect, runs.c.id))
        bound = {"rows": bind_rows(self._search.dialect, asked)}
        return {**known, **{row: run_id for row, run_id in self._search.connection.execute(wanted, bound)}}

    def _page(self) -> FoundRuns:
        offset, limit = self._search.query.offset, self._search.query.limit
        ordered: list[Step] = []
        for _, group in groupby(self._found, lambda step: step.place):
            equal = list(group)
            # Only ties that the page shows need their ids.
            if len(equal) > 1 and equal[0].run_id is None and len(ordered) + len(equal) > offset:
                ids = self._ids(equal)
                equal.sort(key=lambda step: ids[step.row])
            ordered += equal
            if len(ordered) >= self._needed:
                break
        page = ordered[offset : offset + limit]
        if len(ordered) < self._needed or not page:
            return FoundRuns([step.row for step in page], None)
        last = page[-1]
        place = (*(jsonable(value) for value in last.place), self._ids([last])[last.row])
        return FoundRuns([step.row for step in page], place)


def _sort(search: Search) -> FoundRuns:
    """Return a page in an order that no index has."""
    where = search.query.where
    if where is None:
        return sort_runs(search)
    found = solve(search, where).meet(visible_runs(search))
    return sort_runs(search) if found.is_complement else sort_runs(search, list(found.rows))


def _both(first: Keep, then: Keep) -> Keep:
    return lambda rows: then(first(rows))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
