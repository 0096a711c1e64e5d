"""kill -9 in the middle of group commits: every acknowledged write is there, none twice, none in halves."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Connection
from tests.postgresql import PostgresServer

from penstock.entities.errors import UnavailableError
from penstock.entities.run import Metric
from penstock.stores.metadata import events, runs
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.opening import open_metadata
from penstock.testing.fixtures import make_run

THREADS = 16

# Each write appends an event, which nothing makes unique, and a point; so a write done twice or in halves shows.
WRITER = """
import os, sys, threading
from pathlib import Path
from penstock.entities.run import Metric
from penstock.stores.metadata import events, runs
from penstock.stores.metadata.engine.opening import open_metadata

store = open_metadata(sys.argv[1], Path(sys.argv[2]))
run_ids, start = sys.argv[4:], int(sys.argv[3])

def work(run_id):
    step = start
    while True:
        def operation(connection):
            events.append_event(connection, actor=run_id, verb="log", ref="r", detail={"step": step}, now=1)
            runs.log_batch(connection, run_id, metrics=[Metric("m", step * 0.5, 1, step)])
        store.write(operation)
        os.write(1, f'["{run_id}", {step}]\\n'.encode())
        step += 1

for run_id in run_ids:
    threading.Thread(target=work, args=(run_id,)).start()
"""


@dataclass(frozen=True)
class Place:
    """Where a store is: a file, or a schema of a server."""

    url: str
    file: Path

    def open(self) -> MetadataStore:
        return open_metadata(self.url, self.file)


def write_until_killed(place: Place, start: int, run_ids: list[str], acknowledgements: int) -> list[tuple[str, int]]:
    """Return what a process acknowledged before it was killed, after at least so many."""
    words = [sys.executable, "-c", WRITER, place.url, str(place.file), str(start), *run_ids]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(acknowledgements)]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
    assert writer.returncode == -signal.SIGKILL
    return [tuple(json.loads(line)) for line in lines if line.endswith(b"\n")]


def check(store: MetadataStore, run_ids: list[str], acknowledged: list[tuple[str, int]]) -> set[tuple[str, int]]:
    """Look at everything that is kept and return it."""
    with store.read() as reader:
        logged = [
            (run_id, point.step, point.value)
            for run_id in run_ids
            for _, point in runs.metrics_since(reader, run_id, 0)
        ]
        audit = [(event.actor, event.detail["step"]) for event in events.list_events(reader, limit=10**6)]
        assert events.verify_chain(reader) == []
        latest = {run_id: runs.get_run(reader, run_id).latest_metrics for run_id in run_ids}
    written = {(run_id, step) for run_id, step, _ in logged}
    assert set(acknowledged) <= written
    assert all(value == step * 0.5 for _, step, value in logged)
    assert max(Counter(audit).values()) == 1
    assert Counter(audit) == Counter((run_id, step) for run_id, step, _ in logged)
    for run_id in run_ids:
        steps = [step for found, step, _ in logged if found == run_id]
        assert steps == sorted(steps)
        assert latest[run_id][0].step == steps[-1]
    return written


def kill_rounds(place: Place, rounds: int, acknowledgements: int) -> None:
    store = place.open()
    run_ids = [make_run(store) for _ in range(THREADS)]
    store.close()
    acknowledged: list[tuple[str, int]] = []
    for number in range(rounds):
        before = len(acknowledged)
        acknowledged += write_until_killed(place, number * 10**6, run_ids, acknowledgements + 37 * number)
        store = place.open()
        written = check(store, run_ids, acknowledged)
        store.close()
        # One write of each thread may have been committed and not yet acknowledged, no more.
        assert len(acknowledged) <= len(written) <= len(acknowledged) + THREADS * (number + 1)
        assert len(acknowledged) > before


def is_intact(path: Path) -> bool:
    connection = sqlite3.connect(path)
    answer = connection.execute("PRAGMA integrity_check").fetchall()
    connection.close()
    return answer == [("ok",)]


def test_kill_9_during_group_commits_loses_nothing(tmp_path: Path) -> None:
    kill_rounds(Place("", tmp_path / "metadata.db"), rounds=3, acknowledgements=200)
    assert is_intact(tmp_path / "metadata.db")


@pytest.mark.long
def test_kill_9_again_and_again_loses_nothing(tmp_path: Path) -> None:
    kill_rounds(Place("", tmp_path / "metadata.db"), rounds=25, acknowledgements=150)
    assert is_intact(tmp_path / "metadata.db")


@pytest.mark.postgres
def test_kill_9_of_a_writer_to_postgresql_loses_nothing(postgres_server: PostgresServer, tmp_path: Path) -> None:
    kill_rounds(Place(postgres_server.url(), tmp_path / "unused.db"), rounds=3, acknowledgements=200)


@pytest.mark.long
@pytest.mark.postgres
def test_kill_9_of_a_writer_to_postgresql_again_and_again(postgres_server: PostgresServer, tmp_path: Path) -> None:
    kill_rounds(Place(postgres_server.url(), tmp_path / "unused.db"), rounds=20, acknowledgements=150)


@dataclass
class Tally:
    """What threads were told of their writes, until they are to stop."""

    store: MetadataStore
    run_ids: list[str]
    kept: list[tuple[str, int]] = field(default_factory=list)
    refused: list[tuple[str, int]] = field(default_factory=list)
    unknown: list[tuple[str, int]] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)
    heard: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def write(self, run_id: str) -> None:
        step = 0
        while not self.enough.is_set():
            step += 1
            try:
                self.store.write(_log(run_id, step))
            except UnavailableError as error:
                is_unknown = "not known" in str(error)
                (self.unknown if is_unknown else self.refused).append((run_id, step))
            else:
                self.kept.append((run_id, step))
                self.heard.release()

    def wait_for(self, acknowledgements: int) -> None:
        for _ in range(acknowledgements):
            assert self.heard.acquire(timeout=60)


def _log(run_id: str, step: int) -> Callable[[Connection], None]:
    def operation(connection: Connection) -> None:
        events.append_event(connection, actor=run_id, verb="log", ref="r", detail={"step": step}, now=1)
        runs.log_batch(connection, run_id, metrics=[Metric("m", step * 0.5, 1, step)])

    return operation


@pytest.mark.long
@pytest.mark.postgres
@pytest.mark.parametrize("victim", ["a session", "the server"])
def test_kill_9_of_postgresql_during_8_writers_loses_nothing(
    own_server: PostgresServer, tmp_path: Path, victim: str
) -> None:
    draw = random.Random(20)
    store = Place(own_server.url(), tmp_path / "unused.db").open()
    tally = Tally(store, [make_run(store) for _ in range(8)])
    threads = [threading.Thread(target=tally.write, args=(run_id,)) for run_id in tally.run_ids]
    for thread in threads:
        thread.start()
    try:
        for _ in range(6):
            tally.wait_for(draw.randrange(50, 400))
            if victim == "the server":
                own_server.kill()
                own_server.start()
            else:  # PostgreSQL ends all of its sessions then, and recovers
                own_server.kill_session("penstock")
        tally.wait_for(100)
    finally:
        tally.enough.set()
        for thread in threads:
            thread.join()
    written = check(store, tally.run_ids, tally.kept)
    assert not written & set(tally.refused)
    assert written <= {*tally.kept, *tally.unknown}
    assert len(tally.kept) == len(set(tally.kept))
    store.close()
