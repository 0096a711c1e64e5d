"""The servers that ``bench_serving`` compares: each in a venv of its own, started with two workers on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.mlflow.venvs import make_venv

from benchmarks.measuring import fetch, free_port
from benchmarks.trackers import _family

APPS = Path(__file__).with_name("serving_apps")
MODEL_PARTS = ("numpy", "scikit-learn", "onnxruntime", "pillow", "joblib")
GIVE_UP_S = 120.0
JSON, JPEG = "application/json", "image/jpeg"


@dataclass
class Peer:
    """A server of somebody else's.

    Parameters
    ----------
    name : str
        Its name in the tables.
    requirements : tuple of str
        What its venv needs beside the models' parts; empty for this interpreter.
    command : tuple of str
        What starts it, with ``{bin}``, ``{port}`` and ``{kind}`` (``w1`` or ``w2``) filled in.
    path : str
        Where it scores.
    """

    name: str
    requirements: tuple[str, ...]
    command: tuple[str, ...]
    path: str = "/score"
    health: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None
    url: str = ""
    key: str = ""

    def python(self) -> Path:
        """Return its interpreter; its packages are installed on the first call, which takes minutes."""
        if not self.requirements:
            return Path(sys.executable)
        return make_venv(f"serving-{self.name}", (*self.requirements, *MODEL_PARTS))

    def start(self, kind: str, models: Path, body: bytes, content_type: str) -> float:
        """Start it and return seconds until its first 200."""
        port = free_port()
        python = self.python()
        words = {"bin": str(python.parent), "port": str(port), "kind": kind, "apps": str(APPS)}
        command = [part.format(**words) for part in self.command]
        self.url = f"http://127.0.0.1:{port}{self.path.format(**words)}"
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("PENSTOCK_", "AZUREML_"))}
        environment = {name: text.format(**words) for name, text in self.environment.items()}
        own = {"BENCH_MODELS": str(models), "BENCH_KIND": kind, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(APPS)}
        began = time.perf_counter()
        with (models / f"{self.name}-{kind}.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=APPS,
                env={**kept, **own, "AZUREML_MODEL_DIR": str(models), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for_score(self.url, content_type, body, is_over=self._is_over)
        return time.perf_counter() - began

    def _is_over(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def stop(self) -> None:
        """End it and all its processes; idempotent."""
        for pid in reversed(_family(self._process)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(30)
        self._process = None

    def memory_mb(self) -> float:
        """Return the resident memory of all its processes."""
        return sum(map(rss_mb, _family(self._process)))


def wait_for_score(
    url: str, content_type: str, body: bytes, *, key: str = "", is_over: Callable[[], bool] = lambda: False
) -> bytes:
    """Ask until a 200 comes and return its body."""
    headers = {"Content-Type": content_type, **({"Authorization": f"Bearer {key}"} if key else {})}
    ends_at = time.perf_counter() + GIVE_UP_S
    while time.perf_counter() < ends_at and not is_over():
        status, answer = fetch(url, body=body, headers=headers)
        if status == 200:
            return answer
        time.sleep(0.005)
    raise RuntimeError(f"{url} did not score within {GIVE_UP_S:g} s: see its log")


def rss_mb(pid: int) -> float:
    """Return a process's resident memory, 0 if it is gone."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def all_peers() -> dict[str, Peer]:
    """Return every peer by name; ``bare`` is the limit, not a peer."""
    uvicorn = ("{bin}/python", "-m", "uvicorn", "--port", "{port}", "--log-level", "warning", "--no-access-log")
    peers = [
        Peer("bare", (), (*uvicorn, "bare:app")),
        Peer("fastapi", ("fastapi", "uvicorn[standard]"), (*uvicorn, "--workers", "2", "by_hand:app")),
        Peer(
            "azureml",
            ("azureml-inference-server-http",),
            ("{bin}/azmlinfsrv", "--entry_script", "{apps}/score_{kind}.py", "--port", "{port}"),
            environment={"WORKER_COUNT": "2", "AZUREML_LOG_LEVEL": "ERROR"},
        ),
        Peer(
            "mlserver",
            ("mlserver", "uvloop<0.22"),
            ("{bin}/python", "start_mlserver.py", "{port}"),
            path="/v2/models/{kind}/infer",
        ),
        Peer("litserve", ("litserve",), ("{bin}/python", "start_litserve.py", "{port}"), path="/predict"),
        Peer("bentoml", ("bentoml",), ("{bin}/bentoml", "serve", "start_bentoml:Bench", "--port", "{port}")),
    ]
    return {peer.name: peer for peer in peers}
