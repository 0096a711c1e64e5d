from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from penstock import Workspace
from penstock.entities.errors import RefusedError, UsageError
from penstock.home import Home, ServerRecord, boot_id, process_start
from penstock.sdk.launch import ensure_server, find_server, stop_server


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    it = Home(tmp_path / "lab")
    yield it
    record = find_server(it)
    if record is not None:
        stop_server(record)


def test_server_is_started_once_and_said_so_once(home: Home, capsys) -> None:
    first = Workspace(home.root, create=True)
    second = Workspace(home.root)
    assert first.url == second.url
    assert capsys.readouterr().err.count("Started a server") == 1
    first.close()
    second.close()


def test_starts_at_the_same_instant_give_one_server(home: Home) -> None:
    program = (
        "import sys\nfrom penstock import Workspace\nsys.stdin.read()\n"
        "ws = Workspace(sys.argv[1], create=True)\n"
        "print(ws.home.read_server_record().pid, ws.rest.features()['version'])"
    )
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(home.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.close()
        starter.stdin = None
    answers = [starter.communicate() for starter in starters]
    assert [starter.returncode for starter in starters] == [0] * 4, answers
    assert len({out for out, _ in answers}) == 1
    assert sum(err.count("Started a server") for _, err in answers) == 1


def test_foreground_start_that_was_quicker_is_found(home: Home) -> None:
    command = [sys.executable, "-m", "penstock.app", "up", "--workspace", str(home.root)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as foreground:
        record = ensure_server(home, say=lambda line: None)
        winner = record.pid
        stop_server(record)
    assert winner == foreground.pid or foreground.returncode != 0


def test_killed_server_is_recognised(home: Home) -> None:
    before = ensure_server(home, say=lambda line: None)
    os.kill(before.pid, signal.SIGKILL)
    os.waitpid(before.pid, 0)
    said: list[str] = []
    after = ensure_server(home, say=said.append)
    assert after.pid != before.pid
    assert len(said) == 1


def test_record_of_another_boot_or_a_reused_pid_is_not_believed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert find_server(home) is None
    with subprocess.Popen(["sleep", "60"]) as process:
        record = ServerRecord(process.pid, process_start(process.pid), boot_id(), "http://127.0.0.1:1", "", "0", 0)
        home.write_server_record(record)
        assert find_server(home) == record
        home.write_server_record(replace(record, process_start=record.process_start + 1))
        assert find_server(home) is None
        home.write_server_record(replace(record, boot_id="another"))
        assert find_server(home) is None
        home.write_server_record(record)
        process.kill()
        process.wait()
        assert find_server(home) is None


def test_damaged_record_is_no_record(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.run.mkdir()
    home.server_record.write_text('{"pid": ')
    assert find_server(home) is None


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "lab"
    with pytest.raises(UsageError, match=r"cannot be used: run/server\.json: Not a directory") as caught:
        ensure_server(Home(folder), say=lambda line: None)
    assert str(caught.value).count(str(folder)) == 1
    assert "-w" not in caught.value.hint


def test_taken_port_is_one_sentence(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RefusedError, match=f"port {port} on 127.0.0.1 is taken"):
            ensure_server(home, say=lambda line: None, port=port)


def test_mistake_in_the_settings_is_shown(home: Home) -> None:
    home.root.mkdir()
    home.config_file.write_text("[server]\nprot = 1\n")
    with pytest.raises(UsageError, match="prot"):
        ensure_server(home, say=lambda line: None)


def test_stopping_twice_is_no_error(home: Home) -> None:
    record = ensure_server(home, say=lambda line: None)
    stop_server(record)
    stop_server(record)
    assert find_server(home) is None


def test_newer_database_is_the_reason_given(home: Home) -> None:
    home.metadata_db.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(home.metadata_db)) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
        database.commit()
    with pytest.raises(RefusedError, match="newer"):
        ensure_server(home, say=lambda line: None)


def test_new_workspace_is_for_its_owner_alone(home: Home) -> None:
    before = os.umask(0o022)
    try:
        ensure_server(home, say=lambda line: None)
    finally:
        os.umask(before)
    everything = [home.root, *home.root.rglob("*")]
    assert home.metadata_db in everything
    assert [path for path in everything if path.lstat().st_mode & 0o077 and not path.is_symlink()] == []
