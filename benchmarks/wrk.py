"""Load from wrk, which costs a tenth of what a generator in Python would take from the server beside it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")
SCORES = Path(__file__).with_name("score.lua")


@dataclass(frozen=True)
class Load:
    """What a server took in one round."""

    rate_per_s: float
    p50_s: float
    p99_s: float


def put_load(url: str, token: str, kind: str, runs: Sequence[str], *, connections: int, seconds: float) -> Load:
    """Send calls as fast as they are answered and return how fast that was.

    Parameters
    ----------
    kind : {"log-metric", "log-batch-10", "log-batch-1000", "create-run", "search"}
        What to send; a batch has 1000 points of so many keys.
    runs : sequence of str
        Where to log to, in turn; of a search, the experiments.

    Raises
    ------
    RuntimeError
        If wrk is not installed, or an answer was not 200.
    """
    return _run(SCRIPT, url, [kind, token or "-", ",".join(runs) or "-"], connections, seconds)


def put_scores(
    url: str, key: str, content_type: str, bodies: Sequence[Path], *, connections: int, seconds: float
) -> Load:
    """Send files in turn as bodies as fast as they are answered and return how fast that was.

    Raises
    ------
    RuntimeError
        If wrk is not installed, or an answer was not 200.
    """
    return _run(SCORES, url, [key or "-", content_type, ",".join(map(str, bodies))], connections, seconds)


def _run(script: Path, url: str, arguments: Sequence[str], connections: int, seconds: float) -> Load:
    program = shutil.which("wrk")
    if program is None:
        raise RuntimeError("this benchmark needs wrk; on Debian or Ubuntu: apt install wrk, elsewhere see its page")
    command = [program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}", "--timeout", "30", "-s", str(script)]
    done = subprocess.run([*command, url, "--", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"wrk ended with {done.returncode}: {done.stdout}{done.stderr}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if found["refused"] or found["broken"] or not found["requests"]:
        raise RuntimeError(f"{arguments[0] if script == SCRIPT else 'scoring'} at {url}: {found}")
    seconds = found["duration_us"] / 1e6
    return Load(found["requests"] / seconds, found["p50_us"] / 1e6, found["p99_us"] / 1e6)
