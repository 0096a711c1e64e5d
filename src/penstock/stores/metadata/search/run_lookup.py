"""Find one run by what people type, and a stretch of one metric's history."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select, tuple_

from penstock.entities.errors import NotFoundError, UsageError
from penstock.entities.run import Metric
from penstock.stores.metadata.tables import metric_keys, points, runs

SHORTEST_PREFIX = 6
_NAN = float("nan")
_ORDER = (points.c.timestamp, points.c.step, points.c.value, points.c.is_nan, points.c.attempt)


def resolve_run(connection: Connection, reference: str) -> str:
    """Return the id of the run that an id, or a unique prefix of six or more characters, means; deleted or not.

    Raises
    ------
    NotFoundError
        If there is none.
    UsageError
        If the prefix is not unique.
    """
    found = _starting_with(connection, reference)
    if reference in found:
        return reference
    if not found or len(reference) < SHORTEST_PREFIX:
        raise NotFoundError(
            f'no run "{reference[:300]}"', hint="List them with: penstock run list", ref=f"run:{reference[:300]}"
        )
    if len(found) > 1:
        raise UsageError(f'"{reference}" fits several runs', hint="Such as " + ", ".join(found))
    return found[0]


def read_history(
    connection: Connection,
    run_id: str,
    key: str,
    *,
    from_step: int | None = None,
    to_step: int | None = None,
    after: tuple[Metric, int] | None = None,
    limit: int,
) -> list[tuple[Metric, int]]:
    """Return the points of one metric between two steps (both included) in the order of time, and their attempts.

    Parameters
    ----------
    after : (Metric, int), optional
        The last point of the page before and its attempt: two attempts may have logged the same.
    limit : int
        At most so many.
    """
    statement = _between(select(*_ORDER), run_id, key, from_step, to_step).order_by(*_ORDER).limit(limit)
    if after is not None:
        point, attempt = after
        is_nan = math.isnan(point.value)
        last = (point.timestamp, point.step, 0.0 if is_nan else point.value, is_nan, attempt)
        statement = statement.where(tuple_(*_ORDER) > tuple_(*last))
    return _metrics(connection, statement, key)


def sample_history(
    connection: Connection,
    run_id: str,
    key: str,
    *,
    from_step: int | None = None,
    to_step: int | None = None,
    most: int,
) -> tuple[list[Metric], int]:
    """Return at most ``most`` points of a metric, evenly apart, the first and the last among them; and of how many."""
    total = connection.execute(_between(select(func.count()), run_id, key, from_step, to_step)).scalar_one()
    if total <= most:
        found = read_history(connection, run_id, key, from_step=from_step, to_step=to_step, limit=most)
        return [point for point, _ in found], total
    place = (func.row_number().over(order_by=_ORDER) - 1).label("place")
    placed = _between(select(*_ORDER, place), run_id, key, from_step, to_step).subquery()
    wanted = sorted({round(index * (total - 1) / max(1, most - 1)) for index in range(most)})
    statement = select(*(placed.c[column.name] for column in _ORDER)).where(placed.c.place.in_(wanted))
    return [point for point, _ in _metrics(connection, statement.order_by(placed.c.place), key)], total


def _between(statement: Select[Any], run_id: str, key: str, from_step: int | None, to_step: int | None) -> Select[Any]:
    counts = or_(points.c.attempt == 0, points.c.attempt == runs.c.attempt)
    source = points.join(runs, runs.c.id == points.c.run).join(metric_keys, metric_keys.c.id == points.c.key)
    statement = statement.select_from(source).where(and_(runs.c.run_id == run_id, metric_keys.c.key == key, counts))
    if from_step is not None:
        statement = statement.where(points.c.step >= from_step)
    if to_step is not None:
        statement = statement.where(points.c.step <= to_step)
    return statement


def _metrics(connection: Connection, statement: Select[Any], key: str) -> list[tuple[Metric, int]]:
    return [
        (Metric(key, _NAN if is_nan else value, timestamp, step), attempt)
        for timestamp, step, value, is_nan, attempt in connection.execute(statement)
    ]


def _starting_with(connection: Connection, prefix: str) -> list[str]:
    if not prefix or not prefix.isascii():  # ids are ASCII
        return []
    beyond = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    wanted = and_(runs.c.run_id >= prefix, runs.c.run_id < beyond)
    return list(connection.execute(select(runs.c.run_id).where(wanted).order_by(runs.c.run_id).limit(3)).scalars())
