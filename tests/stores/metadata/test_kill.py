"""kill -9 in the middle of group commits: every acknowledged write is there, none twice, none in halves."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from penstock.stores.metadata import events, runs
from penstock.stores.metadata.sqlite import SqliteMetadataStore
from penstock.testing.fixtures import make_run

THREADS = 16

# Each write appends an event, which nothing makes unique, and a point; so a write done twice or in halves shows.
WRITER = """
import os, sys, threading
from pathlib import Path
from penstock.entities.run import Metric
from penstock.stores.metadata import events, runs
from penstock.stores.metadata.sqlite import SqliteMetadataStore

store = SqliteMetadataStore(Path(sys.argv[1]))
run_ids, start = sys.argv[3:], int(sys.argv[2])

def work(run_id):
    step = start
    while True:
        def operation(connection):
            events.append_event(connection, actor=run_id, verb="log", ref="r", detail={"step": step}, now=1)
            runs.log_batch(connection, run_id, metrics=[Metric("m", step * 0.5, 1, step)], now=1)
        store.write(operation)
        os.write(1, f'["{run_id}", {step}]\\n'.encode())
        step += 1

for run_id in run_ids:
    threading.Thread(target=work, args=(run_id,)).start()
"""


def write_until_killed(path: Path, start: int, run_ids: list[str], acknowledgements: int) -> list[tuple[str, int]]:
    """Return what a process acknowledged before it was killed, after at least so many."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(start), *run_ids], stdout=subprocess.PIPE)
    with writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(acknowledgements)]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
    assert writer.returncode == -signal.SIGKILL
    return [tuple(json.loads(line)) for line in lines if line.endswith(b"\n")]


def check(path: Path, run_ids: list[str], acknowledged: list[tuple[str, int]]) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    store = SqliteMetadataStore(path)
    with store.read() as reader:
        logged = [
            (run_id, point.step, point.value)
            for run_id in run_ids
            for _, point in runs.metrics_since(reader, run_id, 0)
        ]
        audit = [(event.actor, event.detail["step"]) for event in events.list_events(reader, limit=10**6)]
        assert events.verify_chain(reader) == []
        latest = {run_id: runs.get_run(reader, run_id).latest_metrics for run_id in run_ids}
    store.close()
    written = {(run_id, step) for run_id, step, _ in logged}
    assert set(acknowledged) <= written
    assert all(value == step * 0.5 for _, step, value in logged)
    assert max(Counter(audit).values()) == 1
    assert Counter(audit) == Counter((run_id, step) for run_id, step, _ in logged)
    for run_id in run_ids:
        steps = [step for found, step, _ in logged if found == run_id]
        assert steps == sorted(steps)
        assert latest[run_id][0].step == steps[-1]


def kill_rounds(path: Path, rounds: int, acknowledgements: int) -> None:
    store = SqliteMetadataStore(path)
    run_ids = [make_run(store) for _ in range(THREADS)]
    store.close()
    acknowledged: list[tuple[str, int]] = []
    for number in range(rounds):
        before = len(acknowledged)
        acknowledged += write_until_killed(path, number * 10**6, run_ids, acknowledgements + 37 * number)
        check(path, run_ids, acknowledged)
        # One write of each thread may have been committed and not yet acknowledged, no more.
        with_unacknowledged = count_points(path)
        assert len(acknowledged) <= with_unacknowledged <= len(acknowledged) + THREADS * (number + 1)
        assert len(acknowledged) > before


def count_points(path: Path) -> int:
    connection = sqlite3.connect(path)
    (count,) = connection.execute("SELECT count(*) FROM points").fetchone()
    connection.close()
    return int(count)


def test_kill_9_during_group_commits_loses_nothing(tmp_path: Path) -> None:
    kill_rounds(tmp_path / "metadata.db", rounds=3, acknowledgements=200)


@pytest.mark.long
def test_kill_9_again_and_again_loses_nothing(tmp_path: Path) -> None:
    kill_rounds(tmp_path / "metadata.db", rounds=25, acknowledgements=150)
