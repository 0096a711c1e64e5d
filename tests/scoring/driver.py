"""Start a scoring server on a script, ask it, and note what can be compared of its answers."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.scoring.cases import Ask, Case

START_S = 60.0
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
COMPARED = re.compile(r"x-ms-.*|x-request-id|traceid|access-control-.*|vary|allow|content-type|x-mine")


def lay_out(case: Case, folder: Path) -> Path:
    """Write a case's files into an empty folder and return the script."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {**case.files, "score.py": case.script}.items():
        (folder / name).write_text(content, "utf-8")
    return folder / "score.py"


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """Run a server of ``folder`` (``{port}`` in its command) until the block ends, and give its port."""
    port = free_port()
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [part.replace("{port}", str(port)) for part in command],
            cwd=folder,
            env={**_bare(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until_up(port, process, log)
        yield port
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


def status_of(command: Sequence[str], folder: Path) -> tuple[int, str]:
    """Run a server that cannot start and return its exit status and what it said."""
    done = subprocess.run(
        [part.replace("{port}", str(free_port())) for part in command],
        cwd=folder,
        env=_bare(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def ask(port: int, sent: Ask) -> dict[str, Any]:
    """Send one request on a connection of its own and return what can be compared of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
    try:
        body = sent.body.encode() if isinstance(sent.body, str) else sent.body
        connection.putrequest(sent.method, sent.path, skip_accept_encoding=True)
        for name, value in sent.headers.items():
            connection.putheader(name, value)
        if body or sent.method in {"POST", "PUT", "PATCH"}:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        content = response.read()
        shown = _body(content)
        if response.status in {404, 405} and b"Swagger" not in content and content:
            shown["json"]["message"] = "in words"
        return {"status": response.status, "headers": _headers(response.getheaders()), "body": shown}
    finally:
        connection.close()


def _headers(pairs: Sequence[tuple[str, str]]) -> list[list[str]]:
    found = []
    for name, value in pairs:
        name, shown = name.lower(), value
        if not COMPARED.fullmatch(name):
            continue
        if name == "x-ms-run-fn-exec-ms":
            shown = "milliseconds" if re.fullmatch(r"\d+\.\d{3}", value) else value
        elif name == "x-ms-server-version":
            shown = "some"
        elif UUID.fullmatch(value):
            shown = "a new id"
        elif name in {"allow", "access-control-allow-methods"}:
            shown = ", ".join(sorted(part.strip() for part in value.split(",")))
        found.append([name, shown])
    return sorted(found)


def _body(content: bytes) -> Any:
    try:
        return {"json": _without_descriptions(json.loads(content))}
    except ValueError:
        pass
    try:
        return {"text": content.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode("ascii")}


def _without_descriptions(value: Any) -> Any:
    """Return an API description without its sentences: each server words its own."""
    if isinstance(value, dict):
        return {name: _without_descriptions(each) for name, each in value.items() if name != "description"}
    return [_without_descriptions(each) for each in value] if isinstance(value, list) else value


def _bare() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONDONTWRITEBYTECODE")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _wait_until_up(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    pause = threading.Event()
    for _ in range(int(START_S * 20)):
        assert process.poll() is None, log.read_text("utf-8", "replace")[-3000:]
        try:
            if ask(port, Ask(method="GET", path="/", headers={}))["status"] == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        pause.wait(0.05)
    raise AssertionError(f"it did not start:\n{log.read_text('utf-8', 'replace')[-3000:]}")
