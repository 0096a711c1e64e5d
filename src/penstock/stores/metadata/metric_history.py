"""The history of a metric, read as plain rows: what a chart of a million points is made of.

A run shows the points of its latest attempt and those of no attempt. In (timestamp, step, value) order everything
lies in one covering index, so a page that begins after a known point costs the same wherever it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, bindparam, func, literal_column, select, tuple_

from penstock.entities.run import Metric
from penstock.stores.metadata.engine.statements import HotStatement
from penstock.stores.metadata.run_log import RunRow, find_row
from penstock.stores.metadata.tables import metric_keys, points

Row = tuple[float, bool, int, int, int]
"""Value (0 where it is NaN), whether it is NaN, timestamp, step, attempt."""

Steps = tuple[int, int]
"""The first and the last step that are wanted."""

LEAST, GREATEST = -(2**63), 2**63 - 1
_NAN = float("nan")
_ROW = (points.c.value, points.c.is_nan, points.c.timestamp, points.c.step, points.c.attempt)
_BY_TIME = (points.c.timestamp, points.c.step, points.c.value, points.c.is_nan, points.c.attempt)
_BY_STEP = (points.c.step, points.c.timestamp, points.c.value, points.c.is_nan, points.c.attempt)


class Place(NamedTuple):
    """Where a page of a history ended: its last point, in the history's order."""

    timestamp: int
    step: int
    value: float
    is_nan: bool
    attempt: int


def _is_shown() -> Any:
    return and_(points.c.run == bindparam("run"), points.c.attempt.in_((literal_column("0"), bindparam("current"))))


def _is_wanted(*, between_steps: bool) -> Any:
    key = select(metric_keys.c.id).where(metric_keys.c.key == bindparam("name")).scalar_subquery()
    wanted = and_(_is_shown(), points.c.key == key)
    return and_(wanted, points.c.step.between(bindparam("first"), bindparam("last"))) if between_steps else wanted


def _history(*, between_steps: bool, after: bool) -> HotStatement:
    def build(_: str) -> Select[Any]:
        statement = select(*_ROW).where(_is_wanted(between_steps=between_steps)).order_by(*_BY_TIME)
        if after:
            place = (bindparam(name, type_=column.type) for name, column in zip(Place._fields, _BY_TIME, strict=True))
            statement = statement.where(tuple_(*_BY_TIME) > tuple_(*place))
        return statement.limit(bindparam("most")).offset(bindparam("skip"))

    names = ["run", "current", "name"]
    names += ["first", "last"] if between_steps else []
    names += Place._fields if after else []
    return HotStatement(build, *names, "most", "skip")


_HISTORIES = {
    (between_steps, after): _history(between_steps=between_steps, after=after)
    for between_steps in (False, True)
    for after in (False, True)
}
_IN_ORDER_LOGGED = HotStatement(
    lambda _: (
        select(points.c.seq, metric_keys.c.key, *_ROW)
        .join(metric_keys, metric_keys.c.id == points.c.key)
        .where(_is_shown(), points.c.seq > bindparam("after"))
        .order_by(points.c.seq)
        .limit(bindparam("most"))
        .offset(bindparam("skip"))
    ),
    *("run", "current", "after", "most", "skip"),
)


def read_history(
    connection: Connection,
    run: RunRow,
    key: str,
    *,
    steps: Steps | None = None,
    limit: int | None = None,
    offset: int = 0,
    after: Place | None = None,
    chunk: int = 10_000,
) -> Iterator[list[Row]]:
    """Yield the points of one metric in (timestamp, step, value) order, in chunks.

    Parameters
    ----------
    steps : (int, int), optional
        Only points of these steps, both ends included.
    limit : int, optional
        At most so many points.
    offset : int
        Leave out so many; costs time in proportion. Not together with ``after``.
    after : Place, optional
        Begin behind this point, which costs nothing.
    """
    statement = _HISTORIES[steps is not None, after is not None]
    most = GREATEST if limit is None else limit
    skip = offset if after is None else 0
    yield from statement.chunks(
        connection, (run.id, run.attempt, key, *(steps or ()), *(after or ()), most, skip), chunk
    )


