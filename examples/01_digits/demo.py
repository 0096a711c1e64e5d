"""What ``make demo`` runs: real digits from training to a scored HTTP endpoint, and then the proof that it works.

Every step is a ``penstock`` command that you could type yourself; each is printed before it runs. The scoring part
uses nothing but HTTP. Run it again and the model gets a new version and the deployment a rolling update.
"""

from __future__ import annotations

import base64
import csv
import http.client
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

HERE = Path(__file__).resolve().parent
PENSTOCK = Path(sys.executable).with_name("penstock")
COLORS = ("\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m")
BOLD, DIM, GREEN, RED, PLAIN = COLORS if sys.stdout.isatty() else ("",) * 5


def main() -> int:
    """Run the example and return 0 if the accuracy over HTTP is the job's own."""
    began = time.monotonic()
    heading("Train", "a job from a YAML file; its log and metrics as they come")
    job = penstock("job", "create", "-f", HERE / "job.yml", "--query", "name", "-o", "tsv").strip()
    penstock("job", "stream", "-n", job, capture=False)
    claimed = json.loads(penstock("job", "metrics", "-n", job, "-o", "json"))["latest"]["accuracy"]

    heading("Register", "the model that the job left in outputs/model, as a new version")
    path = f"azureml://jobs/{job}/outputs/artifacts/paths/outputs/model"
    model = json.loads(penstock("model", "create", "--name", "digits", "--path", path, "-o", "json"))
    print(f"  model digits:{model['version']}, from job {job}")

    with tempfile.TemporaryDirectory() as folder:
        pictures = download_held_out(job, Path(folder))
        heading("Deploy", "an endpoint with a URL and keys, and the model behind it without any code")
        penstock("online-endpoint", "create", "-f", HERE / "endpoint.yml", capture=False)
        door = open_door()
        with background_requests(door, pictures[0]) as probe:
            ready_in_s = deploy(door, pictures[0])
        if probe.answered:
            print(f"  rolling update: {probe.answered} requests meanwhile, {probe.failed} failed")
        heading("Score", f"all {len(pictures)} held-out pictures over HTTP, each as base64 PNG in JSON")
        scored = score_all(door, pictures)
        tensor_agrees = score_tensor(door, pictures[0])

    agrees = scored.accuracy == claimed and tensor_agrees and not probe.failed
    report(job, door, pictures[0], claimed, scored, ready_in_s, time.monotonic() - began, agrees)
    return 0 if agrees else 1


# -- the steps ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """One held-out picture: the PNG and the digit it shows."""

    png: bytes
    label: str

    @property
    def request(self) -> dict[str, str]:
        """Return the JSON body that asks about this picture."""
        return {"image": base64.b64encode(self.png).decode("ascii")}


def download_held_out(job: str, folder: Path) -> list[Picture]:
    """Return the pictures that the job held out, from its named output."""
    penstock("job", "download", "-n", job, "--output-name", "held_out", "-p", folder)
    table = next(folder.rglob("labels.csv"))
    with table.open(newline="") as file:
        return [Picture((table.parent / row["file"]).read_bytes(), row["label"]) for row in csv.DictReader(file)]


def deploy(door: Door, picture: Picture) -> float:
    """Create or update the deployment; return seconds from the command's start to the first correct score."""
    began = time.monotonic()
    penstock("online-deployment", "create", "-f", HERE / "blue.yml", "--all-traffic", capture=False)
    answer = door.connect().score(picture.request)
    if answer["predictions"][0]["label"] != picture.label:
        raise SystemExit(f"the first score was {answer['predictions'][0]}, the picture shows {picture.label}")
    return time.monotonic() - began


@dataclass(frozen=True)
class Scored:
    """How the endpoint did on all pictures; times in milliseconds."""

    accuracy: float
    median_ms: float
    p95_ms: float


