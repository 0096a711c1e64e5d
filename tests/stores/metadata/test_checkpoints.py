"""SQLite's log while somebody reads all the time, or for long: it does not grow without bound."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from penstock.entities.errors import UnavailableError
from penstock.stores.metadata import runs
from penstock.stores.metadata.engine import gate
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore
from penstock.stores.metadata.engine.sqlite_file import SqliteFile, SqliteReader
from penstock.testing.fixtures import make_run

MIB = 2**20
LOOK = text("SELECT count(*) FROM tags")
ENDLESS = text("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteMetadataStore]:
    store = SqliteMetadataStore(tmp_path / "metadata.db", longest_log_bytes=32 * MIB)
    yield store
    store.close()


def write(store: SqliteMetadataStore, run_id: str, megabytes: int) -> None:
    """Write so much, a tenth of a megabyte at a time, over the same few rows."""
    value = "x" * (MIB // 10)
    for number in range(megabytes * 10):
        store.write(lambda c, n=number: runs.set_tag(c, run_id, f"big {n % 20}", value))  # type: ignore[misc] # a default binds the loop variable


def size(store: SqliteMetadataStore, tmp_path: Path) -> float:
    return (tmp_path / "metadata.db-wal").stat().st_size / MIB


def test_readers_that_take_turns_do_not_let_the_log_grow(store: SqliteMetadataStore, tmp_path: Path) -> None:
    run_id = make_run(store)
    opened = [threading.Semaphore(0), threading.Semaphore(0)]
    enough = threading.Event()
    seen = []

    def read(me: int) -> None:
        """Keep a snapshot until the other has opened a later one, so that there is always one."""
        while not enough.is_set():
            with store.read() as connection:
                seen.append(connection.execute(LOOK).scalar_one())
                opened[me].release()
                while not enough.is_set() and not opened[1 - me].acquire(timeout=1):
                    pass

    threads = [threading.Thread(target=read, args=(me,)) for me in range(2)]
    for thread in threads:
        thread.start()
    try:
        write(store, run_id, 70)
        grown = size(store, tmp_path)
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert len(seen) > 100
    assert grown < 80


def test_overlapping_readers_of_other_processes_leave_the_log_within_its_bound(tmp_path: Path) -> None:
    store = SqliteMetadataStore(tmp_path / "metadata.db", longest_log_bytes=8 * MIB)
    run_id = make_run(store)
    enough = threading.Event()
    seen = []

    def read(delay_s: float) -> None:
        """Look for 0.3 s at a time, as a process beside the server does, which only the gate tells of the writer."""
        reader = SqliteReader(SqliteFile(tmp_path / "metadata.db"))
        enough.wait(delay_s)
        while not enough.is_set():
            with reader.read() as connection:
                seen.append(connection.execute(LOOK).scalar_one())
                enough.wait(0.3)
        reader.close()

    threads = [threading.Thread(target=read, args=(delay_s,)) for delay_s in (0, 0.15)]
    for thread in threads:
        thread.start()
    grown = []
    try:
        for _ in range(10):
            write(store, run_id, 5)
            grown.append(size(store, tmp_path))
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert len(seen) > 1
    assert max(grown) < 24
    write(store, run_id, 20)
    assert size(store, tmp_path) < 20
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["metadata.db"]


def test_a_read_without_end_is_given_up_before_the_log_has_none(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(gate, "LONGEST_SNAPSHOT_S", 0.1)
    store = SqliteMetadataStore(tmp_path / "metadata.db", longest_log_bytes=4 * MIB)
    run_id = make_run(store)
    has_begun = threading.Event()
    ends = []

    def read() -> None:
        with store.read() as connection:
            connection.execute(LOOK)
            has_begun.set()
            connection.execute(ENDLESS).scalar_one()

    def read_in_vain() -> None:
        with pytest.raises(UnavailableError, match="given up"):
            read()
        ends.append(size(store, tmp_path))

    thread = threading.Thread(target=read_in_vain)
    thread.start()
    assert has_begun.wait(10)
    write(store, run_id, 12)
    thread.join()
    assert ends[0] < 16
    write(store, run_id, 6)
    assert size(store, tmp_path) < 12
    with store.read() as connection:  # the same connection
        assert connection.execute(LOOK).scalar_one() > 0
    store.close()


def test_a_long_read_holds_nobody_up_and_its_log_is_used_again(store: SqliteMetadataStore, tmp_path: Path) -> None:
    run_id = make_run(store)
    with store.read() as connection:
        before = connection.execute(LOOK).scalar_one()
        write(store, run_id, 30)
        under_it = size(store, tmp_path)
        assert connection.execute(LOOK).scalar_one() == before
    write(store, run_id, 60)
    assert size(store, tmp_path) < under_it + 50


def test_a_long_log_is_begun_anew_between_two_reads_in_another_process(tmp_path: Path) -> None:
    store = SqliteMetadataStore(tmp_path / "metadata.db")
    run_id = make_run(store)
    for _ in range(10):
        with store.read_elsewhere():
            write(store, run_id, 4)
        write(store, run_id, 4)
    assert size(store, tmp_path) < 70
    with store.read_elsewhere():
        write(store, run_id, 80)
        assert size(store, tmp_path) > 70
    store.close()


def test_nothing_is_left_in_the_log_after_a_close(tmp_path: Path) -> None:
    store = SqliteMetadataStore(tmp_path / "metadata.db")
    write(store, make_run(store), 1)
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(store.read())
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["metadata.db"]
