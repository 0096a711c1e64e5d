"""What ``make demo`` runs: real digits from training to a scored HTTP endpoint, and then the proof that it works.

Every step is a ``penstock`` command that you could type yourself; each is printed before it runs. Run it again and the
model gets a new version and the deployment a rolling update.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scoring import Line, Picture, Scored, asking_meanwhile, score_all

HERE = Path(__file__).resolve().parent
PENSTOCK = Path(sys.executable).with_name("penstock")
COLORS = ("\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m")
BOLD, DIM, GREEN, RED, PLAIN = COLORS if sys.stdout.isatty() and "NO_COLOR" not in os.environ else ("",) * 5


def main() -> int:
    """Run the example and return 0 if the accuracy over HTTP is the job's own."""
    began = time.monotonic()
    heading("Start", "a workspace is a folder with a server of its own")
    penstock("up", "--background")

    heading("Train", "a job from a YAML file; its log and metrics as they come")
    job = penstock("job", "create", "-f", HERE / "job.yml", "--query", "name", "-o", "tsv").strip()
    penstock("job", "stream", "-n", job, capture=False)
    claimed = read("job", "metrics", "-n", job)["latest"]["accuracy"]

    heading("Register", "the folder that the job left in outputs/model, as a new version of the model")
    path = f"azureml://jobs/{job}/outputs/artifacts/paths/outputs/model"
    version = penstock("model", "create", "--name", "digits", "--path", path, "--query", "version", "-o", "tsv").strip()
    print(f"  It is digits:{version}.")

    heading("Deploy", "an endpoint with a URL and keys, and the model behind it without any code")
    pictures = download_held_out(job)
    penstock("online-endpoint", "create", "-f", HERE / "endpoint.yml")
    url = read("online-endpoint", "show", "-n", "digits")["scoring_uri"]
    key = read("online-endpoint", "get-credentials", "-n", "digits")["primary_key"]
    with asking_meanwhile(url, key, pictures[0]) as probe:
        first_score_s = deploy(url, key, pictures[0])
    if probe.answered:
        print(f"  A rolling update: {probe.answered} requests meanwhile, {probe.failed} failed.")

    heading("Score", f"all {len(pictures)} held-out pictures over HTTP, each as base64 PNG in JSON")
    line = Line(url, key)
    scored = score_all(line, pictures)
    tensor_agrees = line.score(pictures[0].tensor) == line.score(pictures[0].request)
    print(f"  Done; the first one once more as a plain tensor: {'the same' if tensor_agrees else 'ANOTHER'} answer.")

    agrees = scored.accuracy == claimed and tensor_agrees and not probe.failed
    print_result(claimed, scored, first_score_s, time.monotonic() - began, agrees)
    print_how_to_go_on(job, url, pictures[0])
    return 0 if agrees else 1


def download_held_out(job: str) -> list[Picture]:
    """Return the pictures that the job held out, from its named output."""
    with tempfile.TemporaryDirectory() as folder:
        penstock("job", "download", "-n", job, "--output-name", "held_out", "-p", folder, quiet=True)
        table = next(Path(folder).rglob("labels.csv"))
        with table.open(newline="") as file:
            return [Picture((table.parent / row["file"]).read_bytes(), row["label"]) for row in csv.DictReader(file)]


def deploy(url: str, key: str, picture: Picture) -> float:
    """Create or update the deployment; return seconds from the command's start to the first correct score."""
    began = time.monotonic()
    penstock("online-deployment", "create", "-f", HERE / "blue.yml", "--all-traffic")
    (prediction,) = Line(url, key).score(picture.request)
    if prediction["label"] != picture.label:
        sys.exit(f"{RED}The first score was {prediction}, but the picture shows {picture.label}.{PLAIN}")
    return time.monotonic() - began


def penstock(*arguments: object, capture: bool = True, quiet: bool = False) -> str:
    """Run one ``penstock`` command, show it first unless ``quiet``, and return what it wrote to standard output."""
    words = [str(argument) for argument in arguments]
    if not quiet:
        shown = (os.path.relpath(word) if os.path.isabs(word) else word for word in words)
        print(f"{DIM}  $ penstock {' '.join(shown)}{PLAIN}", flush=True)
    done = subprocess.run(
        [PENSTOCK, *words],
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.PIPE if quiet else None,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stderr or ''}{RED}`penstock {' '.join(words)}` ended with status {done.returncode}.{PLAIN}")
    return done.stdout or ""


def read(*arguments: object) -> Any:
    """Run one command quietly and return the JSON it printed."""
    return json.loads(penstock(*arguments, "-o", "json", quiet=True))


def heading(title: str, explanation: str) -> None:
    """Print a step's name and what it is."""
    print(f"\n{BOLD}{title}{PLAIN}: {explanation}", flush=True)


def print_result(claimed: float, scored: Scored, first_score_s: float, took_s: float, agrees: bool) -> None:
    """Print the figures."""
    verdict = f"{GREEN}they agree exactly{PLAIN}" if agrees else f"{RED}THEY DO NOT AGREE{PLAIN}"
    print(f"""
{BOLD}Result{PLAIN}
  accuracy over HTTP              {scored.accuracy:.4f}
  accuracy the job logged         {claimed:.4f}   {verdict}
  deploy to first correct score   {first_score_s:.2f} s
  one score over HTTP             {scored.median_ms:.1f} ms median, {scored.p95_ms:.1f} ms p95
  all of it                       {took_s:.0f} s""")


def print_how_to_go_on(job: str, url: str, picture: Picture) -> None:
    """Print the URLs, the curl line, and how to stop."""
    program = os.path.relpath(PENSTOCK)
    server = read("status")["url"]
    key = f"$({program} online-endpoint get-credentials -n digits --query primary_key -o tsv)"
    print(f"""
{BOLD}It is still running{PLAIN}
  its API   curl -H "Authorization: Bearer $({program} token)" {server}/openapi.json
  scoring   {url}

  Ask it yourself; this picture shows a {picture.label}:

  curl -H "Authorization: Bearer {key}" \\
       -H "Content-Type: application/json" \\
       -d '{json.dumps(picture.request)}' \\
       {url}

  What the job left behind:   {program} job download -n {job[:12]} -p digits-job
  Stop everything:            {program} down""")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(f"\nInterrupted. What runs goes on; stop it with: {os.path.relpath(PENSTOCK)} down")