def score_all(door: Door, pictures: list[Picture]) -> Scored:
    """Score every picture with a request of its own."""
    line = door.connect()
    correct, times = 0, []
    for picture in pictures:
        began = time.perf_counter()
        answer = line.score(picture.request)
        times.append((time.perf_counter() - began) * 1000)
        correct += answer["predictions"][0]["label"] == picture.label
    times.sort()
    return Scored(correct / len(pictures), times[len(times) // 2], times[len(times) * 95 // 100])


def score_tensor(door: Door, picture: Picture) -> bool:
    """Send a picture as PNG and once more as a plain tensor; return whether the answers agree."""
    with Image.open(io.BytesIO(picture.png)) as image:
        values = [value / 240 for value in image.tobytes()]
    line = door.connect()
    return line.score({"data": [values]})["predictions"] == line.score(picture.request)["predictions"]


# -- HTTP and the command line -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Door:
    """Where to score, and the key for it."""

    url: str
    key: str

    def connect(self) -> Line:
        """Open a connection that is kept for many requests."""
        return Line(self)


class Line:
    """One HTTP connection to the scoring URL."""

    def __init__(self, door: Door) -> None:
        url = urlsplit(door.url)
        assert url.hostname
        self._path = url.path
        self._headers = {"Authorization": f"Bearer {door.key}", "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)

    def score(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the endpoint's answer."""
        self._connection.request("POST", self._path, json.dumps(body), self._headers)
        response = self._connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise OSError(f"{self._path} answered {response.status}: {text.decode(errors='replace')}")
        answer: dict[str, Any] = json.loads(text)
        return answer


def open_door() -> Door:
    """Ask for the endpoint's URL and key."""
    endpoint = json.loads(penstock("online-endpoint", "show", "-n", "digits", "-o", "json", quiet=True))
    keys = json.loads(penstock("online-endpoint", "get-credentials", "-n", "digits", "-o", "json", quiet=True))
    return Door(endpoint["scoring_uri"], keys["primary_key"])


@dataclass
class Probe:
    """What requests saw while the deployment was being updated."""

    answered: int = 0
    failed: int = 0


@contextmanager
def background_requests(door: Door, picture: Picture) -> Iterator[Probe]:
    """Keep asking while a deployment is updated; where none answers yet, do nothing."""
    probe, stop = Probe(), threading.Event()
    line = door.connect()
    try:
        line.score(picture.request)
    except OSError:
        yield probe
        return

    def ask() -> None:
        while not stop.wait(0.005):
            try:
                line.score(picture.request)
            except (OSError, http.client.HTTPException):
                probe.failed += 1
            probe.answered += 1

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield probe
    finally:
        stop.set()
        asker.join()


def penstock(*arguments: object, capture: bool = True, quiet: bool = False) -> str:
    """Run one ``penstock`` command, show it first, and return what it wrote to standard output."""
    words = [str(argument) for argument in arguments]
    if not quiet:
        shown = [os.path.relpath(word) if os.path.isabs(word) else word for word in words]
        print(f"{DIM}  $ penstock {' '.join(shown)}{PLAIN}", flush=True)
    done = subprocess.run([PENSTOCK, *words], stdout=subprocess.PIPE if capture else None, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{RED}`penstock {' '.join(words)}` ended with status {done.returncode}{PLAIN}")
    return done.stdout or ""


def heading(title: str, explanation: str) -> None:
    """Print a step's name and what it is."""
    print(f"\n{BOLD}{title}{PLAIN}: {explanation}", flush=True)


def report(
    job: str,
    door: Door,
    picture: Picture,
    claimed: float,
    scored: Scored,
    ready_in_s: float,
    took_s: float,
    agrees: bool,
) -> None:
    """Print what was shown, and how to go on."""
    program = os.path.relpath(PENSTOCK)
    server = json.loads(penstock("status", "-o", "json", quiet=True))
    verdict = f"{GREEN}they agree exactly{PLAIN}" if agrees else f"{RED}THEY DIFFER{PLAIN}"
    key = f"$({program} online-endpoint get-credentials -n digits --query primary_key -o tsv)"
    print(f"""
{BOLD}Result{PLAIN}
  accuracy over HTTP              {scored.accuracy:.4f}
  accuracy the job logged         {claimed:.4f}   {verdict}
  deploy to first correct score   {ready_in_s:.2f} s
  one score over HTTP             {scored.median_ms:.1f} ms median, {scored.p95_ms:.1f} ms p95
  the whole demo                  {took_s:.0f} s

{BOLD}It is still running{PLAIN}
  server    {server["url"]}  (API at {server["url"]}/docs)
  scoring   {door.url}

  Ask it yourself (this picture shows a {picture.label}):

  curl -H "Authorization: Bearer {key}" \\
       -H "Content-Type: application/json" \\
       -d '{json.dumps(picture.request)}' \\
       {door.url}

  See what the job left behind:  {program} job download -n {job} -p {job}
  Stop everything:               {program} down""")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(f"\nInterrupted. The server goes on; stop it with: {os.path.relpath(PENSTOCK)} down")
