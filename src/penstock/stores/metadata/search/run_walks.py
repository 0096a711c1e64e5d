"""Walk runs in an order that an index has: newest first, or by one metric.

A walk reads its index a piece at a time and lets a filter keep what it wants of each piece, so it can end as soon as a
page is full. A piece may end between runs that are equal in all but their id; whoever walks puts those in order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, Select, and_, false, or_, select, true

from penstock.stores.metadata.search.row_sets import bind_rows, fetch_rows, in_rows
from penstock.stores.metadata.search.run_conditions import metric_condition, value_condition
from penstock.stores.metadata.search.run_queries import START, Search
from penstock.stores.metadata.search.run_sorting import NAN
from penstock.stores.metadata.tables import latest, runs

Keep = Callable[[list[int]], list[int]]


@dataclass(frozen=True, slots=True)
class Step:
    """One run on the way: its place in the order, and its row; ``run_id`` where the walk knows it."""

    place: tuple[Any, ...]
    row: int
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Some steps of a walk: what the filter kept, the last one read, kept or not, and how many were read."""

    kept: list[Step]
    last: Step | None
    read: int


class Walk(ABC):
    """A way through the runs of a search; each ``read`` goes on where the last one stopped."""

    columns: ClassVar[tuple[ColumnElement[Any], ...]]

    def __init__(self, search: Search) -> None:
        self.search = search
        self.is_over = False

    def read(self, size: int, keep: Keep, most: int | None = None) -> Piece:
        """Read the next ``size`` runs.

        Parameters
        ----------
        size : int
            At most so many; sometimes none come though there are more, see ``is_over``.
        keep : callable
            Returns those of some rows that are wanted, in any order.
        most : int, optional
            Few are expected to be kept, and so many are enough: only rows are read, and the rest of those kept.
        """
        statement = self._next(size)
        is_cut = False
        if most is None:
            steps = [self._step(found) for found in self.search.connection.execute(statement)]
            rows = [step.row for step in steps]
            wanted = set(keep(rows))
            is_full = len(rows) == size
        else:
            rows = fetch_rows(self.search.connection, statement.with_only_columns(self.columns[0]))
            wanted = set(keep(rows))
            kept = [row for row in rows if row in wanted]
            is_cut = len(kept) > most
            is_full = len(rows) == size or is_cut
            if is_cut:
                # The walk goes on from there, as if the piece had ended.
                del kept[most:]
                del rows[rows.index(kept[-1]) + 1 :]
            wanted = set(kept)
            steps = self._load([*kept, rows[-1]] if rows and rows[-1] not in wanted else kept)
        last = steps[-1] if steps else None
        self._go_on(last, is_full=is_full, is_cut=is_cut)
        return Piece([step for step in steps if step.row in wanted], last, len(rows))

    @abstractmethod
    def _next(self, size: int) -> Select[Any]:
        """Return the statement that reads the next runs."""

    @abstractmethod
    def _go_on(self, last: Step | None, *, is_full: bool, is_cut: bool) -> None:
        """Remember where the piece ended, for the next one."""

    @abstractmethod
    def _step(self, found: Sequence[Any]) -> Step:
        """Return the step that a row is."""

    def _of_rows(self) -> list[ColumnElement[bool]]:
        return []

    def _load(self, rows: list[int]) -> list[Step]:
        statement = select(*self.columns).where(in_rows(self.search.dialect, self.columns[0]), *self._of_rows())
        bound = {"rows": bind_rows(self.search.dialect, rows)}
        found = {row[0]: self._step(row) for row in self.search.connection.execute(statement, bound)}
        return [found[row] for row in rows]


class NewestWalk(Walk):
    """Newest first, then by id.

    Parameters
    ----------
    search : Search
        Whose runs.
    after : tuple, optional
        (start, id) to begin after.
    prefix : tuple
        What every step's place begins with.
    """

    columns = (runs.c.id, runs.c.start_time, runs.c.run_id)

    def __init__(self, search: Search, after: tuple[int, str] | None = None, prefix: tuple[Any, ...] = ()) -> None:
        super().__init__(search)
        self._after = after
        self._prefix = prefix

    def _next(self, size: int) -> Select[Any]:
        statement = select(*self.columns).where(*self.search.shown())
        for item in self.search.demanded(START):
            statement = statement.where(value_condition(runs.c.start_time, item.op, item.value, self.search.dialect))
        if self._after is not None:
            start, run_id = self._after
            later = or_(runs.c.start_time < start, runs.c.run_id > run_id)
            statement = statement.where(runs.c.start_time <= start, later)
        return statement.order_by(runs.c.start_time.desc(), runs.c.run_id).limit(size)

    def _go_on(self, last: Step | None, *, is_full: bool, is_cut: bool) -> None:
        self.is_over = not is_full
        if last is not None and last.run_id is not None:
            self._after = (last.place[-1], last.run_id)

    def _step(self, found: Sequence[Any]) -> Step:
        row, start, run_id = found
        return Step((*self._prefix, start), row, run_id)


