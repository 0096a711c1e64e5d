"""How long does ``penstock --help`` take, beside an interpreter that does nothing?"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator

from benchmarks.measuring import PENSTOCK, Result, print_results, timed

LIMIT_S = 0.2
ROUNDS = 15


def measure() -> Iterator[Result]:
    """Yield the time of the help, interleaved with the bare interpreter's."""
    timed([PENSTOCK, "--help"])  # byte code is written once, at installation or by the first run
    bare, full = [], []
    for _ in range(ROUNDS):
        bare.append(timed([sys.executable, "-c", "pass"]))
        full.append(timed([PENSTOCK, "--help"]))
    floor = statistics.median(bare)
    yield Result("penstock --help", full, "s", LIMIT_S, f"bare python {floor:.3f} s")


if __name__ == "__main__":
    print_results(list(measure()))
