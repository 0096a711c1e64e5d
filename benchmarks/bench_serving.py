"""How much of a bare ASGI app's speed is left behind the gateway, and how many times faster than other servers is it?

``PENSTOCK_DATA_DIR=… python -m benchmarks.bench_serving [--quick] [--only w1,w2,deploy] [--peers fastapi,azureml]``.
W1: 64 numbers of JSON, one class out. W2: a JPEG in the body, its best five classes out. All servers run at the same
time and take turns; peers are installed into ``.venvs`` the first time. Load comes from wrk. ``bare`` is an ASGI app
with nothing but the model: the limit.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from benchmarks.measuring import Comparison, Result, fetch, lab, print_results
from benchmarks.serving_peers import APPS, JPEG, JSON, Peer, all_peers, rss_mb, wait_for_score
from benchmarks.wrk import Load, put_scores
from penstock import Workspace
from penstock.entities.endpoint import OnlineDeploymentSpec

PARTS = ("w1", "w2", "deploy")
PEERS = ("fastapi", "azureml", "mlserver", "litserve", "bentoml")
CONCURRENCY = (1, 8, 32)
SHORTEST = {"size": 256, "fit": "shortest"}
CLASSIFIER = {
    "decoder": "fast",
    "resize": SHORTEST,
    "crop": {"width": 224, "height": 224},
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
SETTINGS = {"max_concurrent_requests_per_instance": 32, "request_timeout_ms": 30_000}
SCRIPT_SETTINGS = {"max_concurrent_requests_per_instance": 9, "request_timeout_ms": 30_000}
MOST_RSS_MB = 160.0
GIVE_UP_S = 60.0


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int = 3
    seconds: float = 4.0
    deploys: int = 5


QUICK = Size(rounds=1, seconds=1.0, deploys=2)


@dataclass
class Target:
    """One server in a comparison, and what it answered at each concurrency."""

    name: str
    url: str
    key: str
    content_type: str
    bodies: list[Path]
    loads: dict[int, list[Load]] = field(default_factory=dict)

    def rates(self, connections: int) -> list[float]:
        """Return requests a second, a sample a round."""
        return [load.rate_per_s for load in self.loads[connections]]

    def median(self, connections: int, name: str = "rate_per_s") -> float:
        """Return the middle of one figure."""
        return statistics.median([float(getattr(load, name)) for load in self.loads[connections]])


@dataclass(frozen=True)
class Ours:
    """The workspace under test."""

    workspace: Workspace
    models: Path
    endpoint: str = "bench"

    def deploy(self, name: str, body: bytes, kind: str, **spec: object) -> float:
        """Deploy and return seconds until the first score."""
        began = time.perf_counter()
        self.workspace.endpoints.deploy(
            OnlineDeploymentSpec.model_validate({"name": name, "endpoint_name": self.endpoint, **spec}),
            all_traffic=True,
            wait=False,
        )
        headers = {"Content-Type": JSON if kind == "w1" else JPEG, "Authorization": f"Bearer {self.key}"}
        headers["azureml-model-deployment"] = name
        while time.perf_counter() - began < GIVE_UP_S:
            if fetch(self.url, body=body, headers=headers)[0] == 200:
                return time.perf_counter() - began
            time.sleep(0.002)
        raise RuntimeError(f"deployment {name} did not answer in {GIVE_UP_S:.0f} s")

    def wait_placed(self, name: str) -> str:
        """Wait until an ONNX deployment runs inside the gateway and return where."""
        ends_at = time.perf_counter() + GIVE_UP_S
        while time.perf_counter() < ends_at:
            shown = self.workspace.endpoints.get_deployment(self.endpoint, name)
            placement = str(shown.measured.get("placement", ""))
            if placement.startswith("gateway"):
                return placement
            time.sleep(0.05)
        raise RuntimeError(f"deployment {name} did not move into the gateway")

    @property
    def url(self) -> str:
        """Return where clients score."""
        return self.workspace.endpoints.get(self.endpoint).scoring_uri

    @property
    def key(self) -> str:
        """Return a key of the endpoint."""
        return self.workspace.endpoints.get_keys(self.endpoint).primary_key


def measure() -> Iterator[Result | Comparison]:
    """Yield everything; ``BENCH_QUICK=1``, ``BENCH_PARTS=w1`` and ``BENCH_PEERS=fastapi`` choose less."""
    size = QUICK if os.environ.get("BENCH_QUICK") == "1" else Size()
    parts = _chosen("BENCH_PARTS", PARTS)
    peers = _chosen("BENCH_PEERS", PEERS)
    photos = Path(os.environ.get("PENSTOCK_DATA_DIR", "")) / "imagenet"
    if "w2" in parts and not photos.is_dir():
        print("PENSTOCK_DATA_DIR names no folder with imagenet/: W2 is left out", file=sys.stderr)
        parts.remove("w2")
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder, contextlib.ExitStack() as ending:
        models = Path(folder)
        rows = make_digits(models)
        if "w1" in parts:
            with place_for("w1", models, peers, rows, ending) as (targets, ours):
                yield from compare_w1(targets, ours, size, rows)
            ending.close()
        if "w2" in parts:
            pictures = make_photos(models, photos)
            with place_for("w2", models, peers, pictures, ending) as (targets, ours):
                yield from compare_w2(targets, size)
                yield from compare_answers(targets, photos)
            ending.close()
        if "deploy" in parts:
            yield from measure_deployments(models, rows[0].read_bytes(), size)


def make_digits(models: Path) -> list[Path]:
    """Train and store the digits classifier, and the bodies of requests; return these."""
    rows, digits = load_digits(return_X_y=True)
    rows = (rows / 16).astype(np.float32)
    model = LogisticRegression(max_iter=200).fit(rows, digits)
    joblib.dump(model, models / "digits.joblib")
    onnx = to_onnx(model, np.zeros((1, 64), np.float32), options={"zipmap": False})
    (models / "digits.onnx").write_bytes(onnx.SerializeToString())
    (models / "digits").mkdir()
    shutil.copy(models / "digits.onnx", models / "digits" / "model.onnx")
    files = []
    for number in range(16):
        files.append(models / f"row-{number}.json")
        files[-1].write_text(json.dumps({"data": [[round(float(x), 4) for x in rows[number]]]}))
    return files


def make_photos(models: Path, photos: Path) -> list[Path]:
    """Store the photo classifier as a model folder; return the pictures."""
    shutil.copy(photos / "mobilenetv2_fp32.onnx", models / "mobilenet.onnx")
    (models / "mobilenet").mkdir()
    shutil.copy(photos / "mobilenetv2_fp32.onnx", models / "mobilenet" / "model.onnx")
    shutil.copy(photos / "labels.txt", models / "mobilenet" / "labels.txt")
    listed = json.loads((photos / "images.json").read_text())
    return [photos / one["file"] for one in listed]


@contextlib.contextmanager
def place_for(
    kind: str, models: Path, peers: Sequence[str], bodies: list[Path], ending: contextlib.ExitStack
) -> Iterator[tuple[dict[str, Target], Ours]]:
    """Start every server with the model of one kind, warm it, and give all as targets."""
    content_type = JSON if kind == "w1" else JPEG
    targets: dict[str, Target] = {}
    with lab() as place:
        workspace = Workspace(place.folder)
        workspace.models.create(kind, models / ("digits" if kind == "w1" else "mobilenet"))
        ours = Ours(workspace, models)
        first = bodies[0].read_bytes()
        workspace.endpoints.create("bench")
        workspace.endpoints.create("script")
        spec = {"model": f"azureml:{kind}@latest", "request_settings": SETTINGS}
        if kind == "w2":
            spec |= {"preprocessing": CLASSIFIER, "postprocessing": {"top_k": 5, "outputs": False}}
        else:
            spec |= {"postprocessing": {"outputs": False}}
        took_s = ours.deploy("onnx", first, kind, **spec)
        print(f"   {kind}: first score after {took_s:.2f} s, runs in the {ours.wait_placed('onnx')}", file=sys.stderr)
        targets["penstock"] = Target("penstock", ours.url, ours.key, content_type, bodies)
        script = Ours(workspace, models, "script")
        code = models / f"code-{kind}"
        shutil.copytree(APPS, code, ignore=shutil.ignore_patterns("start_*", "bare.py", "by_hand.py", "__pycache__"))
        script.deploy(
            "script",
            first,
            kind,
            code_configuration={"code": str(code), "scoring_script": f"score_{kind}.py"},
            environment_variables={"BENCH_MODELS": str(models), "OMP_NUM_THREADS": "1"},
            instance_count=2,
            request_settings=SCRIPT_SETTINGS,
        )
        targets["script"] = Target("script", script.url, script.key, content_type, bodies)
        for peer in (all_peers()[name] for name in ("bare", *peers)):
            ending.callback(peer.stop)
            sent = bodies_for(peer, kind, bodies, models)
            try:
                peer.start(kind, models, sent[0].read_bytes(), content_of(peer, kind))
            except Exception as error:
                print(f"   {peer.name} is left out: {error}\n{_tail(models, peer, kind)}", file=sys.stderr)
                peer.stop()
                continue
            targets[peer.name] = Target(peer.name, peer.url, "", content_of(peer, kind), sent)
        for target in targets.values():
            wait_for_score(target.url, target.content_type, target.bodies[0].read_bytes(), key=target.key)
        yield targets, ours


def content_of(peer: Peer, kind: str) -> str:
    """Return the content type of a peer's bodies."""
    return JSON if kind == "w1" or peer.name in ("mlserver", "litserve") else JPEG


