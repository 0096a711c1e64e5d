"""The supervisor as a process: sockets, locks, restarts and the end of everything it started."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from penstock.home import Home, ServerRecord

START_S = 60

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start supervisors; they end with the test."""
    started: list[subprocess.Popen[str]] = []

    def start_one(workspace: Path, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock.app", "up", "--workspace", str(workspace), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.terminate()
        process.communicate(timeout=START_S)


def wait_record(workspace: Path, process: subprocess.Popen[str]) -> ServerRecord:
    """Return the record as soon as it is there; the folder is watched by looking, bounded by the process."""
    home = Home(workspace)
    while True:
        record = home.read_server_record()
        if record is not None and record.pid == process.pid:
            return record
        try:
            process.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"the supervisor ended: {process.communicate()[1]}")


def ask(url: str, path: str = "/health", token: str = "") -> tuple[int, dict[str, object]]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=START_S)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def child_of(parent: int, role: str) -> int:
    """Return the pid of a supervisor's child by its role."""
    for folder in Path("/proc").iterdir():
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            continue
        if int(fields[1]) == parent and role.encode() in command:
            return int(folder.name)
    pytest.fail(f"no {role} runs under {parent}")


def wait_end(pid: int) -> None:
    """Wait until a process that is not ours has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], START_S)[0], f"process {pid} did not end"
    finally:
        os.close(descriptor)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_end(pid)


def test_two_starts_at_once_are_one_server(tmp_path: Path, start: Start) -> None:
    processes = [start(tmp_path / "lab") for _ in range(3)]
    home = Home(tmp_path / "lab")
    losers: list[subprocess.Popen[str]] = []
    while len(losers) < 2:
        losers = [process for process in processes if process.poll() is not None]
    winner = next(process for process in processes if process not in losers)
    record = wait_record(tmp_path / "lab", winner)
    assert ask(record.url)[0] == 200
    for process in losers:
        assert process.returncode == 4
        assert "is already served" in process.communicate()[1]
    assert home.read_server_record() == record


def test_a_killed_server_comes_back_on_the_same_socket_and_refuses_nobody(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path)
    record = wait_record(tmp_path, process)
    assert ask(record.url)[0] == 200
    for _ in range(2):
        kill(child_of(process.pid, "server"))
        assert ask(record.url)[0] == 200
    assert Home(tmp_path).read_server_record() == record


def test_children_end_with_a_killed_supervisor_and_the_next_start_keeps_port_and_token(
    tmp_path: Path, start: Start
) -> None:
    first = start(tmp_path)
    record = wait_record(tmp_path, first)
    token = Home(tmp_path).read_token()
    assert token
    assert ask(record.url, "/api/v1", token)[0] == 200
    server = child_of(first.pid, "server")
    first.kill()
    first.wait()
    assert not record.is_alive()
    again = wait_record(tmp_path, start(tmp_path))
    wait_end(server)
    assert (again.url, again.gateway_url) == (record.url, record.gateway_url)
    assert ask(again.url, "/api/v1", token)[0] == 200


def test_stopping_ends_everything_and_removes_the_record(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path)
    record = wait_record(tmp_path, process)
    assert ask(record.url)[0] == 200
    server = child_of(process.pid, "server")
    process.send_signal(signal.SIGINT)
    assert process.wait(START_S) == 0
    wait_end(server)
    assert Home(tmp_path).read_server_record() is None


def test_a_taken_port_that_was_asked_for_is_one_sentence(tmp_path: Path, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(tmp_path, "--port", str(port))
        error = process.communicate(timeout=START_S)[1]
    assert process.returncode == 4
    assert f"port {port} on 127.0.0.1 is taken" in error
    assert "--port" in error
    assert "Traceback" not in error


def test_a_remembered_port_that_is_taken_gives_way_to_a_free_one(tmp_path: Path, start: Start) -> None:
    first = start(tmp_path)
    record = wait_record(tmp_path, first)
    first.terminate()
    assert first.wait(START_S) == 0
    port = urlsplit(record.url).port
    assert port is not None
    with socket.create_server(("127.0.0.1", port)):
        again = wait_record(tmp_path, start(tmp_path))
        assert again.url != record.url
        assert ask(again.url)[0] == 200


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path, start: Start) -> None:
    (tmp_path / "file").write_text("no folder")
    process = start(tmp_path / "file" / "lab")
    error = process.communicate(timeout=START_S)[1]
    assert process.returncode == 2
    assert "cannot be used" in error
    assert "-w" in error
    assert "Traceback" not in error


def test_a_newer_database_is_refused_once_with_its_reason(tmp_path: Path, start: Start) -> None:
    (tmp_path / "db").mkdir()
    with sqlite3.connect(tmp_path / "db" / "metadata.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
    database.close()
    process = start(tmp_path)
    error = process.communicate(timeout=START_S)[1]
    assert process.returncode == 4
    assert "newer" in error
    assert "Traceback" not in error


def test_a_mistake_in_the_settings_names_file_and_key(tmp_path: Path, start: Start) -> None:
    (tmp_path / "penstock.toml").write_text("[server]\nprot = 1\n")
    process = start(tmp_path)
    error = process.communicate(timeout=START_S)[1]
    assert process.returncode == 2
    assert "penstock.toml" in error
    assert "Did you mean 'port'?" in error


def test_secrets_are_for_their_owner_alone(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path)
    record = wait_record(tmp_path, process)
    home = Home(tmp_path)
    assert home.secrets.stat().st_mode & 0o777 == 0o700
    for file in (home.token_file, home.internal_token_file):
        assert file.stat().st_mode & 0o777 == 0o600
    token = home.read_token()
    assert token
    assert ask(record.url, "/api/v1")[0] == 401
    for number in (process.pid, child_of(process.pid, "server")):
        assert token.encode() not in Path(f"/proc/{number}/cmdline").read_bytes()
        assert token.encode() not in Path(f"/proc/{number}/environ").read_bytes()
