from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import penstock.agent
from penstock.agent.processes import kill_marked

AGENT = Path(penstock.agent.__file__).with_name("__main__.py")
TOKEN = "pst_attempt"
WAIT_S = 60
REFUSAL = {"type": "about:blank", "code": "refused", "detail": "refused by the test"}
"""As our server says it; what another program on its port answers is no refusal."""


class Door:
    """Stands where the Penstock server stands: applies slices once, keeps blobs, answers what it holds.

    ``fault`` is asked before every answer with (method, path, count so far) and may return "drop" (close in the middle
    of the answer, after the request was applied), "lose" (close before it is applied) or a status to refuse with.
    ``refuses`` is asked with (path, payload) of a report or a finish and may return a status, too.
    """

    def __init__(self, record: Path) -> None:
        self.record = record
        self.written = bytearray()
        self.lines: list[str] = []
        self.events_offset = 0
        self.blobs: dict[str, bytes] = {}
        self.live: dict[str, str] = {}
        self.reports: list[dict[str, Any]] = []
        self.end: Any = None
        self.requests: list[str] = []
        self.cancel = False
        self.fault = lambda method, path, count: None
        self.refuses: Any = lambda path, payload: None
        self.leaves_out: Any = lambda lines: []
        self.largest = 0
        self.changed = threading.Condition()
        self.finish_gate = threading.Event()
        self.finish_gate.set()
        self.finish_asked = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._sockets: set[Any] = set()
        self.start()

    def start(self) -> None:
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                door._sockets.add(self.connection)

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                if len(body) != length:
                    return
                with door.changed:
                    door.requests.append(f"{self.command} {self.path}")
                    door.changed.notify_all()
                if not self.path.startswith("/api/v1/blobs/"):
                    door.largest = max(door.largest, length)
                fault = door.fault(self.command, self.path, len(door.requests))
                if fault == "lose":
                    self.close_connection = True
                    return
                if isinstance(fault, int):
                    self.answer(fault, json.dumps(REFUSAL).encode())
                    return
                if self.headers["Authorization"] != f"Bearer {TOKEN}":
                    self.answer(401, json.dumps(REFUSAL).encode())
                    return
                status, answer = door.handle(self.command, self.path, body)
                content = json.dumps(answer).encode()
                if fault == "drop":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content[:3])
                    self.close_connection = True
                    return
                self.answer(status, content)

            def answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PUT = do_GET = handle_any

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.record.write_text(json.dumps({"url": self.url}))

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            for connection in list(self._sockets):
                with suppress(OSError):
                    connection.shutdown(2)
            self._sockets.clear()
            self._thread.join()
            self._server = None

    @property
    def log(self) -> bytes:
        return bytes(self.written)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def handle(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if method == "PUT" and path.startswith("/api/v1/blobs/"):
            digest = path.rpartition("/")[2]
            if hashlib.sha256(body).hexdigest() != digest:
                return 400, {**REFUSAL, "detail": "another digest"}
            self.blobs[digest] = body
            return 201, {}
        payload = json.loads(body)
        status = self.refuses(path, payload)
        if status is not None:
            return status, REFUSAL
        if path.endswith("/artifacts"):
            missing = sorted({entry["digest"] for entry in payload["artifacts"]} - set(self.blobs))
            with self.changed:
                if not missing:
                    self.live.update({entry["path"]: entry["digest"] for entry in payload["artifacts"]})
                self.changed.notify_all()
            return 200, {"missing": missing}
        if path.endswith("/finish"):
            self.finish_asked.set()
            self.finish_gate.wait(WAIT_S)
        with self.changed:
            answer = self._apply(payload)
            if path.endswith("/report"):
                self.reports.append(payload)
            elif path.endswith("/finish"):
                if self.end is None:
                    entries = [*payload["artifacts"], *(e for items in payload["outputs"].values() for e in items)]
                    answer["missing"] = sorted({e["digest"] for e in entries} - set(self.blobs))
                    behind = any(payload.get(k, {}).get("next", 0) > answer[f"{k}_next"] for k in ("log", "events"))
                    answer["done"] = not answer["missing"] and not behind and not answer["left_out"]
                    if answer["done"]:
                        self.end = payload
                else:
                    answer["done"] = True
            self.changed.notify_all()
        return 200, answer

    def _apply(self, payload: dict[str, Any]) -> dict[str, Any]:
        log, events = payload.get("log"), payload.get("events")
        if log and log["offset"] == len(self.written):
            content = log["text"].encode("utf-8", "surrogateescape")
            assert len(content) == log["next"] - log["offset"]
            self.written += content
        left_out: list[str] = []
        if events and events["offset"] == self.events_offset:
            self.lines += events["lines"]
            self.events_offset = events["next"]
            left_out = self.leaves_out(events["lines"])
        held = {"log_next": len(self.written), "events_next": self.events_offset}
        return {"cancel": self.cancel, **held, "left_out": left_out}

    def wait_until(self, is_true: Any) -> None:
        with self.changed:
            assert self.changed.wait_for(is_true, WAIT_S), (self.log, self.requests, self.end)

    def wait_for_request(self, number: int) -> None:
        self.wait_until(lambda: len(self.requests) >= number)

    def artifact(self, path: str) -> bytes:
        assert self.end is not None
        by_path = {entry["path"]: entry["digest"] for entry in self.end["artifacts"]}
        return self.blobs[by_path[path]]

    @property
    def paths(self) -> list[str]:
        assert self.end is not None
        return sorted(entry["path"] for entry in self.end["artifacts"])

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


class Gate:
    """A named pipe: a command that reads it goes on when the test opens it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)

    def open(self) -> None:
        with self.path.open("w") as file:
            file.write("go\n")

    def __str__(self) -> str:
        return f"read _ < {self.path}"


class Workspace:
    """A workspace folder with one attempt, and the agent processes a test starts for it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.attempt = uuid.uuid4().hex
        self.folder = root / "jobs" / "job1" / "1"
        self.spool = root / "spool" / self.attempt
        self.record = root / "server.json"
        (root / "blobs").mkdir(parents=True)
        self.door = Door(self.record)
        self.started: list[subprocess.Popen[bytes]] = []
        self.errors = root / "agent.log"

    def blob(self, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        path = self.root / "blobs" / digest[:2] / digest
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return {"digest": digest, "size": len(content)}

    def assignment(self, command: str, **changes: Any) -> dict[str, Any]:
        return {
            "attempt": self.attempt,
            "job": "job1",
            "server_record": str(self.record),
            "server_url": "http://127.0.0.1:9",
            "token": TOKEN,
            "folder": str(self.folder),
            "spool": str(self.spool),
            "blobs": str(self.root / "blobs"),
            "code": [],
            "inputs": {},
            "outputs": {},
            "command": command,
            "environment": {},
            "path_prepend": [str(Path(sys.executable).parent)],
            "timeout_s": None,
            "shim": None,
            **changes,
        }

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.errors.open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(AGENT), *arguments],
                stdin=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def gate(self, name: str = "gate") -> Gate:
        return Gate(self.root / name)

    def start(self, command: str, **changes: Any) -> subprocess.Popen[bytes]:
        return self.give(json.dumps(self.assignment(command, **changes)).encode() + b"\n")

    def give(self, line: bytes) -> subprocess.Popen[bytes]:
        process = self.spawn()
        assert process.stdin is not None
        process.stdin.write(line)
        process.stdin.close()
        return process

    def run(self, command: str, **changes: Any) -> Any:
        process = self.start(command, **changes)
        assert process.wait(WAIT_S) == 0, self.errors.read_text()
        assert self.door.end is not None
        return self.door.end

    def collect(self) -> int:
        process = self.spawn("--collect", str(self.spool))
        assert process.stdin is not None
        process.stdin.close()
        return process.wait(WAIT_S)

    def close(self) -> None:
        self.door.finish_gate.set()
        self.door.stop()
        for process in self.started:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path)
    yield made
    made.close()
    assert kill_marked(made.attempt) == 0, "processes were left behind"