def bodies_for(peer: Peer, kind: str, bodies: list[Path], models: Path) -> list[Path]:
    """Return the same requests in a peer's own form."""
    if peer.name != "mlserver" and not (peer.name == "litserve" and kind == "w2"):
        return bodies
    files = []
    for number, file in enumerate(bodies):
        if kind == "w1":
            rows = json.loads(file.read_bytes())["data"]
            tensor = {"name": "x", "shape": [1, 64], "datatype": "FP32", "data": rows[0]}
        else:
            text = base64.b64encode(file.read_bytes()).decode()
            tensor = {"name": "x", "shape": [1, 1], "datatype": "BYTES", "data": [text]}
        body = {"inputs": [tensor]} if peer.name == "mlserver" else {"image": tensor["data"][0]}
        files.append(models / f"{peer.name}-{kind}-{number}.json")
        files[-1].write_text(json.dumps(body))
    return files


def take_turns(targets: dict[str, Target], size: Size) -> None:
    """Load every target at every concurrency, a round at a time, each round beginning with another."""
    names = list(targets)
    for number in range(size.rounds):
        for connections in CONCURRENCY:
            for name in names[number % len(names) :] + names[: number % len(names)]:
                target = targets[name]
                load = put_scores(
                    target.url,
                    target.key,
                    target.content_type,
                    target.bodies,
                    connections=connections,
                    seconds=size.seconds,
                )
                target.loads.setdefault(connections, []).append(load)
    for connections in CONCURRENCY:
        shown = ", ".join(
            f"{t.name} {t.median(connections):.0f}/s p50 {t.median(connections, 'p50_s') * 1e3:.2f} "
            f"p99 {t.median(connections, 'p99_s') * 1e3:.2f} ms"
            for t in targets.values()
        )
        print(f"   at {connections}: {shown}", file=sys.stderr)