def metric_history(connection: Connection, run_id: str, key: str) -> list[Metric]:
    """Return the points of one metric ordered by (timestamp, step, value); empty for an unknown run or key."""
    run = find_row(connection, run_id)
    if run is None:
        return []
    return [as_metric(key, row) for rows in read_history(connection, run, key) for row in rows]


def metrics_since(
    connection: Connection, run_id: str, after_id: int = 0, *, limit: int | None = None
) -> list[tuple[int, Metric]]:
    """Return (id, point) in the order they were logged, those after ``after_id``; ids grow within a run."""
    run = find_row(connection, run_id)
    if run is None:
        return []
    most = GREATEST if limit is None else limit
    rows = _IN_ORDER_LOGGED.all(connection, (run.id, run.attempt, after_id, most, 0))
    return [(seq, as_metric(key, row)) for seq, key, *row in rows]


def sample_history(
    connection: Connection, run: RunRow, key: str, *, limit: int, steps: Steps | None = None
) -> list[Row]:
    """Return points spread evenly over a metric's history in (step, timestamp, value) order.

    The history is cut into ``limit`` parts whose lengths differ by one at most, longer ones first; the first point of
    each part is kept, and the last of all in place of the last part's.

    Parameters
    ----------
    limit : int
        At most so many points, at least 1.
    steps : (int, int), optional
        Only points of these steps, both ends included.
    """
    return _sample(connection, run, key, steps, _BY_STEP, lambda total: _starts_of_parts(total, limit))[0]


def spread_history(
    connection: Connection, run: RunRow, key: str, *, limit: int, steps: Steps | None = None
) -> tuple[list[Row], int]:
    """Return points evenly apart in (timestamp, step, value) order, the first and the last among them; and of how many.

    Parameters
    ----------
    limit : int
        At most so many points, at least 2.
    steps : (int, int), optional
        Only points of these steps, both ends included.
    """
    return _sample(connection, run, key, steps, _BY_TIME, lambda total: _evenly_apart(total, limit))


def as_metric(key: str, row: Sequence[Any]) -> Metric:
    """Return the point that a row of a history holds."""
    value, is_nan, timestamp, step, _ = row
    return Metric(key, _NAN if is_nan else value, timestamp, step)


def _sample(
    connection: Connection,
    run: RunRow,
    key: str,
    steps: Steps | None,
    order: Sequence[Any],
    choose: Callable[[int], Sequence[int]],
) -> tuple[list[Row], int]:
    wanted = _is_wanted(between_steps=steps is not None)
    bound = {"run": run.id, "current": run.attempt, "name": key}
    if steps is not None:
        bound |= {"first": steps[0], "last": steps[1]}
    total = int(connection.execute(select(func.count()).select_from(points).where(wanted), bound).scalar_one())
    places = choose(total)
    if len(places) == total:
        statement = select(*_ROW).where(wanted).order_by(*order)
    else:
        place = (func.row_number().over(order_by=order) - 1).label("place")
        placed = select(*_ROW, place).where(wanted).subquery()
        columns = (placed.c[column.name] for column in _ROW)
        statement = select(*columns).where(placed.c.place.in_(places)).order_by(placed.c.place)
    return [tuple(row) for row in connection.execute(statement, bound)], total


def _starts_of_parts(total: int, most: int) -> Sequence[int]:
    if total <= most:
        return range(total)
    short, longer = divmod(total, most)
    edge = longer * (short + 1)
    starts = [*range(0, edge, short + 1), *range(edge, total, short)]
    return starts if starts[-1] == total - 1 else [*starts[:-1], total - 1]


def _evenly_apart(total: int, most: int) -> Sequence[int]:
    if total <= most:
        return range(total)
    return sorted({round(index * (total - 1) / max(1, most - 1)) for index in range(most)})
