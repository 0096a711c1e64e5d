"""What does a job cost that does nothing, from the start of the command line to ``Completed`` on the screen?"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import PENSTOCK, Lab, Result, lab, print_results, timed

LIMIT_S = 0.4
CPU_LIMIT_MS = 50.0
ROUNDS = 20
BARE = ["bash", "-c", "true"]
JOB = "command: 'true'\nexperiment_name: bench\n"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def measure() -> Iterator[Result]:
    """Yield the wall time beyond the bare subprocess, and the CPU of an attempt beyond it."""
    with lab() as place:
        job = place.folder / "noop.yml"
        place.folder.mkdir(parents=True, exist_ok=True)
        job.write_text(JOB)
        stream_until_completed(place, job)  # starts the server
        server = server_pid(place)
        bare, full = [], []
        cpu_before, seen = time_of_children_s(server), children_of(server)
        for _ in range(ROUNDS):
            bare.append(timed(BARE))
            full.append(stream_until_completed(place, job))
            seen |= children_of(server)
        # The server counts an agent's time, with that of its command, when it takes the end of the agent: each that
        # is gone was counted whole, from the start of its interpreter on, and none that still waits.
        cpu_s, ended = time_of_children_s(server) - cpu_before, len(seen - children_of(server))
        floor = statistics.median(bare)
        note = f"bare bash {floor * 1000:.1f} ms; {statistics.median(full) / floor:.0f} times it"
        yield Result(
            "no-op job, CLI start to Completed, minus bare bash", [v - floor for v in full], "s", LIMIT_S, note
        )
        extra_ms = (cpu_s / ended - bare_cpu_s()) * 1000
        note = f"mean of {ended}: agent and command, from the start of the agent's interpreter on"
        yield Result("CPU of a no-op attempt, minus bare bash", [extra_ms], "ms", CPU_LIMIT_MS, note)


def stream_until_completed(place: Lab, job: Path) -> float:
    """Return seconds from the start of the process until it shows ``Completed``."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [PENSTOCK, "job", "create", "-f", str(job), "--stream"],
        env=place.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    shown, took_s = b"", 0.0
    while piece := os.read(process.stdout.fileno(), 65536):
        shown += piece
        if not took_s and b"Completed" in shown:
            took_s = time.perf_counter() - began
    if process.wait() or not took_s:
        raise RuntimeError(f"the job did not complete:\n{shown.decode(errors='replace')}")
    return took_s


def server_pid(place: Lab) -> int:
    """Return the process id of the server, the supervisor's child that starts the agents."""
    supervisor = int(place.read("status")["pid"])
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return next(int(pid) for pid in children if b"\0server\0" in Path(f"/proc/{pid}/cmdline").read_bytes())


def children_of(pid: int) -> set[int]:
    """Return the process ids of a process's children, ended ones included until it has taken their end."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {int(child) for task in tasks for child in (task / "children").read_text().split()}


def time_of_children_s(pid: int) -> float:
    """Return the CPU seconds of a process's ended children, with theirs (fields 16 and 17 of its stat)."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[13]) + int(fields[14])) / TICKS_PER_S


def bare_cpu_s() -> float:
    """Return the CPU seconds of the bare subprocess."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(ROUNDS):
        timed(BARE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / ROUNDS


if __name__ == "__main__":
    print_results(list(measure()))
