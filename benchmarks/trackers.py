"""The two servers that are compared: ours and MLflow's own, each in a folder of its own, driven in the same way."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from tests.mlflow.venvs import make_venv

from benchmarks.bench_idle_memory import pss_mb
from benchmarks.measuring import PENSTOCK, fetch, free_port

REQUIREMENTS = ("mlflow>=3.17,<4",)
GIVE_UP_S = 180.0
API = "/api/2.0/mlflow"


class Tracker(Protocol):
    """A server that speaks MLflow's protocol."""

    name: str
    url: str
    token: str

    @property
    def database(self) -> Path:
        """Return its SQLite file."""
        ...

    def start(self) -> float:
        """Start it and return seconds until ``GET /health`` was answered."""
        ...

    def stop(self) -> None:
        """End it and all its processes; idempotent."""
        ...

    def processes(self) -> list[int]:
        """Return the ids of all its processes."""
        ...


@dataclass
class Penstock:
    """``penstock up``, as installed; ``settings`` are variables of its environment."""

    folder: Path
    name: str = "penstock"
    url: str = ""
    token: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def database(self) -> Path:
        """Return its SQLite file."""
        return self.folder / "db" / "metadata.db"

    def start(self) -> float:
        """Start it and return seconds until ``GET /health`` was answered."""
        port = free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        self.url = f"http://127.0.0.1:{port}"
        command = [PENSTOCK, "up", "-w", str(self.folder), "--port", str(port)]
        self._process, took_s = _start(command, self.url, self.folder.parent, {**kept, **self.settings})
        token = subprocess.run([PENSTOCK, "token", "-w", str(self.folder)], capture_output=True, text=True, check=True)
        self.token = token.stdout.strip()
        return took_s

    def stop(self) -> None:
        """End it and all its processes; idempotent."""
        _stop(self._process, signal.SIGINT)
        self._process = None

    def processes(self) -> list[int]:
        """Return the ids of all its processes."""
        return _family(self._process, str(self.folder))


@dataclass
class MlflowServer:
    """``mlflow server`` with its default settings: SQLite in its folder, proxied artifacts, four workers."""

    folder: Path
    name: str = "mlflow"
    url: str = ""
    token: str = ""
    _process: subprocess.Popen[bytes] | None = None
    _python: Path = field(default_factory=lambda: mlflow_python())

    @property
    def database(self) -> Path:
        """Return its SQLite file."""
        return self.folder / "mlflow.db"

    def start(self) -> float:
        """Start it and return seconds until ``GET /health`` was answered."""
        port = free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.url = f"http://127.0.0.1:{port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        command = [str(self._python.with_name("mlflow")), "server", "--host", "127.0.0.1", "--port", str(port)]
        self._process, took_s = _start(command, self.url, self.folder, kept)
        return took_s

    def stop(self) -> None:
        """End it and all its processes; idempotent."""
        for pid in reversed(self.processes()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if self._process and pid == self._process.pid else signal.SIGKILL)
        _stop(self._process, signal.SIGKILL)
        self._process = None

    def processes(self) -> list[int]:
        """Return the ids of all its processes."""
        return _family(self._process)


def mlflow_python() -> Path:
    """Return the interpreter that has MLflow's server; installed on the first call, which takes minutes."""
    given = os.environ.get("BENCH_MLFLOW_VENV")
    return Path(given) / "bin" / "python" if given else make_venv("mlflow-server", REQUIREMENTS)


def memory_mb(tracker: Tracker) -> tuple[float, int]:
    """Return (proportional set size of all processes in MB, how many they are)."""
    sizes = []
    for pid in tracker.processes():
        with contextlib.suppress(OSError):
            sizes.append(pss_mb(pid))
    return sum(sizes), len(sizes)


class Wire:
    """One kept-alive HTTP connection to a tracker."""

    def __init__(self, tracker: Tracker) -> None:
        parts = urlsplit(tracker.url)
        self._connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=GIVE_UP_S)
        self._headers = {"Authorization": f"Bearer {tracker.token}"} if tracker.token else {}

    def send(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> bytes:
        """Return the body of an answer that must be 200."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": kind} if data is not None else self._headers
        try:
            answer, content = self._exchange(method, path, data, headers)
        except (ConnectionError, http.client.RemoteDisconnected):
            self._connection.close()  # MLflow's server ends a connection that was silent for five seconds
            answer, content = self._exchange(method, path, data, headers)
        if answer.status != 200:
            raise RuntimeError(f"{method} {path[:200]}: {answer.status} {content[:300]!r}")
        return content

    def _exchange(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        self._connection.request(method, path, data, headers)
        answer = self._connection.getresponse()
        return answer, answer.read()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the JSON of an answer that must be 200."""
        return json.loads(self.send(method, f"{API}/{path}", body))

    def time(self, method: str, path: str, body: Any = None, **options: Any) -> float:
        """Return seconds from sending a request to having its whole answer."""
        began = time.perf_counter()
        self.send(method, path, body, **options)
        return time.perf_counter() - began

    def make_runs(self, count: int) -> list[str]:
        """Create runs in the experiment ``Default`` and return their ids."""
        made = [self.ask("POST", "runs/create", {"experiment_id": "0", "start_time": 1}) for _ in range(count)]
        return [str(one["run"]["info"]["run_id"]) for one in made]


@contextlib.contextmanager
def opened(tracker: Tracker) -> Iterator[sqlite3.Connection]:
    """Open a tracker's database to write rows past it; one transaction."""
    connection = sqlite3.connect(tracker.database, isolation_level=None, timeout=60)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    finally:
        connection.close()


def _start(
    command: list[str], url: str, folder: Path, environment: dict[str, str]
) -> tuple[subprocess.Popen[bytes], float]:
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while fetch(f"{url}/health")[0] != 200:
        if process.poll() is not None or time.perf_counter() - began > GIVE_UP_S:
            raise RuntimeError(f"{' '.join(command)} did not answer (status {process.poll()})")
        time.sleep(0.005)
    return process, time.perf_counter() - began


def _stop(process: subprocess.Popen[bytes] | None, number: signal.Signals) -> None:
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        process.wait(60)


def _family(process: subprocess.Popen[bytes] | None, word: str = "") -> list[int]:
    """Return a process, its descendants, and processes that name ``word``, parents first."""
    if process is None:
        return []
    parents: dict[int, int] = {}
    words: dict[int, bytes] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
                words[int(entry.name)] = (entry / "cmdline").read_bytes()

    def is_ours(pid: int) -> bool:
        while pid in parents:
            if pid == process.pid or (word and word.encode() in words.get(pid, b"")):
                return True
            pid = parents[pid]
        return False

    return [pid for pid in sorted(parents) if is_ours(pid) and pid != os.getpid()]
