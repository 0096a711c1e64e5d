"""How much longer does a logged value take at worst while five jobs run and somebody searches all the time?"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import seeding
from benchmarks.measuring import Lab, Result, print_results
from benchmarks.trackers import Penstock, Wire
from benchmarks.wrk import put_load

TIMES = 3.0
JOBS = 5
ROUNDS = 5
SECONDS = 4.0
RUNS = 10_000
CONNECTIONS = 2
GIVE_UP_S = 60.0
JOB = """\
command: >-
  python -c 'import time, penstock; [(penstock.log_metric("loss", 1 / n), time.sleep(0.1)) for n in range(1, 6000)]'
experiment_name: mixed
"""


def measure() -> Iterator[Result]:
    """Yield the 99th percentile in company, in units of that alone; both are taken in turns."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-", ignore_cleanup_errors=True) as folder:
        server = Penstock(Path(folder) / "lab", settings={"PENSTOCK_COMPUTE__SLOTS": str(JOBS)})
        place = Lab(server.folder)
        try:
            server.start()
            experiment = Wire(server).ask("POST", "experiments/create", {"name": "many"})["experiment_id"]
            server.stop()
            seeding.seed_runs(server, None, int(experiment), runs=RUNS, metrics=10, params=10)
            server.start()
            yield compare(server, place, Path(folder), experiment)
        finally:
            with contextlib.suppress(RuntimeError):
                place.run("down", "--cancel-jobs")
            server.stop()


def compare(server: Penstock, place: Lab, folder: Path, experiment: str) -> Result:
    """Take the percentile alone and in company, in turns."""
    runs = Wire(server).make_runs(CONNECTIONS)
    alone, among, searches = [], [], []

    def p99_s() -> float:
        kind, seconds = "log-metric", SECONDS
        return put_load(server.url, server.token, kind, runs, connections=CONNECTIONS, seconds=seconds).p99_s

    def search() -> None:
        found = put_load(server.url, server.token, "search", [experiment], connections=1, seconds=SECONDS + 1)
        searches.append(found.rate_per_s)

    p99_s()
    for _ in range(ROUNDS):
        alone.append(p99_s())
        jobs = start_jobs(place, folder)
        searcher = threading.Thread(target=search)
        searcher.start()
        among.append(p99_s())
        searcher.join()
        for name in jobs:
            place.run("job", "cancel", "-n", name)
    base = statistics.median(alone)
    note = (
        f"p99 alone {base * 1000:.2f} ms ({min(alone) * 1000:.2f} to {max(alone) * 1000:.2f}), {CONNECTIONS} clients; "
        f"{statistics.median(searches):.0f} searches of {RUNS:,} runs a second beside"
    )
    return Result("log_metric p99 with five jobs and one searching client", among, "s", TIMES * base, note)


def start_jobs(place: Lab, folder: Path) -> list[str]:
    """Start jobs that log ten values a second each and return their names once all of them run."""
    spec = folder / "job.yml"
    spec.write_text(JOB)
    names = [str(place.read("job", "create", "-f", spec)["name"]) for _ in range(JOBS)]
    deadline = time.monotonic() + GIVE_UP_S
    while any(place.read("job", "show", "-n", name)["status"] != "Running" for name in names):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the jobs did not start in {GIVE_UP_S:.0f} s")
    return names


if __name__ == "__main__":
    print_results(list(measure()))
