"""Big histories for both trackers, written as rows past their servers: seeding is not what is measured.

Both get the same runs: the same ids, times, values. Writing them through the servers would take MLflow's an hour.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Iterator

from benchmarks.trackers import MlflowServer, Penstock, opened

START = 1_700_000_000_000
LONG_RUN = "f" * 32
"""The run that has a long history."""

_RUN = "INSERT INTO runs (run_id, experiment, run_name, user_id, status, lifecycle_stage, start_time, end_time, \
artifact_uri, attempt) VALUES (?, ?, ?, 'bench', 'FINISHED', 'active', ?, ?, ?, 0) RETURNING id"
_THEIR_RUN = (
    "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, \
end_time, source_version, lifecycle_stage, artifact_uri, experiment_id) \
VALUES (?, ?, 'UNKNOWN', '', '', 'bench', 'FINISHED', ?, ?, '', 'active', ?, ?)"
)


def run_id(index: int) -> str:
    """Return the id of a run of :func:`seed_runs`."""
    return random.Random(index).randbytes(16).hex()


def seed_runs(
    ours: Penstock, theirs: MlflowServer | None, experiment: int, *, runs: int, metrics: int, params: int
) -> None:
    """Write runs with one point of each metric, and parameters; ours must not be running."""
    with opened(ours) as connection:
        _seed_ours(connection, experiment, runs, metrics, params)
    if theirs is not None:
        with opened(theirs) as connection:
            _seed_theirs(connection, experiment, runs, metrics, params)


def seed_history(ours: Penstock, theirs: MlflowServer | None, experiment: int, points: int) -> None:
    """Write one run with a long history of the metric ``loss``; ours must not be running."""
    with opened(ours) as connection:
        row = _add_run(connection, experiment, LONG_RUN, START)
        key = _keys(connection, ["loss"])[0]
        rows = ((row, n + 1, key, 0, n, START + n, 1 / (n + 1), 0) for n in range(points))
        connection.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        last = (row, key, points - 1, START + points - 1, 1 / points, 0, experiment, START)
        connection.execute("INSERT INTO latest VALUES (?, ?, ?, ?, ?, ?, ?, ?)", last)
    if theirs is not None:
        with opened(theirs) as connection:
            connection.execute(_THEIR_RUN, _their_run(experiment, LONG_RUN, START))
            lines = (("loss", 1 / (n + 1), START + n, LONG_RUN, n, 0) for n in range(points))
            _their_metrics(connection, lines)
            _their_latest(connection, [("loss", 1 / points, START + points - 1, points - 1, 0, LONG_RUN)])


def _seed_ours(connection: sqlite3.Connection, experiment: int, runs: int, metrics: int, params: int) -> None:
    keys = _keys(connection, [f"m{index}" for index in range(metrics)])
    points, latest, pairs, tags = [], [], [], []
    for name, start, values, texts in _invented(runs, metrics, params):
        row = _add_run(connection, experiment, name, start)
        for seq, (key, value) in enumerate(zip(keys, values, strict=True), 1):
            points.append((row, seq, key, 0, 1, start, value, 0))
            latest.append((row, key, 1, start, value, 0, experiment, start))
        pairs += [(row, f"p{index}", text, experiment) for index, text in enumerate(texts)]
        tags += [(row, "mlflow.runName", name[:12], experiment), (row, "mlflow.user", "bench", experiment)]
    # In the order of their keys, which halves the time.
    connection.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?, ?, ?, ?)", points)
    connection.executemany("INSERT INTO latest VALUES (?, ?, ?, ?, ?, ?, ?, ?)", latest)
    connection.executemany("INSERT INTO params VALUES (?, ?, ?, ?)", pairs)
    connection.executemany("INSERT INTO tags VALUES (?, ?, ?, ?)", sorted(tags))


def _seed_theirs(connection: sqlite3.Connection, experiment: int, runs: int, metrics: int, params: int) -> None:
    lines, pairs, tags = [], [], []
    for name, start, values, texts in _invented(runs, metrics, params):
        connection.execute(_THEIR_RUN, _their_run(experiment, name, start))
        lines += [(f"m{index}", value, start, name, 1, 0) for index, value in enumerate(values)]
        pairs += [(f"p{index}", text, name) for index, text in enumerate(texts)]
        tags += [("mlflow.runName", name[:12], name), ("mlflow.user", "bench", name)]
    _their_metrics(connection, lines)
    _their_latest(connection, [(key, value, at, step, nan, name) for key, value, at, name, step, nan in lines])
    connection.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", pairs)
    connection.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", tags)


def _invented(runs: int, metrics: int, params: int) -> Iterator[tuple[str, int, list[float], list[str]]]:
    for index in range(runs):
        chance = random.Random(index)
        name = chance.randbytes(16).hex()
        values = [chance.random() for _ in range(metrics)]
        yield name, START + index * 1000, values, [str(chance.randrange(100)) for _ in range(params)]


def _add_run(connection: sqlite3.Connection, experiment: int, name: str, start: int) -> int:
    uri = f"mlflow-artifacts:/{experiment}/{name}/artifacts"
    row = connection.execute(_RUN, (name, experiment, name[:12], start, start + 500, uri)).fetchone()
    return int(row[0])


def _keys(connection: sqlite3.Connection, names: list[str]) -> list[int]:
    connection.executemany("INSERT OR IGNORE INTO metric_keys (key) VALUES (?)", [(name,) for name in names])
    known = dict(connection.execute("SELECT key, id FROM metric_keys"))
    return [known[name] for name in names]


def _their_run(experiment: int, name: str, start: int) -> tuple[object, ...]:
    uri = f"mlflow-artifacts:/{experiment}/{name}/artifacts"
    return (name, name[:12], start, start + 500, uri, experiment)


def _their_metrics(connection: sqlite3.Connection, lines: Iterable[tuple[object, ...]]) -> None:
    connection.executemany(
        "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)", lines
    )


def _their_latest(connection: sqlite3.Connection, lines: Iterable[tuple[object, ...]]) -> None:
    connection.executemany(
        "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)", lines
    )
