"""A folder that was copied with everything in it is another workspace, whatever its files say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.home import Home
from penstock.sdk.launch import ensure_server, find_server, stop_server


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[tuple[Home, Home]]:
    """Return a served workspace and a place for its copy; what is served ends with the test."""
    original, copy = Home(tmp_path / "original"), Home(tmp_path / "copy")
    ensure_server(original, say=lambda line: None)
    yield original, copy
    for home in (original, copy):
        record = find_server(home)
        if record is not None:
            stop_server(record)


def copy_folder(original: Home, copy: Home) -> None:
    """Copy what is there, as ``cp -r`` does: all but sockets."""

    def sockets(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if (Path(folder) / name).is_socket()]

    shutil.copytree(original.root, copy.root, ignore=sockets)


def penstock(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "penstock.cli", *arguments], capture_output=True, text=True)


def test_a_copys_commands_leave_the_original_alone(homes: tuple[Home, Home]) -> None:
    original, copy = homes
    copy_folder(original, copy)
    running = find_server(original)
    assert running is not None
    assert copy.server_record.exists()
    assert find_server(copy) is None
    status = penstock("status", "-w", str(copy.root))
    assert (status.returncode, "not running" in status.stdout) == (5, True)
    down = penstock("down", "-w", str(copy.root))
    assert (down.returncode, "No server runs" in down.stderr) == (0, True)
    assert running.is_alive()
    assert find_server(original) == running


def test_a_copy_takes_ports_of_its_own_and_says_so(homes: tuple[Home, Home]) -> None:
    original, copy = homes
    copy_folder(original, copy)
    running = find_server(original)
    assert running is not None
    said: list[str] = []
    record = ensure_server(copy, say=said.append)
    assert not {record.url, record.gateway_url} & {running.url, running.gateway_url}
    assert (record.pid == running.pid, find_server(original)) == (False, running)
    assert "is taken by another program" in said[0]
    ports = copy.read_ports()
    assert record.url.endswith(f":{ports['server']}")
    stop_server(record)
    assert running.is_alive()
    again = ensure_server(copy, say=said.append)
    assert again.url == record.url
    assert len(said) == 3  # what was said once is not said again


def test_a_moved_folder_keeps_its_server(homes: tuple[Home, Home]) -> None:
    original, moved = homes
    running = find_server(original)
    original.root.rename(moved.root)
    assert find_server(moved) == running
    moved.root.rename(original.root)
