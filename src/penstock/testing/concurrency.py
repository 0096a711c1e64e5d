"""The part of the metadata suite about many at once: writers in groups, readers beside them, refusals among both."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor, wait

from sqlalchemy import Connection

from penstock.entities.errors import NotFoundError, UsageError
from penstock.entities.run import Metric
from penstock.stores.metadata import events, runs
from penstock.stores.metadata.base import MetadataStore
from penstock.testing.fixtures import MetadataFixtures, make_run

_WRITERS = 8
_ROUNDS = 40


class ConcurrencySuite(MetadataFixtures):
    """What holds however many threads write and read."""

    def test_readers_see_whole_operations_only(self, store: MetadataStore, run_id: str) -> None:
        """Two rows that one operation changes are equal in every snapshot, and never go back."""
        enough = threading.Event()

        def look() -> int:
            seen = 0
            while not enough.is_set():
                with store.read() as connection:
                    left = int(runs.find_tag(connection, run_id, "left") or 0)
                    right = int(runs.find_tag(connection, run_id, "right") or 0)
                assert left == right >= seen
                seen = right
            return seen

        with ThreadPoolExecutor(3) as threads:
            readers = [threads.submit(look) for _ in range(3)]
            try:
                for number in range(1, 200):
                    store.write(lambda c, n=str(number): _set_both(c, run_id, n))  # type: ignore[misc] # a default binds the loop variable
            finally:
                enough.set()
            assert all(reader.result() >= 0 for reader in readers)

    def test_what_was_acknowledged_is_seen_by_every_later_read(self, store: MetadataStore) -> None:
        """Also by another thread than the one that wrote."""

        def write_and_look(number: int) -> bool:
            run_id = make_run(store)
            store.write(lambda c: runs.set_tag(c, run_id, "n", str(number)))
            with store.read() as connection:
                return runs.find_tag(connection, run_id, "n") == str(number)

        with ThreadPoolExecutor(_WRITERS) as threads:
            assert all(threads.map(write_and_look, range(_WRITERS * 10)))

    def test_many_threads_log_to_one_run_and_to_their_own(self, store: MetadataStore) -> None:
        """Every point is there once, in the order of its thread; the audit chain has no gap."""
        shared = make_run(store)
        own = [make_run(store) for _ in range(_WRITERS)]
        with store.read() as connection:
            before = len(events.list_events(connection, limit=10**6))

        def work(me: int) -> list[Future[None]]:
            futures = []
            for step in range(_ROUNDS):
                store.write(lambda c, s=step: _log_and_tell(c, own[me], "m", s))  # type: ignore[misc] # a default binds the loop variable
                futures.append(store.submit(lambda c, s=step: _log_and_tell(c, shared, f"m{me}", s)))  # type: ignore[misc] # a default binds the loop variable
            return futures

        with ThreadPoolExecutor(_WRITERS) as threads:
            wait([future for futures in threads.map(work, range(_WRITERS)) for future in futures])
        steps = list(range(_ROUNDS))
        with store.read() as connection:
            for run_id in own:
                assert [point.step for _, point in runs.metrics_since(connection, run_id)] == steps
            logged = runs.metrics_since(connection, shared)
            told = events.list_events(connection, limit=10**6)
            assert events.verify_chain(connection) == []
        for me in range(_WRITERS):
            assert [point.step for _, point in logged if point.key == f"m{me}"] == steps
        assert len({seq for seq, _ in logged}) == len(logged) == _WRITERS * _ROUNDS
        assert len(told) - before == 2 * _WRITERS * _ROUNDS

    def test_refusals_among_many_writers_keep_nothing_and_harm_nobody(self, store: MetadataStore, run_id: str) -> None:
        """An operation that fails after its first row leaves no row, whatever was committed with it."""

        def fail(connection: Connection, number: int) -> None:
            runs.set_tag(connection, run_id, f"bad {number}", "x")
            if number % 2:
                raise UsageError("no")
            runs.set_tag(connection, "nobody", "x", "y")

        def work(me: int) -> Counter[str]:
            outcomes: Counter[str] = Counter()
            for number in range(me, _WRITERS * _ROUNDS, _WRITERS):
                good = store.submit(lambda c, n=number: runs.set_tag(c, run_id, f"good {n}", "x"))  # type: ignore[misc] # a default binds the loop variable
                error = store.submit(lambda c, n=number: fail(c, n)).exception()  # type: ignore[misc] # a default binds the loop variable
                outcomes[type(error).__name__] += 1
                good.result()
            return outcomes

        with ThreadPoolExecutor(_WRITERS) as threads:
            outcomes = sum(threads.map(work, range(_WRITERS)), Counter[str]())
        half = _WRITERS * _ROUNDS // 2
        assert outcomes == {UsageError.__name__: half, NotFoundError.__name__: half}
        with store.read() as connection:
            kept = set(runs.get_run(connection, run_id).tags)
        assert {key for key in kept if key.startswith("bad")} == set()
        assert {key for key in kept if key.startswith("good")} == {f"good {n}" for n in range(_WRITERS * _ROUNDS)}


def _set_both(connection: Connection, run_id: str, value: str) -> None:
    runs.set_tag(connection, run_id, "left", value)
    runs.set_tag(connection, run_id, "right", value)


def _log_and_tell(connection: Connection, run_id: str, key: str, step: int) -> None:
    runs.log_batch(connection, run_id, metrics=[Metric(key, float(step), step, step)])
    events.append_event(connection, actor="ada", verb="log", ref=f"job:{run_id}", detail={"step": step}, now=1)
