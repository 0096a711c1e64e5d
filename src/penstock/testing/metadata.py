"""The suite every metadata store passes: the promise of ``stores/metadata/base.py`` and all that is asked of rows.

A backend's test file is a subclass with one fixture::

    class TestSqlite(MetadataStoreSuite):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda: SqliteMetadataStore(tmp_path / "metadata.db")
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from sqlalchemy import Connection

from penstock.entities.errors import ConflictError, InternalError, NotFoundError, PenstockError, UnavailableError
from penstock.stores.metadata import experiments
from penstock.stores.metadata.base import MetadataStore
from penstock.testing.concurrency import ConcurrencySuite
from penstock.testing.fixtures import MetadataFixtures
from penstock.testing.protocol_records import ProtocolRecordSuite
from penstock.testing.records import RecordSuite
from penstock.testing.run_history import RunHistorySuite
from penstock.testing.serving_records import ServingRecordSuite


class PromiseSuite(MetadataFixtures):
    """Threads, atomicity, durability: what ``MetadataStore`` itself promises."""

    def test_what_was_written_is_read(self, store: MetadataStore) -> None:
        """A write returns its operation's result, and the next read sees it."""
        made = store.write(lambda c: experiments.create_experiment(c, "digits", now=7))
        with store.read() as connection:
            assert experiments.get_experiment(connection, made.experiment_id) == made

    def test_what_was_written_is_there_after_reopening(self, open_store: Callable[[], MetadataStore]) -> None:
        """Closing and opening again loses nothing."""
        first = open_store()
        made = first.write(lambda c: experiments.create_experiment(c, "digits", now=7))
        first.close()
        second = open_store()
        with second.read() as connection:
            assert experiments.find_experiment_by_name(connection, "digits") == made
        second.close()

    def test_a_new_database_has_the_default_experiment(self, store: MetadataStore) -> None:
        """Experiment ``0`` is ``Default`` from the first moment."""
        with store.read() as connection:
            assert experiments.get_experiment(connection, "0").name == "Default"

    def test_an_operation_that_raises_keeps_nothing(self, store: MetadataStore) -> None:
        """All of an operation's changes go with its exception, which reaches its caller."""

        def operation(connection: Connection) -> None:
            experiments.create_experiment(connection, "digits", now=7)
            raise LookupError("changed my mind")

        with pytest.raises(LookupError, match="changed my mind"):
            store.write(operation)
        with store.read() as connection:
            assert experiments.find_experiment_by_name(connection, "digits") is None

    def test_a_failing_operation_harms_no_other_of_its_group(self, store: MetadataStore) -> None:
        """Operations queued together are committed or refused one by one."""
        release = threading.Event()
        blocker = store.submit(lambda c: release.wait(30))
        futures = [store.submit(_create(f"e{number % 40}")) for number in range(50)]
        release.set()
        assert blocker.result()
        results = [future.exception() for future in futures]
        assert results[:40] == [None] * 40
        assert all(isinstance(error, ConflictError) for error in results[40:])
        with store.read() as connection:
            assert len(experiments.list_experiments(connection, limit=100)) == 41

    def test_more_than_one_group_can_wait(self, store: MetadataStore) -> None:
        """Nothing that is queued is forgotten, however much it is."""
        release = threading.Event()
        blocker = store.submit(lambda c: release.wait(30))
        futures = [store.submit(lambda c, n=number: n) for number in range(3000)]  # type: ignore[misc] # a default binds the loop variable
        release.set()
        assert blocker.result()
        assert [future.result() for future in futures] == list(range(3000))

    def test_a_canceled_operation_never_runs(self, store: MetadataStore) -> None:
        """What was canceled before its turn leaves no trace."""
        release = threading.Event()
        blocker = store.submit(lambda c: release.wait(30))
        future = store.submit(_create("canceled"))
        assert future.cancel()
        release.set()
        assert blocker.result()
        store.write(_create("kept"))
        with store.read() as connection:
            assert experiments.find_experiment_by_name(connection, "canceled") is None

    def test_many_threads_write_at_once(self, store: MetadataStore) -> None:
        """Every acknowledged write of every thread is there once."""
        with ThreadPoolExecutor(8) as threads:
            done = [threads.submit(store.write, _create(f"e{number}")) for number in range(200)]
            wait(done)
        ids = {future.result() for future in done}
        assert len(ids) == 200
        with store.read() as connection:
            names = {found.name for found in experiments.list_experiments(connection, limit=1000)}
        assert names == {"Default", *(f"e{number}" for number in range(200))}

    def test_a_read_is_a_snapshot(self, store: MetadataStore) -> None:
        """Two questions of one read are answered from the same commit."""
        with store.read() as connection:
            before = experiments.list_experiments(connection, limit=10)
            store.write(_create("later"))
            assert experiments.list_experiments(connection, limit=10) == before
        with store.read() as connection:
            assert len(experiments.list_experiments(connection, limit=10)) == len(before) + 1

    def test_a_read_does_not_wait_for_the_writer(self, store: MetadataStore) -> None:
        """While an operation is running, readers see the commit before it."""
        begun, release = threading.Event(), threading.Event()

        def operation(connection: Connection) -> None:
            experiments.create_experiment(connection, "slow", now=1)
            begun.set()
            assert release.wait(30)

        future = store.submit(operation)
        assert begun.wait(30)
        with store.read() as connection:
            assert experiments.find_experiment_by_name(connection, "slow") is None
        release.set()
        future.result()

    def test_reads_nest_and_run_in_many_threads(self, store: MetadataStore) -> None:
        """Each reader has a connection of its own."""
        ready = threading.Barrier(16)

        def look() -> str:
            with store.read() as outer, store.read() as inner:
                ready.wait(30)
                assert outer is not inner
                return experiments.get_experiment(inner, "0").name

        with ThreadPoolExecutor(16) as threads:
            assert {future.result() for future in [threads.submit(look) for _ in range(16)]} == {"Default"}

    def test_a_read_cannot_write(self, store: MetadataStore) -> None:
        """A statement that writes fails in a read and leaves nothing."""
        with pytest.raises(PenstockError), store.read() as connection:
            experiments.create_experiment(connection, "no", now=1)
        with store.read() as connection:
            assert experiments.find_experiment_by_name(connection, "no") is None

    def test_a_read_that_raises_gives_its_connection_back_clean(self, store: MetadataStore) -> None:
        """The next reader is not harmed by the last one's exception."""
        with pytest.raises(NotFoundError), store.read() as connection:
            experiments.get_experiment(connection, "404")
        store.write(_create("new"))
        with store.read() as connection:
            assert experiments.find_experiment_by_name(connection, "new") is not None

    def test_write_inside_an_operation_is_refused(self, store: MetadataStore) -> None:
        """It would wait for itself for ever."""
        with pytest.raises(InternalError):
            store.write(lambda c: store.write(_create("inner")))

    def test_close_finishes_what_is_queued(self, open_store: Callable[[], MetadataStore]) -> None:
        """What was accepted before ``close`` is committed by it."""
        store = open_store()
        futures = [store.submit(_create(f"e{number}")) for number in range(100)]
        store.close()
        assert all(future.exception() is None for future in futures)
        reopened = open_store()
        with reopened.read() as connection:
            assert len(experiments.list_experiments(connection, limit=1000)) == 101
        reopened.close()

    def test_a_closed_store_says_so(self, open_store: Callable[[], MetadataStore]) -> None:
        """Writing and reading after ``close`` raise UnavailableError; closing twice is fine."""
        store = open_store()
        store.close()
        store.close()
        with pytest.raises(UnavailableError):
            store.write(_create("late"))
        with pytest.raises(UnavailableError):
            store.submit(_create("late"))
        with pytest.raises(UnavailableError), store.read():
            pass

    def test_what_cannot_be_stored_is_a_usage_error(self, store: MetadataStore) -> None:
        """Half a surrogate pair is no text; the store goes on."""
        with pytest.raises(PenstockError):
            store.write(_create("half \ud800"))
        store.write(_create("whole \U0001f600 Ünï"))
        with store.read() as connection:
            assert experiments.find_experiment_by_name(connection, "whole \U0001f600 Ünï") is not None


class MetadataStoreSuite(
    PromiseSuite, ConcurrencySuite, RunHistorySuite, RecordSuite, ServingRecordSuite, ProtocolRecordSuite
):
    """All of it; subclass this one."""


def _create(name: str) -> Callable[[Connection], str]:
    return lambda connection: experiments.create_experiment(connection, name, now=1).experiment_id
