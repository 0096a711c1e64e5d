"""What every benchmark shares: a workspace of its own, medians, and one way to print a result."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# Where Python is forbidden to keep compiled files, every start compiles everything again: not what is measured here.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

PENSTOCK = str(Path(sys.executable).with_name("penstock"))


@dataclass(frozen=True)
class Result:
    """One measured figure beside the limit it was promised to keep.

    Parameters
    ----------
    question : str
        What was asked.
    values : sequence of float
        All samples, in ``unit``.
    unit : str
        Such as ``"s"`` or ``"MB"``.
    limit : float
        The promise, in ``unit``, for the median.
    note : str
        What else was measured in the same run.
    """

    question: str
    values: Sequence[float]
    unit: str
    limit: float
    note: str = ""

    @property
    def median(self) -> float:
        """Return the middle sample."""
        return statistics.median(self.values)

    @property
    def p95(self) -> float:
        """Return the sample that 95 % do not exceed; the largest of fewer than 20."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]

    @property
    def ratio(self) -> float:
        """Return the median as a share of the limit; at most 1 keeps the promise."""
        return self.median / self.limit


@dataclass(frozen=True)
class Comparison:
    """The same question put to two servers in the same run: how many times better is ours than a named peer.

    Parameters
    ----------
    question : str
        What was asked.
    ours, theirs : sequence of float
        All samples, in ``unit``.
    unit : str
        ``"s"``, ``"MB"``; or a rate such as ``"/s"``, of which more is better.
    aim : float
        So many times better ours is promised to be.
    peer : str
        Whose ``theirs`` is.
    note : str
        What else was measured in the same run.
    """

    question: str
    ours: Sequence[float]
    theirs: Sequence[float]
    unit: str
    aim: float
    peer: str = "mlflow"
    note: str = ""

    @property
    def times(self) -> float:
        """Return how many times better the median of ours is."""
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        return ours / theirs if self.unit.endswith("/s") else theirs / ours

    @property
    def ratio(self) -> float:
        """Return the aim as a share of what was reached; at most 1 keeps the promise."""
        return self.aim / self.times


def print_results(results: Sequence[Result | Comparison]) -> None:
    """Print Markdown tables and where it was measured."""
    if limited := [one for one in results if isinstance(one, Result)]:
        _print_limited(limited)
    compared = [one for one in results if isinstance(one, Comparison)]
    for peer in dict.fromkeys(one.peer for one in compared):
        _print_compared([one for one in compared if one.peer == peer])
    print(f"\n{describe_machine()}")


def _print_compared(results: Sequence[Comparison]) -> None:
    peer = results[0].peer
    print(
        f"\n| question | penstock | {peer} | times better | aim | | also |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for result in results:
        mark = "kept" if result.ratio <= 1 else "**MISSED**"
        ours, theirs = _spread(result.ours, result.unit), _spread(result.theirs, result.unit)
        print(
            f"| {result.question} | {ours} | {theirs} | {result.times:.3g} | {result.aim:g} | {mark} | {result.note} |"
        )


def _spread(values: Sequence[float], unit: str) -> str:
    """Return the median, and the least and greatest of several samples."""
    scale, shown = (1000.0, "ms") if unit == "s" and statistics.median(values) < 1 else (1.0, unit)
    text = f"{statistics.median(values) * scale:.4g} {shown}"
    return f"{text} ({min(values) * scale:.3g} to {max(values) * scale:.3g})" if len(values) > 1 else text


def _print_limited(results: Sequence[Result]) -> None:
    print(
        "\n| question | median | p95 | limit | median/limit | n | also |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for result in results:
        mark = "" if result.ratio <= 1 else " **over**"
        print(
            f"| {result.question} | {result.median:.3g} {result.unit} | {result.p95:.3g} {result.unit} "
            f"| {result.limit:g} {result.unit} | {result.ratio:.2f}{mark} | {len(result.values)} | {result.note} |"
        )


def describe_machine() -> str:
    """Return processor, cores, memory, Python and commit in one line."""
    model = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return (
        f"{model}, {os.cpu_count()} cores, {memory_gb:.0f} GiB, load {os.getloadavg()[0]:.1f}, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, commit {commit or 'unknown'}"
    )


def timed(command: Sequence[str], **options: Any) -> float:
    """Run a command that must succeed and return its wall time in seconds."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, **options)
    return time.perf_counter() - began


@dataclass(frozen=True)
class Lab:
    """A workspace folder that lives as long as one benchmark."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment in which ``penstock`` means this workspace."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        return {**kept, "PENSTOCK_WORKSPACE": str(self.folder)}

    def run(self, *arguments: object) -> str:
        """Run one ``penstock`` command and return its standard output."""
        command = [PENSTOCK, *(str(argument) for argument in arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def read(self, *arguments: object) -> Any:
        """Run one command with ``-o json`` and return what it printed."""
        return json.loads(self.run(*arguments, "-o", "json"))


@contextlib.contextmanager
def lab() -> Iterator[Lab]:
    """Make a workspace folder; stop its server and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        it = Lab(Path(folder) / "lab")
        try:
            yield it
        finally:
            with contextlib.suppress(RuntimeError):
                it.run("down", "--cancel-jobs")


def fetch(url: str, *, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Return (status, body) of one HTTP request; status 0 while nobody answers."""
    request = urllib.request.Request(url, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def free_port() -> int:
    """Return a port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
