"""The local store passes the suite, and what is its own: layout, full disks, killed processes."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.entities.errors import OutOfSpaceError, UnavailableError
from penstock.stores.blobs.base import BlobStore
from penstock.stores.blobs.local import LocalBlobStore
from penstock.testing.blobs import BlobStoreSuite, sha256


class TestLocal(BlobStoreSuite):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Callable[[], BlobStore]:
        return lambda: LocalBlobStore(tmp_path / "blobs")


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond ``size`` bytes: the kernel answers as it does on a full quota."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def files_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def make_old(path: Path) -> None:
    os.utime(path, (1, 1))


def test_blobs_lie_read_only_under_their_digest(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path)
    digest, _ = store.put(b"content")
    upload = store.begin_upload()
    store.append_upload(upload, 0, b"other")
    other, _ = store.finish_upload(upload)
    assert files_in(tmp_path) == sorted([f"{digest[:2]}/{digest}", f"{other[:2]}/{other}"])
    for name in (digest, other):
        path = store.local_path(name)
        assert path == tmp_path / name[:2] / name
        assert path.stat().st_mode & 0o777 == 0o444


def test_a_full_disk_keeps_nothing(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path / "blobs")
    large = os.urandom(3 << 20)
    source = tmp_path / "large"
    source.write_bytes(large)
    upload = store.begin_upload()
    store.append_upload(upload, 0, b"kept")
    with files_limited_to(1 << 20):
        for write in (
            lambda: store.put(large),
            lambda: store.put_file(source),
            lambda: store.append_upload(upload, 4, large),
        ):
            with pytest.raises(OutOfSpaceError, match="full"):
                write()
    assert files_in(tmp_path / "blobs") == [f"incoming/{upload}.upload"]
    assert store.upload_offset(upload) == 4
    assert store.append_upload(upload, 4, large) == 4 + len(large)
    assert store.put(large) == (sha256(large), len(large))


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UnavailableError, match="blobs"):
        LocalBlobStore(tmp_path / "file" / "blobs")


def test_what_a_killed_process_left_is_removed_when_opened(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path)
    upload = store.begin_upload()
    stale, used, young = (tmp_path / "incoming" / f"{letter * 32}.part" for letter in "abc")
    for path in (stale, used, young):
        path.write_bytes(b"half")
    make_old(stale)
    make_old(used)
    with used.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        LocalBlobStore(tmp_path)
        assert files_in(tmp_path) == [
            f"incoming/{path}" for path in sorted([f"{upload}.upload", used.name, young.name])
        ]
    make_old(tmp_path / "incoming" / f"{upload}.upload")
    LocalBlobStore(tmp_path)
    assert files_in(tmp_path) == [f"incoming/{young.name}"]


WRITER = """
import sys
from pathlib import Path
from penstock.stores.blobs.local import LocalBlobStore

store = LocalBlobStore(Path(sys.argv[1]))
seed = sys.argv[2].encode()

def pieces(number):
    for _ in range(8):
        yield seed + b"%d " % number * 20000

number = 0
while True:
    digest, size = store.put(pieces(number))
    sys.stdout.write(f"{digest} {size}\\n")
    sys.stdout.flush()
    number += 1
"""


def test_kill_9_leaves_whole_blobs_only(tmp_path: Path) -> None:
    for seed in ("a", "b"):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), seed], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        with writer:
            assert writer.stdout is not None
            acknowledged = [writer.stdout.readline() for _ in range(10)]
            writer.send_signal(signal.SIGKILL)
            acknowledged += writer.stdout.readlines()
        store = LocalBlobStore(tmp_path)
        for line in acknowledged:
            if line.endswith("\n"):
                digest, size = line.split()
                assert store.size(digest) == int(size)
    for path in tmp_path.glob("??/*"):
        assert sha256(path.read_bytes()) == path.name


def test_two_processes_store_the_same_content(tmp_path: Path) -> None:
    """Each waits for a line, so that both write at once."""
    code = (
        "import sys; from pathlib import Path; from penstock.stores.blobs.local import LocalBlobStore\n"
        "store = LocalBlobStore(Path(sys.argv[1])); print('ready', flush=True); sys.stdin.readline()\n"
        "print([store.put(b'%d' % n * 1000)[0] for n in range(50)])"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    answers = []
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        answers.append(process.communicate()[0])
        assert process.returncode == 0
    assert answers[0] == answers[1]
    assert len(files_in(tmp_path)) == 50
