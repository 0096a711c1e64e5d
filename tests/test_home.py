from __future__ import annotations

import dataclasses
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from penstock.home import (
    MAX_SOCKET_NAME_BYTES,
    Home,
    ServerRecord,
    boot_id,
    open_log,
    process_start,
    write_private,
)


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


DAMAGED = ["", '{"pid": 1', '{"pid": 1}', "null", "[]", "\0\0"]


@pytest.mark.parametrize("text", DAMAGED)
def test_damaged_record_is_no_record(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    assert home.read_server_record() is None
    home.run.mkdir()
    home.server_record.write_text(text)
    assert home.read_server_record() is None
    home.lock_file.write_text(text)
    assert home.read_server_record() is None


def test_record_with_a_value_of_another_type_is_no_record(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write_server_record(dataclasses.replace(record_of(1, 1), url=5))  # type: ignore[arg-type] # that is the point
    assert home.read_server_record() is None


@pytest.mark.parametrize("text", [None, *DAMAGED])
def test_copy_in_the_lock_file_counts_where_the_record_is_damaged(tmp_path: Path, text: str | None) -> None:
    home = Home(tmp_path)
    home.make()
    record = record_of(os.getpid(), process_start(os.getpid()))
    home.lock_file.write_text(record.to_json())
    if text is not None:
        home.server_record.write_text(text)
    assert home.read_server_record() == record


def test_copy_of_a_living_server_counts_more_than_the_record_of_a_dead_one(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    alive, dead = (record_of(os.getpid(), process_start(os.getpid()) + n) for n in (0, 1))
    home.write_server_record(dead)
    home.lock_file.write_text(alive.to_json())
    assert home.read_server_record() == alive
    home.write_server_record(alive)
    home.lock_file.write_text(dead.to_json())
    assert home.read_server_record() == alive


def test_new_workspace_is_for_its_owner_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "above" / "lab")
    before = os.umask(0o022)
    try:
        home.make()
        with open_log(home.logs / "x.log") as log:
            log.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(home.root.parent.stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in (home.root, home.run, home.logs)} == {0o700}
    assert stat.S_IMODE((home.logs / "x.log").stat().st_mode) == 0o600


def test_long_log_is_moved_aside_once(tmp_path: Path) -> None:
    for number in range(4):
        with open_log(tmp_path / "x.log", max_bytes=10) as log:
            log.write(b"%d234" % number)
    assert (tmp_path / "x.log").read_bytes() == b"3234"
    assert (tmp_path / "x.log.1").read_bytes() == b"023412342234"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.log", "x.log.1"]


def test_secret_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    write_private(tmp_path / "secret", "x")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_long_socket_paths_move_to_the_temp_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    deep = tmp_path / ("a" * 120)
    deep.mkdir()
    home = Home(deep)
    assert home.sockets == Home(deep).sockets
    assert home.sockets.parent == tmp_path
    assert stat.S_IMODE(home.sockets.stat().st_mode) == 0o700


def test_all_sockets_of_a_folder_lie_together_whatever_their_names() -> None:
    for length in range(1, 120):
        home = Home(Path("/") / ("a" * length))
        if home.sockets != home.run:
            break
        assert len(os.fsencode(home.socket_path("x" * (MAX_SOCKET_NAME_BYTES - 5)))) <= 100
    assert home.socket_path("x").parent == home.socket_path("x" * 40).parent
    home.sockets.rmdir()


def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    deep = tmp_path / ("a" * 120)
    deep.mkdir()
    Home(deep).sockets.chmod(0o755)
    with pytest.raises(PermissionError, match="TMPDIR"):
        _ = Home(deep).sockets
