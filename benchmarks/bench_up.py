"""How long from the start of ``penstock up`` to the first answer of its server?"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator

from benchmarks.measuring import PENSTOCK, Lab, Result, fetch, free_port, lab, print_results

LIMIT_S = 1.5
ROUNDS = 7
GIVE_UP_S = 30.0


def measure() -> Iterator[Result]:
    """Yield the times for a new folder and for one that has been served before."""
    new = []
    for _ in range(ROUNDS):
        with lab() as fresh:
            new.append(start_and_stop(fresh))
    yield Result("penstock up to first answer, new workspace", new, "s", LIMIT_S)
    with lab() as used:
        start_and_stop(used)
        yield Result(
            "penstock up to first answer, used workspace", [start_and_stop(used) for _ in range(ROUNDS)], "s", LIMIT_S
        )


def start_and_stop(place: Lab) -> float:
    """Return seconds from the start of the process to ``GET /health`` answering 200."""
    port = free_port()
    began = time.perf_counter()
    process = subprocess.Popen(
        [PENSTOCK, "up", "--port", str(port)],
        env=place.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while fetch(f"http://127.0.0.1:{port}/health")[0] != 200:
            if process.poll() is not None or time.perf_counter() - began > GIVE_UP_S:
                raise RuntimeError(f"penstock up did not answer (status {process.poll()})")
            time.sleep(0.002)
        return time.perf_counter() - began
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGINT)
        process.wait(30)


if __name__ == "__main__":
    print_results(list(measure()))
