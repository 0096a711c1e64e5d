"""A workspace on a disk without room: a sentence that says so, whatever was to be written first."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.entities.errors import OutOfSpaceError
from penstock.home import Home
from penstock.sdk.launch import ensure_server

KIB = 2**10
SIZE = 512 * KIB
NO_ROOM = """
import errno, os
def fsync(descriptor):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
os.fsync = fsync
"""


@pytest.fixture
def make_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Path]]:
    """Give a function that makes a disk with some bytes free; a real one where mounting is allowed.

    Elsewhere, as in a container without that right, it stands in for the kernel: nothing reaches the disk.
    """
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    try:
        is_mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        is_mounted = False

    def make(free: int) -> Path:
        if is_mounted:
            with (folder / "filler").open("wb", buffering=0) as filler:
                filler.write(bytes(SIZE - free))
        else:
            (tmp_path / "site").mkdir()
            (tmp_path / "site" / "sitecustomize.py").write_text(NO_ROOM)
            monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
        return folder

    yield make
    if is_mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("free", [0, 24 * KIB, 48 * KIB, 128 * KIB])
def test_a_start_on_a_full_disk_is_one_sentence(make_disk: Callable[[int], Path], free: int) -> None:
    lab = make_disk(free) / "lab"
    done = subprocess.run(
        [sys.executable, "-P", "-m", "penstock.app", "up", "--workspace", str(lab)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 5, done
    assert re.search(r"^[Tt]he disk (of|under) .* is full", done.stderr), done
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("free", [0, 48 * KIB])
def test_the_client_says_so_too(make_disk: Callable[[int], Path], free: int) -> None:
    lab = make_disk(free) / "lab"
    with pytest.raises(OutOfSpaceError, match=f"the disk of {lab} is full"):
        ensure_server(Home(lab), say=lambda line: None)
