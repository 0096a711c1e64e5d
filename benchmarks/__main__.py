"""Run every benchmark, or those named: ``python -m benchmarks [help up noop_job idle_memory deploy]``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from benchmarks.measuring import Comparison, Result, print_results


def main(names: list[str]) -> int:
    """Run the benchmarks and return 1 if a promise was not kept."""
    known = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    if unknown := set(names) - set(known):
        print(f"unknown benchmark {', '.join(sorted(unknown))}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    results: list[Result | Comparison] = []
    try:
        for name in names or known:
            module = importlib.import_module(f"benchmarks.bench_{name}")
            print(f"==> {(module.__doc__ or name).splitlines()[0]}", file=sys.stderr, flush=True)
            results.extend(module.measure())
    finally:
        print_results(results)
    return 0 if all(result.ratio <= 1 for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
