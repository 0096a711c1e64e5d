"""Metric points: what was logged, and the latest of each key; ``metric_history`` reads the rest.

The rules are MLflow's: the latest point is the one with the greatest (step, timestamp, value), NaN competes
as 0, of equal ones the first logged stays, exact duplicates are one point. A run shows the points of its
latest attempt and those logged by no attempt (number 0); points of earlier attempts stay stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Text, bindparam, delete, func, insert, select, tuple_, update

from penstock.entities.run import Metric
from penstock.stores.metadata.engine.many_rows import array_of, array_text
from penstock.stores.metadata.engine.statements import HotStatement, insert_into
from penstock.stores.metadata.tables import latest, metric_keys, points, runs

_NAN = float("nan")
_POINT = ("run", "seq", "key", "attempt", "step", "timestamp", "value", "is_nan")
_LATEST = ("run", "key", "step", "timestamp", "value", "is_nan", "experiment", "start_time")


def _upsert_latest(dialect: str) -> Any:
    statement = insert_into(dialect, latest)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["run", "key"],
        set_={"step": new.step, "timestamp": new.timestamp, "value": new.value, "is_nan": new.is_nan},
        where=tuple_(new.step, new.timestamp, new.value) > tuple_(latest.c.step, latest.c.timestamp, latest.c.value),
    )


_ADD_POINT = HotStatement(lambda dialect: insert_into(dialect, points).on_conflict_do_nothing(), *_POINT)
_PUT_LATEST = HotStatement(_upsert_latest, *_LATEST)
_LAST_SEQ = HotStatement(lambda _: select(func.max(points.c.seq)).where(points.c.run == bindparam("run")), "run")
_RUNS = array_of("runs", BigInteger())
_LAST_SEQS = HotStatement(
    lambda _: select(
        _RUNS.c.value, select(func.max(points.c.seq)).where(points.c.run == _RUNS.c.value).scalar_subquery()
    ),
    "runs",
)
_NAMES = func.json_each(bindparam("names")).table_valued("value")
_FIND_KEY = HotStatement(lambda _: select(metric_keys.c.id).where(metric_keys.c.key == bindparam("name")), "name")
_KNOWN_KEYS = HotStatement(
    lambda _: select(metric_keys.c.key, metric_keys.c.id).join_from(
        _NAMES, metric_keys, metric_keys.c.key == _NAMES.c.value
    ),
    "names",
)
_NAME_ARRAY = array_of("names", Text())
_KNOWN_KEYS_ON_SERVER = HotStatement(
    lambda _: select(metric_keys.c.key, metric_keys.c.id).join_from(
        _NAME_ARRAY, metric_keys, metric_keys.c.key == _NAME_ARRAY.c.value
    ),
    "names",
)
_ADD_KEY = HotStatement(lambda dialect: insert_into(dialect, metric_keys).on_conflict_do_nothing(), "key")
_SHOWN = (metric_keys.c.key, latest.c.value, latest.c.timestamp, latest.c.step, latest.c.is_nan)
_LATEST_OF_ONE = HotStatement(
    lambda _: (
        select(*_SHOWN)
        .join(latest, latest.c.key == metric_keys.c.id)
        .where(latest.c.run == bindparam("row"))
        .order_by(metric_keys.c.key)
    ),
    "row",
)


class Points(NamedTuple):
    """What one attempt (0 for none) logged to one run; the other fields are the run's own, by its row."""

    run: int
    experiment: int
    start_time: int
    current_attempt: int
    attempt: int
    metrics: Iterable[Metric]


def add_points(connection: Connection, logged: Iterable[Points]) -> None:
    """Store points, in order, and what they change of the latest ones of their runs."""
    logged = [points._replace(metrics=tuple(points.metrics)) for points in logged]
    keys = _known_keys(connection, {metric.key for points in logged for metric in points.metrics})
    last = _last_seqs(connection, {points.run for points in logged})
    best: dict[tuple[int, int], tuple[Any, ...]] = {}
    rows: list[tuple[Any, ...]] = []
    for run, experiment, start_time, current, attempt, metrics in logged:
        seq = last.get(run)
        if seq is None:
            seq = int(_LAST_SEQ.first(connection, (run,))[0] or 0)
        is_shown = attempt in (0, current)
        for metric in metrics:
            key = keys.get(metric.key)
            if key is None:
                key = keys[metric.key] = _key_row(connection, metric.key)
            step, timestamp, value, is_nan = metric.step, metric.timestamp, float(metric.value), False
            if value != value:
                value, is_nan = 0.0, True
            seq += 1
            rows.append((run, seq, key, attempt, step, timestamp, value, is_nan))
            if is_shown:
                found = best.get((run, key))
                if found is None or (step, timestamp, value) > found[2:5]:
                    best[run, key] = (run, key, step, timestamp, value, is_nan, experiment, start_time)
        last[run] = seq
    _ADD_POINT.many(connection, rows)
    _PUT_LATEST.many(connection, list(best.values()))


def begin_attempt(connection: Connection, run: int, attempt: int) -> None:
    """Make ``attempt`` the run's latest: points of earlier attempts no longer count."""
    connection.execute(update(runs).where(runs.c.id == run).values(attempt=attempt))
    connection.execute(delete(latest).where(latest.c.run == run))
    place = func.row_number().over(
        partition_by=points.c.key,
        order_by=(points.c.step.desc(), points.c.timestamp.desc(), points.c.value.desc(), points.c.seq),
    )
    ranked = (
        select(*(points.c[name] for name in _LATEST[:6]), runs.c.experiment, runs.c.start_time, place.label("place"))
        .join(runs, runs.c.id == points.c.run)
        .where(points.c.run == run, points.c.attempt.in_((0, attempt)))
        .subquery()
    )
    kept = select(*(ranked.c[name] for name in _LATEST)).where(ranked.c.place == 1)
    connection.execute(insert(latest).from_select(list(_LATEST), kept))


def latest_of_one(connection: Connection, row: int) -> list[Metric]:
    """Return the latest points of one run, given by its row, sorted by key."""
    return [_metric(point) for point in _LATEST_OF_ONE.all(connection, (row,))]


def _metric(point: Sequence[Any]) -> Metric:
    key, value, timestamp, step, is_nan = point
    return Metric(key, _NAN if is_nan else value, timestamp, step)


def _known_keys(connection: Connection, names: set[str]) -> dict[str, int]:
    """Return the rows of those keys that are there, by one question instead of one for each of them.

    On a server, where each statement is a message and its answer, those that are missing are added together.
    """
    if len(names) < 2:
        return {}
    if connection.dialect.name == "sqlite":
        return dict(_KNOWN_KEYS.all(connection, (json.dumps(list(names)),)))
    array = (array_text(names),)
    found = dict(_KNOWN_KEYS_ON_SERVER.all(connection, array))
    if missing := sorted(names - found.keys()):
        _ADD_KEY.many(connection, [(name,) for name in missing])
        found = dict(_KNOWN_KEYS_ON_SERVER.all(connection, array))
    return found


def _last_seqs(connection: Connection, rows: set[int]) -> dict[int, int]:
    """Return the last number of each of several runs, where asking once is worth it."""
    if len(rows) < 2 or connection.dialect.name == "sqlite":
        return {}
    return {run: int(last or 0) for run, last in _LAST_SEQS.all(connection, (array_text(rows),))}


def _key_row(connection: Connection, key: str) -> int:
    found = _FIND_KEY.first(connection, (key,))
    if found is None:
        connection.execute(insert(metric_keys).values(key=key))
        found = _FIND_KEY.first(connection, (key,))
    return int(found[0])
