"""The supervisor as a process: sockets, locks, restarts and the end of everything it started."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import select
import shutil
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

    def start_one(workspace: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock.app", "up", "--workspace", str(workspace), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
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


def ask(
    url: str, path: str = "/health", token: str = "", *, put: dict[str, object] | None = None
) -> tuple[int, dict[str, object]]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=START_S)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if put is None:
            connection.request("GET", path, headers=headers)
        else:
            connection.request("PUT", path, json.dumps(put), {**headers, "Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def find_child(parent: int, role: str) -> int | None:
    """Return the pid of a process's child by its role, whichever of its threads started it."""
    lists = Path(f"/proc/{parent}/task").glob("*/children")
    for pid in " ".join(children.read_text() for children in lists).split():
        with contextlib.suppress(OSError):
            if role.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return int(pid)
    return None


def child_of(parent: int, role: str) -> int:
    found = find_child(parent, role)
    assert found is not None, f"no {role} runs under {parent}"
    return found


def has_child(parent: int, role: str) -> bool:
    return find_child(parent, role) is not None


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


def test_readers_end_with_a_killed_server(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path)
    record = wait_record(tmp_path, process)
    token = Home(tmp_path).token_file.read_text().strip()
    assert ask(record.url)[0] == 200
    server = child_of(process.pid, "server")
    reader = None
    while reader is None:
        assert ask(record.url, "/api/v1/runs", token)[0] == 200
        reader = find_child(server, "reader")
    kill(server)
    wait_end(reader)
    assert ask(record.url, "/api/v1/runs", token)[0] == 200


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
    assert 'Did you mean "port"?' in error


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


def open_files(pid: int) -> tuple[int, int]:
    """Return the soft and hard limit of a process's open files."""
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)


def test_a_workspace_is_for_its_owner_alone_and_says_what_a_command_gets_back(tmp_path: Path, start: Start) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    less = min(soft, 512)
    umask = os.umask(0o027)
    resource.setrlimit(resource.RLIMIT_NOFILE, (less, hard))
    try:
        process = start(tmp_path / "lab")
    finally:
        os.umask(umask)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    record = wait_record(tmp_path / "lab", process)
    assert ask(record.url)[0] == 200
    server = child_of(process.pid, "server")
    environment = Path(f"/proc/{server}/environ").read_bytes().split(b"\0")
    assert {b"PENSTOCK_UMASK=027", b"PENSTOCK_NOFILE=%d" % less} <= set(environment)
    assert open_files(server) == open_files(process.pid) == (min(hard, 2**20), hard)
    for path in [tmp_path / "lab", *(tmp_path / "lab").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_second_start_changes_nothing_before_it_has_the_lock(tmp_path: Path, start: Start) -> None:
    home = Home(tmp_path)
    wait_record(tmp_path, start(tmp_path))
    home.token_file.unlink()
    loser = start(tmp_path)
    assert loser.wait(START_S) == 4
    assert not home.token_file.exists()


@pytest.mark.parametrize(
    "text", ['{"server": 70000}', '{"server": true}', '{"server": "x"}', "null", "text", "[1]", ""]
)
def test_damaged_ports_are_chosen_again(tmp_path: Path, start: Start, text: str) -> None:
    Home(tmp_path).ports_file.write_text(text)
    record = wait_record(tmp_path, start(tmp_path))
    ports = json.loads(Home(tmp_path).ports_file.read_text())
    assert ports == {"server": urlsplit(record.url).port, "gateway": urlsplit(record.gateway_url).port}


def wait_until(reached: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Look again until something is true, bounded by the process."""
    while not reached():
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"the supervisor ended: {process.communicate()[1]}")


@pytest.mark.parametrize("text", [None, "", "{", '{"pid": 1}'])
def test_a_lost_record_is_written_again(tmp_path: Path, start: Start, text: str | None) -> None:
    home = Home(tmp_path)
    process = start(tmp_path)
    record = wait_record(tmp_path, process)  # found in the lock file, maybe before its own file is there
    wait_until(home.server_record.exists, process)
    written = home.server_record.read_text()
    home.server_record.unlink()
    if text is not None:
        home.server_record.write_text(text)
    assert home.read_server_record() == record
    wait_until(lambda: home.server_record.exists() and home.server_record.read_text() == written, process)


def test_a_removed_lock_lets_no_second_server_in(tmp_path: Path, start: Start) -> None:
    home = Home(tmp_path)
    process = start(tmp_path)
    record = wait_record(tmp_path, process)
    shutil.rmtree(home.run)
    wait_until(home.lock_file.exists, process)
    assert start(tmp_path).wait(START_S) == 4
    assert home.read_server_record() == record


@pytest.mark.long
def test_a_gateway_that_is_killed_again_and_again_ends_nothing(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path)
    record = wait_record(tmp_path, process)
    token = Home(tmp_path).read_token()
    assert token
    assert ask(record.url, "/api/v1/online-endpoints/digits", token, put={"name": "digits"})[0] < 300
    for _ in range(7):
        wait_until(lambda: has_child(process.pid, "gateway"), process)
        kill(child_of(process.pid, "gateway"))
    assert ask(record.url)[0] == 200
    wait_until(lambda: has_child(process.pid, "gateway"), process)
    assert ask(record.gateway_url, "/nothing")[0] in {401, 404}
    process.terminate()
    said = process.communicate(timeout=START_S)[1]
    assert said.count("the gateway ended 5 times right after its start (last status -9)") == 1


@pytest.mark.long
def test_a_gateway_that_refuses_is_tried_again_when_its_trouble_is_over(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path)
    home, record = Home(tmp_path), wait_record(tmp_path, process)
    token = home.read_token()
    assert token
    assert ask(record.url, "/api/v1", token)[0] == 200
    home.config_file.write_text("[gateway]\nprot = 1\n")
    assert ask(record.url, "/api/v1/online-endpoints/digits", token, put={"name": "digits"})[0] < 300
    assert process.stderr is not None
    assert "the gateway ended right after its start" in process.stderr.readline()
    assert "prot" in process.stderr.readline()
    home.config_file.unlink()
    assert ask(record.gateway_url, "/nothing")[0] in {401, 404}
    assert ask(record.url)[0] == 200


@pytest.mark.long
def test_a_server_that_has_answered_is_never_given_up(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path)
    record = wait_record(tmp_path, process)
    assert ask(record.url)[0] == 200
    for _ in range(7):
        wait_until(lambda: has_child(process.pid, "server"), process)
        kill(child_of(process.pid, "server"))
    assert ask(record.url)[0] == 200


@pytest.mark.long
def test_a_server_that_never_answered_is_given_up_with_its_last_words(tmp_path: Path, start: Start) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import os, sys\nif 'server' in sys.orig_argv:\n    os.write(2, b'broken machine\\n')\n    os._exit(1)\n"
    )
    process = start(tmp_path / "lab", PYTHONPATH=str(tmp_path / "site"))
    said = process.communicate(timeout=START_S)[1]
    assert process.returncode == 1
    assert "the server ended 5 times right after its start (last status 1)" in said
    assert "broken machine" in said
