from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from penstock.home import Home, ServerRecord, boot_id, process_start, write_private


def record_of(pid: int, start: int) -> ServerRecord:
    return ServerRecord(pid, start, boot_id(), "http://127.0.0.1:1", "http://127.0.0.1:2", "0", 0)


def test_record_survives_a_round_trip(tmp_path: Path) -> None:
    home = Home(tmp_path)
    record = record_of(os.getpid(), process_start(os.getpid()))
    home.write_server_record(record)
    assert home.read_server_record() == record
    assert record.is_alive()


def test_record_of_a_killed_process_is_stale() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    record = record_of(child.pid, process_start(child.pid))
    assert record.is_alive()
    child.kill()
    child.communicate()
    assert not record.is_alive()


def test_reused_pid_is_not_the_recorded_process() -> None:
    assert not record_of(os.getpid(), process_start(os.getpid()) - 1).is_alive()


def test_damaged_record_is_no_record(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.read_server_record() is None
    home.run.mkdir()
    home.server_record.write_text('{"pid": 1')
    assert home.read_server_record() is None
    home.server_record.write_text('{"pid": 1}')
    assert home.read_server_record() is None


def test_secret_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    write_private(tmp_path / "secret", "x")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_long_socket_paths_move_to_the_temp_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 120)
    deep.mkdir()
    path = Home(deep).socket_path("gateway")
    assert len(os.fsencode(path)) <= 100
    assert path == Home(deep).socket_path("gateway")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.rmdir()