class _ValueWalk(Walk):
    """One metric's values; a place is (rank, value, start)."""

    columns = (latest.c.run, latest.c.value, latest.c.start_time)

    def __init__(self, search: Search, key: int, rank: int) -> None:
        super().__init__(search)
        self._key = key
        self._rank = rank

    def _base(self) -> Select[Any]:
        is_nan = true() if self._rank == NAN else false()
        statement = select(*self.columns).where(
            self.search.within(latest.c.experiment), latest.c.key == self._key, latest.c.is_nan == is_nan
        )
        # What the filter demands of this very metric makes the walk shorter.
        demanded = self.search.demanded(self.search.order[0].field)
        return statement.where(*(metric_condition(item.op, item.value, self.search.dialect) for item in demanded))

    def _step(self, found: Sequence[Any]) -> Step:
        row, value, start = found
        return Step((self._rank, value, start), row)

    def _of_rows(self) -> list[ColumnElement[bool]]:
        return [latest.c.key == self._key]


class FallingWalk(_ValueWalk):
    """The greatest value first, equal ones newest first: backwards through the index.

    Parameters
    ----------
    search : Search
        Whose runs.
    key : int
        The metric's row.
    rank : int
        ``NUMBER`` or ``NAN``; of the latter all are equal.
    after : tuple, optional
        (value, start) to begin with.
    """

    def __init__(self, search: Search, key: int, rank: int, after: tuple[float, int] | None = None) -> None:
        super().__init__(search, key, rank)
        self._after: tuple[float, int, int | None] | None = None if after is None else (*after, None)

    def _next(self, size: int) -> Select[Any]:
        statement = self._base()
        if self._after is not None:
            value, start, row = self._after
            statement = statement.where(latest.c.value <= value, or_(latest.c.value < value, _older(start, row)))
        return statement.order_by(latest.c.value.desc(), latest.c.start_time.desc(), latest.c.run.desc()).limit(size)

    def _go_on(self, last: Step | None, *, is_full: bool, is_cut: bool) -> None:
        self.is_over = not is_full
        if last is not None:
            self._after = (last.place[1], last.place[2], last.row)


class RisingWalk(_ValueWalk):
    """The least value first, equal ones newest first, which in the index are oldest first.

    So a piece ends where a value ends and is sorted; a value that fills a piece is walked by itself, backwards.

    Parameters
    ----------
    search : Search
        Whose runs.
    key : int
        The metric's row.
    rank : int
        ``NUMBER``.
    after : tuple, optional
        (value, start) to begin with.
    """

    def __init__(self, search: Search, key: int, rank: int, after: tuple[float, int] | None = None) -> None:
        super().__init__(search, key, rank)
        self._tie: tuple[float, int | None, int | None] | None = None if after is None else (*after, None)
        self._lowest: ColumnElement[bool] = true()
        self._is_last = False

    def _next(self, size: int) -> Select[Any]:
        if self._tie is None:
            rest = self._base().where(self._lowest)
            values = rest.with_only_columns(latest.c.value).order_by(latest.c.value).limit(1)
            first = self.search.connection.execute(values).scalar_one_or_none()
            bound = self.search.connection.execute(values.offset(size - 1)).scalar_one_or_none()
            self._is_last = bound is None
            if bound is None or bound != first:
                if bound is not None:
                    rest = rest.where(latest.c.value < bound)
                    self._lowest = latest.c.value >= bound
                return rest.order_by(latest.c.value, latest.c.start_time.desc(), latest.c.run.desc()).limit(size)
            self._tie = (bound, None, None)
        value, start, row = self._tie
        equal = self._base().where(latest.c.value == value)
        if start is not None:
            equal = equal.where(_older(start, row))
        return equal.order_by(latest.c.start_time.desc(), latest.c.run.desc()).limit(size)

    def _go_on(self, last: Step | None, *, is_full: bool, is_cut: bool) -> None:
        if self._tie is None and is_cut and last is not None:
            self._tie = (last.place[1], last.place[2], last.row)
        elif self._tie is None:
            self.is_over = self._is_last
        elif is_full and last is not None:
            self._tie = (self._tie[0], last.place[2], last.row)
        else:
            self._lowest, self._tie = latest.c.value > self._tie[0], None


def _older(start: int, row: int | None) -> ColumnElement[bool]:
    """Return the condition of coming after a start and row among equal values; without a row, from that start on."""
    if row is None:
        return latest.c.start_time <= start
    return or_(latest.c.start_time < start, and_(latest.c.start_time == start, latest.c.run < row))
