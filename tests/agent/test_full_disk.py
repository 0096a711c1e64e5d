"""A disk without room: nothing of ours may keep an attempt's end from the server, or run its command twice."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from penstock.agent.command import Ending
from penstock.agent.record import RESERVED_BYTES, SpoolRecord


class SmallDisk:
    """A disk of 256 KiB where this user may mount one; elsewhere a folder, and a limit on what the agent may write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
        self.is_mounted = (
            shutil.which("mount") is not None and not subprocess.run(mount, capture_output=True).returncode
        )

    def fill(self, agent) -> None:
        if not self.is_mounted:
            fill(agent)
            return
        with (self.folder / "filler").open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x"):
                pass

    def close(self) -> None:
        if self.is_mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path):
    made = SmallDisk(tmp_path / "disk")
    yield made
    made.close()


def fill(agent) -> None:
    """Let every write of that process to a file fail, as on a full disk."""
    resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def make_room(agent) -> None:
    resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_full_disk_keeps_nothing_from_the_server(workspace, disk):
    workspace.spool = disk.folder / workspace.attempt
    workspace.errors = disk.folder / "agents.log"
    gate = workspace.gate()
    agent = workspace.start(f"echo said; echo kept > outputs/kept; mkfifo outputs/pipe; {gate}; exit 3")
    workspace.door.wait_until(lambda: workspace.door.log)
    workspace.door.refuses = lambda path, payload: 503
    disk.fill(agent)
    gate.open()
    workspace.door.wait_until(lambda: any(request.endswith("/finish") for request in workspace.door.requests))
    recorded = SpoolRecord(str(workspace.spool)).read_state()[1]
    assert (recorded is not None) == disk.is_mounted  # the room was taken at the start; the limit is no want of room
    workspace.door.refuses = lambda path, payload: None
    assert agent.wait(60) == 0
    assert (workspace.door.end["reason"], workspace.door.end["exit_code"]) == ("exited", 3)
    assert workspace.door.artifact("outputs/kept") == b"kept\n"


def test_an_end_that_cannot_be_recorded_is_delivered(workspace):
    gate = workspace.gate()
    agent = workspace.start(f"echo said; echo kept > outputs/kept; mkfifo outputs/pipe; {gate}; exit 3")
    workspace.door.wait_until(lambda: workspace.door.log)
    fill(agent)
    gate.open()
    assert agent.wait(60) == 0
    assert (workspace.door.end["reason"], workspace.door.end["exit_code"]) == ("exited", 3)
    assert workspace.door.artifact("outputs/kept") == b"kept\n"


def test_an_end_is_recorded_when_there_is_room_again(workspace):
    gate = workspace.gate()
    agent = workspace.start(f"echo said; {gate}; exit 3")
    workspace.door.wait_until(lambda: workspace.door.log)
    workspace.door.refuses = lambda path, payload: 503
    fill(agent)
    gate.open()
    workspace.door.wait_until(lambda: any(request.endswith("/finish") for request in workspace.door.requests))
    assert SpoolRecord(str(workspace.spool)).read_state()[1] is None
    make_room(agent)
    workspace.door.wait_for_request(len(workspace.door.requests) + 2)
    agent.kill()
    agent.wait()
    workspace.door.refuses = lambda path, payload: None
    assert workspace.collect() == 0
    assert (workspace.door.end["reason"], workspace.door.end["exit_code"]) == ("exited", 3)


def test_a_collector_without_room_delivers(workspace):
    gate = workspace.gate()
    agent = workspace.start(f"echo said; {gate}")
    workspace.door.wait_until(lambda: workspace.door.log)
    workspace.door.refuses = lambda path, payload: 503
    gate.open()
    workspace.door.wait_until(lambda: any(request.endswith("/finish") for request in workspace.door.requests))
    agent.kill()
    agent.wait()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        collector = workspace.spawn("--collect", str(workspace.spool))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    collector.stdin.close()
    workspace.door.refuses = lambda path, payload: None
    assert collector.wait(60) == 0
    assert workspace.door.end["exit_code"] == 0


def test_an_agent_without_room_at_the_start_says_so(workspace):
    workspace.spool.mkdir(parents=True)
    agent = workspace.spawn()
    fill(agent)
    agent.stdin.write(json.dumps(workspace.assignment("true")).encode() + b"\n")
    agent.stdin.close()
    assert agent.wait(60) == 2
    assert workspace.door.end["reason"] == "prepare_failed"


def test_the_end_is_written_into_room_taken_at_the_start(tmp_path):
    record = SpoolRecord(str(tmp_path / "spool"))
    assert record.lock()
    record.reserve()
    (reserved,) = [path for path in (tmp_path / "spool").iterdir() if path.stat().st_size == RESERVED_BYTES]
    taken = reserved.stat()
    assert taken.st_blocks * 512 >= RESERVED_BYTES
    record.write_running(1)
    record.write_exited(Ending("exited", 3, "é" * 300))
    state = tmp_path / "spool" / "state.json"
    assert (state.stat().st_ino, state.stat().st_size) == (taken.st_ino, RESERVED_BYTES)
    phase, ending = record.read_state()
    assert phase == "exited"
    assert ending is not None
    assert ending.as_dict() == Ending("exited", 3, "é" * 300).as_dict()


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_an_end_of_any_length_is_recorded(tmp_path, size):
    record = SpoolRecord(str(tmp_path))
    record.reserve()
    record.write_exited(Ending("prepare_failed", None, "x" * size))
    ending = record.read_state()[1]
    assert ending is not None
    assert ending.message == "x" * size
    assert os.listdir(tmp_path) == ["state.json"]
