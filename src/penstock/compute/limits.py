"""Hold a process to its share of the machine: the cores it runs on, the threads its libraries start, its memory.

Cores by affinity, which children inherit. Memory by looking: Linux has no limit for the memory that a group of
processes holds but control groups, which are rarely ours to make. So one may go over its limit between two looks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from penstock.rules.quantities import ResourceLimits

LOOK_S = 0.2
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "POLARS_MAX_THREADS",
    "NUMBA_NUM_THREADS",
)
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def own_cores() -> frozenset[int]:
    """Return the cores that this process may use."""
    return frozenset(os.sched_getaffinity(0))


def most_threads(limits: ResourceLimits) -> int:
    """Return how many threads a process with these limits can use at once."""
    return os.cpu_count() or 1 if limits.cores is None else min(limits.cores, len(own_cores()))


def machine_memory() -> int:
    """Return the machine's memory in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES


def thread_variables(cores: int) -> dict[str, str]:
    """Return the variables that keep numerical libraries from starting more threads than there are cores."""
    return dict.fromkeys(_THREADS, str(cores))


@contextmanager
def on_cores(cores: Iterable[int]) -> Iterator[None]:
    """Let this thread run on some cores alone; a process it starts meanwhile does so from its first instruction."""
    chosen = set(cores)
    if not chosen:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move_to_cores(pid: int, cores: Iterable[int]) -> None:
    """Move a process that runs already, with all its threads, as far as it still runs."""
    chosen = set(cores)
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread), chosen)


def cores_of(pid: int) -> frozenset[int]:
    """Return the cores that a process may use; none if it is gone."""
    with suppress(ProcessLookupError):
        return frozenset(os.sched_getaffinity(pid))
    return frozenset()


def memory_of(pid: int, limit_bytes: int) -> int:
    """Return the bytes that a process and its descendants hold; a cheap upper bound where that is within the limit.

    What several of them share counts once in all (PSS); which takes milliseconds per gigabyte, so it is read
    only where the sum of their resident pages is over the limit.
    """
    pids = list(_tree(pid))
    resident = sum(map(_resident, pids))
    return resident if resident <= limit_bytes else sum(map(_proportional, pids))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(FileNotFoundError, ProcessLookupError):
                for child in Path(f"/proc/{pid}/task/{thread}/children").read_text("ascii").split():
                    yield from _tree(int(child))


def _resident(pid: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * _PAGE_BYTES
    return 0


def _proportional(pid: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return _resident(pid)
