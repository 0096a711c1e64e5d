"""The history of a metric, read as plain rows: what a chart of a million points is made of.

A run shows the points of its latest attempt and those of no attempt. In (timestamp, step, value) order everything
lies in one covering index, so a page that begins after a known point costs the same wherever it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, bindparam, func, literal_column, or_, select, tuple_

from penstock.stores.metadata.engine.statements import HotStatement
from penstock.stores.metadata.run_log import RunRow
from penstock.stores.metadata.tables import metric_keys, points

Row = tuple[float, bool, int, int, int]
"""Value (0 where it is NaN), whether it is NaN, timestamp, step, attempt."""

_ALL = 2**63 - 1
_ROW = (points.c.value, points.c.is_nan, points.c.timestamp, points.c.step, points.c.attempt)
_PLACE = (points.c.timestamp, points.c.step, points.c.value, points.c.is_nan, points.c.attempt)


class Place(NamedTuple):
    """Where a page of a history ended: its last point, in the history's order."""

    timestamp: int
    step: int
    value: float
    is_nan: bool
    attempt: int


def _of_run() -> Any:
    return and_(
        points.c.run == bindparam("run"),
        points.c.key == select(metric_keys.c.id).where(metric_keys.c.key == bindparam("name")).scalar_subquery(),
        points.c.attempt.in_((literal_column("0"), bindparam("current"))),
    )


def _page(_: str) -> Select[Any]:
    return select(*_ROW).where(_of_run()).order_by(*_PLACE).limit(bindparam("most")).offset(bindparam("skip"))


def _next_page(_: str) -> Select[Any]:
    after = tuple_(*(bindparam(name, type_=column.type) for name, column in zip(Place._fields, _PLACE, strict=True)))
    return (
        select(*_ROW)
        .where(_of_run(), tuple_(*_PLACE) > after)
        .order_by(*_PLACE)
        .limit(bindparam("most"))
        .offset(bindparam("skip"))
    )


_PAGE = HotStatement(_page, "run", "name", "current", "most", "skip")
_NEXT_PAGE = HotStatement(_next_page, "run", "name", "current", *Place._fields, "most", "skip")


def read_history(
    connection: Connection,
    run: RunRow,
    key: str,
    *,
    limit: int | None = None,
    offset: int = 0,
    after: Place | None = None,
    chunk: int = 10_000,
) -> Iterator[list[Row]]:
    """Yield the points of one metric in (timestamp, step, value) order, in chunks.

    Parameters
    ----------
    limit : int, optional
        At most so many points.
    offset : int
        Leave out so many; costs time in proportion. Not together with ``after``.
    after : Place, optional
        Begin behind this point, which costs nothing.
    """
    start = (run.id, key, run.attempt)
    most = _ALL if limit is None else limit
    if after is None:
        yield from _PAGE.chunks(connection, (*start, most, offset), chunk)
    else:
        yield from _NEXT_PAGE.chunks(connection, (*start, *after, most, 0), chunk)


def sample_history(
    connection: Connection, run: RunRow, key: str, *, limit: int, steps: tuple[int, int] | None = None
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
    name = select(metric_keys.c.id).where(metric_keys.c.key == key).scalar_subquery()
    wanted = [points.c.run == run.id, points.c.key == name, points.c.attempt.in_((0, run.attempt))]
    if steps is not None:
        wanted.append(points.c.step.between(*steps))
    total = int(connection.execute(select(func.count()).select_from(points).where(*wanted)).scalar_one())
    order = (points.c.step, points.c.timestamp, points.c.value, points.c.is_nan, points.c.attempt)
    if total <= limit:
        return [tuple(row) for row in connection.execute(select(*_ROW).where(*wanted).order_by(*order))]
    short, longer = divmod(total, limit)
    edge = longer * (short + 1)
    placed = select(*_ROW, (func.row_number().over(order_by=order) - 1).label("place")).where(*wanted).subquery()
    place = placed.c.place
    is_first = or_(
        and_(place < edge, place % (short + 1) == 0),
        and_(place >= edge, (place - edge) % short == 0),
    )
    columns = [placed.c[column.name] for column in _ROW]
    statement = select(*columns).where(or_(is_first, place == total - 1)).order_by(place)
    found = [tuple(row) for row in connection.execute(statement)]
    return found if len(found) <= limit else [*found[: limit - 1], found[-1]]
