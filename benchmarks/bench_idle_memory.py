"""How much memory does a workspace without endpoints hold, after a minute and one ``/openapi.json``?"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import Lab, Result, fetch, lab, print_results

LIMIT_MB = 110.0
IDLE_S = float(os.environ.get("BENCH_IDLE_S", "60"))


def measure() -> Iterator[Result]:
    """Yield the proportional set size of all processes of the workspace; MB are 10^6 bytes."""
    with lab() as place:
        place.run("up", "--background")
        status = place.read("status")
        headers = {"Authorization": f"Bearer {place.run('token').strip()}"}
        code, _ = fetch(f"{status['url']}/openapi.json", headers=headers)
        if code != 200:
            raise RuntimeError(f"/openapi.json answered {code}")
        time.sleep(IDLE_S)
        sizes = memory_mb(place, int(status["pid"]))
        note = ", ".join(f"{name} {size:.1f}" for name, size in sizes)
        yield Result(f"idle workspace after {IDLE_S:.0f} s, PSS", [sum(s for _, s in sizes)], "MB", LIMIT_MB, note)


def memory_mb(place: Lab, supervisor: int) -> list[tuple[str, float]]:
    """Return (what it is, PSS in MB) of the supervisor, its descendants and every agent of the workspace."""
    parents, words = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
                words[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue

    def is_ours(pid: int) -> bool:
        while pid in parents:
            if pid == supervisor or str(place.folder) in words[pid]:
                return True
            pid = parents[pid]
        return False

    return [(role(words[pid]), pss_mb(pid)) for pid in sorted(parents) if is_ours(pid)]


def role(words: list[str]) -> str:
    """Return what a command line is: supervisor, server, gateway, agent or its program."""
    if any(word.endswith("agent/__main__.py") for word in words):
        return "agent"
    if "penstock.app" in words:
        name = words[words.index("penstock.app") + 1]
        return "supervisor" if name == "up" else name
    return Path(words[0]).name


def pss_mb(pid: int) -> float:
    """Return a process's proportional set size in MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


if __name__ == "__main__":
    print_results(list(measure()))