def compare_w1(targets: dict[str, Target], ours: Ours, size: Size, rows: list[Path]) -> Iterator[Result | Comparison]:
    """Yield the comparisons of the small model."""
    take_turns(targets, size)
    mine, bare, script = targets["penstock"], targets["bare"], targets["script"]
    for at in (8, 32):
        yield Comparison(
            f"W1 at {at}", mine.rates(at), bare.rates(at), "/s", 0.6, "bare ASGI app", _latencies(mine, at)
        )
        if best := _best(targets, at):
            yield Comparison(f"W1 at {at}", mine.rates(at), best.rates(at), "/s", 4.0, "best peer", best.name)
        if theirs := targets.get("azureml"):
            name = "azureml-inference-server-http"
            yield Comparison(f"W1 at {at}", mine.rates(at), theirs.rates(at), "/s", 8.0, name)
            yield Comparison(f"W1 at {at}, score.py", script.rates(at), theirs.rates(at), "/s", 1.5, name)
    p99 = [load.p99_s for load in mine.loads[8]]
    yield Result("W1 p99 at 8, as a share of the bare app's", [p / bare.median(8, "p99_s") for p in p99], "x", 1.3)
    yield Result("gateway with one ONNX deployment", [gateway_rss_mb()], "MB", MOST_RSS_MB)
    yield from compare_batching(ours, size, rows)


def compare_batching(ours: Ours, size: Size, rows: list[Path]) -> Iterator[Result]:
    """Yield p99 at concurrency 1 in a replica with batching on, as a share of that with it off."""
    p99: dict[bool, list[float]] = {True: [], False: []}
    spec = {"model": "azureml:w1@latest", "request_settings": SETTINGS, "resources": {"limits": {"memory": "1Gi"}}}
    targets = {}
    for is_on in p99:
        ours.workspace.endpoints.create(f"batch-{is_on}".lower())
        one = Ours(ours.workspace, ours.models, f"batch-{is_on}".lower())
        one.deploy("onnx", rows[0].read_bytes(), "w1", batching={"enabled": is_on}, **spec)
        targets[is_on] = one
    busy: dict[bool, list[float]] = {True: [], False: []}
    for number in range(size.rounds):
        for is_on in (True, False) if number % 2 else (False, True):
            one = targets[is_on]
            for connections, kept in ((1, p99), (32, busy)):
                load = put_scores(one.url, one.key, JSON, rows, connections=connections, seconds=size.seconds)
                kept[is_on].append(load.p99_s if connections == 1 else load.rate_per_s)
    on, off = (statistics.median(p99[is_on]) for is_on in (True, False))
    rates = ", ".join(f"{'on' if k else 'off'} {statistics.median(v):.0f}/s" for k, v in busy.items())
    note = f"on {on * 1e3:.2f} ms, off {off * 1e3:.2f} ms; at 32: {rates}"
    yield Result("W1 in a replica, p99 at 1: batching on as a share of off", [on / off], "x", 1.3, note)


