"""How many times faster is the run history than ``mlflow server``, asked the same, side by side in one run?

``python -m benchmarks.bench_tracking [--quick] [--only start,search]``; the parts are ``PARTS`` below. Both servers run
at the same time and take turns, so that a slow minute of the machine is slow for both. Load comes from wrk, big answers
go over one kept-alive connection; what MLflow's own client makes of it is printed beside.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import seeding
from benchmarks.measuring import Comparison, Result, print_results
from benchmarks.trackers import API, MlflowServer, Penstock, Tracker, Wire, memory_mb, mlflow_python
from benchmarks.wrk import put_load

FILES = "/api/2.0/mlflow-artifacts/artifacts"
PARTS = ("start", "logging", "search", "history", "artifacts", "many")
ARTIFACT_BYTES = 64 * 10**6
PAGE_LIMIT_S = 0.050
SETTLE_S = 10.0
THROUGH_CLIENT = Path(__file__).with_name("through_client.py")


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int = 3
    seconds: float = 4.0
    runs: int = 10_000
    points: int = 100_000
    many: int = 100_000


QUICK = Size(rounds=1, seconds=1.0, runs=1000, points=10_000, many=5000)


@dataclass(frozen=True)
class Pair:
    """The two servers."""

    ours: Penstock
    theirs: MlflowServer
    size: Size

    @property
    def both(self) -> tuple[Tracker, Tracker]:
        """Return ours and theirs."""
        return self.ours, self.theirs

    def take_turns(self, ask: Callable[[Tracker], float], rounds: int = 0) -> tuple[list[float], list[float]]:
        """Return what ``ask`` gives for ours and for theirs, asked alternately."""
        found: dict[str, list[float]] = {self.ours.name: [], self.theirs.name: []}
        for number in range(rounds or self.size.rounds):
            # The first of a round changes, so that neither always comes behind the other.
            for tracker in self.both if number % 2 == 0 else self.both[::-1]:
                found[tracker.name].append(ask(tracker))
        return found[self.ours.name], found[self.theirs.name]


def measure() -> Iterator[Result | Comparison]:
    """Yield all comparisons; ``BENCH_QUICK=1`` and ``BENCH_PARTS=search,many`` choose less."""
    parts = [part for part in os.environ.get("BENCH_PARTS", ",".join(PARTS)).split(",") if part]
    if unknown := set(parts) - set(PARTS):
        raise RuntimeError(f"unknown part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    size = QUICK if os.environ.get("BENCH_QUICK") == "1" else Size()
    mlflow_python()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-", ignore_cleanup_errors=True) as folder:
        if set(parts) - {"many"}:
            pair = Pair(Penstock(Path(folder) / "ours"), MlflowServer(Path(folder) / "theirs"), size)
            try:
                yield from compare_starts(pair, Path(folder), is_measured="start" in parts)
                yield from _compare(pair, parts)
            finally:
                pair.ours.stop()
                pair.theirs.stop()
        if "many" in parts:
            yield from measure_first_pages(Penstock(Path(folder) / "many"), size.many)


def _compare(pair: Pair, parts: list[str]) -> Iterator[Comparison]:
    if "logging" in parts:
        yield from compare_logging(pair)
    if "search" in parts or "history" in parts:
        experiments = [Wire(tracker).ask("POST", "experiments/create", {"name": "many"}) for tracker in pair.both]
        mine, other = (int(answer["experiment_id"]) for answer in experiments)
        if mine != other:
            raise RuntimeError(f"the experiment is {mine} here and {other} there")
        pair.ours.stop()
        seeding.seed_runs(pair.ours, pair.theirs, mine, runs=pair.size.runs, metrics=10, params=10)
        seeding.seed_history(pair.ours, pair.theirs, mine, pair.size.points)
        pair.ours.start()
        if "search" in parts:
            yield from compare_searches(pair, str(mine))
        if "history" in parts:
            yield from compare_histories(pair)
    if "artifacts" in parts:
        yield from compare_artifacts(pair)


def compare_starts(pair: Pair, folder: Path, *, is_measured: bool) -> Iterator[Comparison]:
    """Start both in empty folders, alone; yield how long that takes and what they hold when nobody asks."""
    starts: tuple[list[float], list[float]] = ([], [])
    for number in range(pair.size.rounds - 1 if is_measured else 0):
        fresh: tuple[Tracker, Tracker] = (Penstock(folder / f"o{number}"), MlflowServer(folder / f"t{number}"))
        for times, tracker in zip(starts, fresh, strict=True):
            try:
                times.append(tracker.start())
            finally:
                tracker.stop()
    for times, tracker in zip(starts, pair.both, strict=True):
        times.append(tracker.start())
    if not is_measured:
        return
    yield Comparison("cold start in an empty folder to the first answer", *starts, "s", 10)
    time.sleep(SETTLE_S)
    (ours, mine), (theirs, other) = memory_mb(pair.ours), memory_mb(pair.theirs)
    yield Comparison(
        "idle memory (PSS) of all processes", [ours], [theirs], "MB", 18, note=f"{mine} and {other} processes"
    )


def compare_logging(pair: Pair) -> Iterator[Comparison]:
    """Yield rates and latencies of what training loops call."""
    runs = {tracker.name: Wire(tracker).make_runs(8) for tracker in pair.both}
    client = {tracker.name: through_client(tracker, "log_metric", runs[tracker.name][0]) for tracker in pair.both}

    def load(
        kind: str, connections: int, *, as_latency: bool = False, per_call: int = 1
    ) -> tuple[list[float], list[float]]:
        def ask(tracker: Tracker) -> float:
            to = runs[tracker.name][:connections]
            found = put_load(tracker.url, tracker.token, kind, to, connections=connections, seconds=pair.size.seconds)
            return found.p50_s if as_latency else found.rate_per_s * per_call

        return pair.take_turns(ask)

    for connections in (1, 8):
        load("log-metric", connections)  # both have their connections, threads and byte code then
    beside = f"through MlflowClient {client['penstock'] * 1000:.3g} and {client['mlflow'] * 1000:.3g} ms"
    yield Comparison("log_metric, 1 client, p50", *load("log-metric", 1, as_latency=True), "s", 40, note=beside)
    yield Comparison("log_metric, 8 clients", *load("log-metric", 8), "/s", 40)
    for keys in (10, 1000):
        rates = load(f"log-batch-{keys}", 1, per_call=1000)
        yield Comparison(f"log_batch of 1000 metrics of {keys} keys, 1 client", *rates, "metrics/s", 20)
    rates = load("create-run", 1)
    at_8 = [statistics.median(values) for values in load("create-run", 8)]
    beside = f"8 clients: {at_8[0]:.0f} and {at_8[1]:.0f} /s, {at_8[0] / at_8[1]:.1f} times"
    yield Comparison("create_run, 1 client", *rates, "/s", 40, note=beside)


def compare_searches(pair: Pair, experiment: str) -> Iterator[Comparison]:
    """Yield times of searches over the seeded runs."""
    wires = {tracker.name: Wire(tracker) for tracker in pair.both}
    count = f"{pair.size.runs:,} runs"

    def search(**wanted: Any) -> Callable[[Tracker], float]:
        body = {"experiment_ids": [experiment], **wanted}
        return lambda tracker: wires[tracker.name].time("POST", f"{API}/runs/search", body)

    def all_pages(tracker: Tracker) -> float:
        began, token, found = time.perf_counter(), "", 0
        while True:
            body = {"experiment_ids": [experiment], "order_by": by_metric, "max_results": 1000, "page_token": token}
            page = wires[tracker.name].ask("POST", "runs/search", body)
            found, token = found + len(page["runs"]), page.get("next_page_token", "")
            if not token:
                break
        if found < pair.size.runs:
            raise RuntimeError(f"{tracker.name} gave {found} runs")
        return time.perf_counter() - began

    by_metric, few = ["metrics.m3 DESC"], "metrics.m1 > 0.99 and params.p1 != '7'"
    same_answers(wires, experiment, by_metric, few)
    client = {tracker.name: through_client(tracker, "search", experiment) for tracker in pair.both}
    beside = f"through MlflowClient {client['penstock'] * 1000:.3g} and {client['mlflow'] * 1000:.3g} ms"
    for question, aim, wanted, note in (
        ("100 ordered by a metric", 100, {"order_by": by_metric, "max_results": 100}, beside),
        ("100 by a filter on a metric and a param", 10, {"filter": few, "max_results": 100}, ""),
        ("newest 1000", 20, {"max_results": 1000}, ""),
    ):
        pair.take_turns(search(**wanted), 1)
        times = pair.take_turns(search(**wanted), pair.size.rounds + 2)
        yield Comparison(f"search {count}: {question}", *times, "s", aim, note=note)
    ours, theirs = pair.take_turns(all_pages, 1)
    ours += [all_pages(pair.ours) for _ in range(2)]
    yield Comparison(f"search {count}: all pages of 1000 ordered by a metric", ours, theirs, "s", 50)


def same_answers(wires: dict[str, Wire], experiment: str, order: list[str], few: str) -> None:
    """Raise RuntimeError unless both servers find the same runs in the same order."""
    for wanted in ({"order_by": order}, {"filter": few}, {}):
        body = {"experiment_ids": [experiment], "max_results": 50, **wanted}
        found = [
            [run["info"]["run_id"] for run in wire.ask("POST", "runs/search", body)["runs"]] for wire in wires.values()
        ]
        if found[0] != found[1]:
            raise RuntimeError(f"the two servers answer {wanted} differently")


def compare_histories(pair: Pair) -> Iterator[Comparison]:
    """Yield the time of one long history."""
    wires = {tracker.name: Wire(tracker) for tracker in pair.both}
    path = f"{API}/metrics/get-history?run_id={seeding.LONG_RUN}&metric_key=loss"
    client = {tracker.name: through_client(tracker, "history", seeding.LONG_RUN) for tracker in pair.both}
    beside = f"through MlflowClient {client['penstock']:.3g} and {client['mlflow']:.3g} s"
    pair.take_turns(lambda tracker: wires[tracker.name].time("GET", path), 1)
    times = pair.take_turns(lambda tracker: wires[tracker.name].time("GET", path))
    yield Comparison(f"history of {pair.size.points:,} points", *times, "s", 20, note=beside)


def compare_artifacts(pair: Pair) -> Iterator[Comparison]:
    """Yield the speed of one big file in both directions."""
    wires = {tracker.name: Wire(tracker) for tracker in pair.both}
    runs = {tracker.name: wires[tracker.name].make_runs(1)[0] for tracker in pair.both}
    content = os.urandom(ARTIFACT_BYTES)
    sent = iter(range(1000))

    def up(tracker: Tracker) -> float:
        # New content every time: ours keeps equal content once.
        fresh = content[:-8] + next(sent).to_bytes(8, "big")
        path = f"{FILES}/0/{runs[tracker.name]}/artifacts/big.bin"
        return ARTIFACT_BYTES / 1e6 / wires[tracker.name].time("PUT", path, fresh, kind="application/octet-stream")

    def down(tracker: Tracker) -> float:
        path = f"{FILES}/0/{runs[tracker.name]}/artifacts/big.bin"
        return ARTIFACT_BYTES / 1e6 / wires[tracker.name].time("GET", path)

    for name, ask in (("up", up), ("down", down)):
        pair.take_turns(ask, 1)
        yield Comparison(f"artifact of 64 MB {name}", *pair.take_turns(ask, pair.size.rounds + 2), "MB/s", 1)


def measure_first_pages(ours: Penstock, runs: int) -> Iterator[Result]:
    """Yield how long a first page of our own search takes over very many runs; MLflow has nothing of the kind."""
    ours.start()
    try:
        experiment = int(Wire(ours).ask("POST", "experiments/create", {"name": "many"})["experiment_id"])
        ours.stop()
        seeding.seed_runs(ours, None, experiment, runs=runs, metrics=20, params=2)
        ours.start()
        wire = Wire(ours)
        columns = {"attributes": ["run_id", "run_name", "start_time"], "metrics": [f"m{n}" for n in range(5)]}
        for name, text in (
            ("no filter", ""),
            ("half match", "metrics.m7 > 0.5"),
            ("two filters, a tenth match", "metrics.m7 > 0.5 and metrics.m8 < 0.2"),
            ("few match", "metrics.m7 > 0.9999 and metrics.m8 < 0.5"),
            ("none match", "metrics.m7 > 2"),
            ("two filters, none match", "metrics.m7 > 0.5 and params.p0 = 'none'"),
            ("a param and a metric", "params.p0 = '7' and metrics.m9 > 0.5"),
        ):
            body = {
                "filter": text,
                "order_by": ["metrics.m3 desc"],
                "experiments": [str(experiment)],
                "columns": columns,
                "limit": 100,
            }
            times = [wire.time("POST", "/api/v1/runs/search", body) for _ in range(12)][2:]
            yield Result(f"first page of {runs:,} runs with 20 metrics, by a metric: {name}", times, "s", PAGE_LIMIT_S)
    finally:
        ours.stop()


def through_client(tracker: Tracker, question: str, name: str) -> float:
    """Return the median seconds of a call of MLflow's own client, in a process of its own."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracker.url, "MLFLOW_TRACKING_TOKEN": tracker.token}
    environment = {key: value for key, value in environment.items() if value}
    command = [str(mlflow_python()), str(THROUGH_CLIENT), question, name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return float(statistics.median(json.loads(done.stdout)))


def main() -> None:
    """Read the options and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round of each; the figures mean little")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    options = parser.parse_args()
    os.environ["BENCH_PARTS"] = options.only
    if options.quick:
        os.environ["BENCH_QUICK"] = "1"
    results: list[Result | Comparison] = []
    try:
        for result in measure():
            print(f"    {result.question}: {result.ratio:.2f} of the promise", file=sys.stderr, flush=True)
            results.append(result)
    finally:
        print_results(results)
    sys.exit(0 if all(result.ratio <= 1 for result in results) else 1)


if __name__ == "__main__":
    main()