def compare_w2(targets: dict[str, Target], size: Size) -> Iterator[Result | Comparison]:
    """Yield the comparisons of the photo classifier."""
    take_turns(targets, size)
    mine, bare, script = targets["penstock"], targets["bare"], targets["script"]
    for at in (8, 32):
        yield Comparison(
            f"W2 at {at}", mine.rates(at), bare.rates(at), "/s", 0.95, "bare ASGI app", _latencies(mine, at)
        )
        if best := _best(targets, at):
            yield Comparison(f"W2 at {at}", mine.rates(at), best.rates(at), "/s", 1.3, "best peer", best.name)
        if theirs := targets.get("azureml"):
            name = "azureml-inference-server-http"
            yield Comparison(f"W2 at {at}, score.py", script.rates(at), theirs.rates(at), "/s", 1.15, name)
    spread = [load.p99_s / load.p50_s for load in mine.loads[8]]
    yield Result("W2 at 8, p99 as a share of p50", spread, "x", 2.0)
    yield Result("gateway with the photo classifier, after load", [gateway_rss_mb()], "MB", MOST_RSS_MB)


def compare_answers(targets: dict[str, Target], photos: Path) -> Iterator[Result]:
    """Yield how many photos the Pillow reference gets right, as a share of ours."""
    classes = [one["class_index"] for one in json.loads((photos / "images.json").read_text())]
    mine, script = targets["penstock"], targets["script"]
    right = {"ours": 0, "pillow": 0}
    for wanted, file in zip(classes, mine.bodies, strict=True):
        answer = json.loads(wait_for_score(mine.url, JPEG, file.read_bytes(), key=mine.key))
        right["ours"] += answer["predictions"][0]["index"] == wanted
        answer = json.loads(wait_for_score(script.url, JPEG, file.read_bytes(), key=script.key))
        right["pillow"] += answer[0][0] == wanted
    note = f"{right['ours']} of {len(classes)} right, Pillow {right['pillow']}"
    yield Result("W2 top-1, Pillow's as a share of ours", [right["pillow"] / max(1, right["ours"])], "x", 1.0, note)


def measure_deployments(models: Path, body: bytes, size: Size) -> Iterator[Result]:
    """Yield the times from asking for a deployment to its first score."""
    with lab() as place:
        workspace = Workspace(place.folder)
        workspace.models.create("w1", models / "digits")
        workspace.endpoints.create("bench")
        ours = Ours(workspace, models)
        code = models / "code-deploy"
        shutil.copytree(APPS, code, ignore=shutil.ignore_patterns("start_*", "bare.py", "by_hand.py", "__pycache__"))
        script = {
            "code_configuration": {"code": str(code), "scoring_script": "score_w1.py"},
            "environment_variables": {"BENCH_MODELS": str(models)},
        }
        first_s = ours.deploy("first", body, "w1", model="azureml:w1@latest")
        times = [ours.deploy(f"try-{n}", body, "w1", model="azureml:w1@latest") for n in range(size.deploys)]
        note = f"the first of a workspace {first_s:.2f} s"
        yield Result("deploy to first score, ONNX", times, "s", 1.0, note)
        times = [ours.deploy(f"script-{n}", body, "w1", **script) for n in range(size.deploys)]
        yield Result("deploy to first score, score.py with scikit-learn", times, "s", 3.0)


def gateway_rss_mb() -> float:
    """Return the resident memory of the largest gateway of this user that was started by a benchmark."""
    sizes = [0.0]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                if b"gateway" in words and b"penstock-bench-" in words:
                    sizes.append(rss_mb(int(entry.name)))
    return max(sizes)


def _best(targets: dict[str, Target], at: int) -> Target | None:
    peers = [target for name, target in targets.items() if name in PEERS]
    return max(peers, key=lambda target: target.median(at), default=None)


def _latencies(target: Target, at: int) -> str:
    return f"p50 {target.median(at, 'p50_s') * 1e3:.2f}, p99 {target.median(at, 'p99_s') * 1e3:.2f} ms"


def _tail(models: Path, peer: Peer, kind: str) -> str:
    with contextlib.suppress(OSError):
        return (models / f"{peer.name}-{kind}.log").read_text()[-1500:]
    return ""


def _chosen(variable: str, known: Sequence[str]) -> list[str]:
    names = [name for name in os.environ.get(variable, ",".join(known)).split(",") if name]
    if unknown := set(names) - set(known):
        raise RuntimeError(f"unknown {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    return names


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"some of {', '.join(PEERS)}")
    given = parser.parse_args()
    os.environ |= {"BENCH_QUICK": "1" if given.quick else "0", "BENCH_PARTS": given.only, "BENCH_PEERS": given.peers}
    results: list[Result | Comparison] = []
    try:
        results.extend(measure())
    finally:
        print_results(results)
