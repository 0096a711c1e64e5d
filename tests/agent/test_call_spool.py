"""The relay's spool: what it acknowledged is delivered in order, whatever ends it, and once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.agent.relay.spool import MAX_CALLS, CallSpool


def fails(descriptor: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


STEPS = st.lists(st.sampled_from(["append", "deliver", "crash", "tear"]), max_size=40)


def entries(spool: CallSpool) -> list[int]:
    return [stored.entry["seq"] for stored in spool.read()]


@given(STEPS)
@settings(max_examples=100)
def test_it_behaves_as_a_list(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("spool")
    spool = CallSpool(str(folder))
    waiting: list[int] = []
    for step in steps:
        if step == "append":
            waiting.append(spool.append({"path": "/p", "body": "x" * 50}))
        elif step == "deliver":
            found = spool.read()[:3]
            assert [stored.entry["seq"] for stored in found] == waiting[: len(found)]
            if found:
                spool.advance(found[-1].end, found[-1].entry["seq"])
                del waiting[: len(found)]
        else:
            last = spool.last
            spool.close()
            path = folder / "relay" / "calls"
            if step == "tear" and path.exists():
                with path.open("ab") as file:
                    file.write(b'{"seq": 9999, "pa')
            spool = CallSpool(str(folder))
            found = spool.read()
            # What was delivered may come again, for the server knows its number; what waits is never lost.
            assert [s.entry["seq"] for s in found][len(found) - len(waiting) :] == waiting
            waiting = [s.entry["seq"] for s in found]
            spool.advance(found[-1].end if found else 0, 0)
            while spool.read():
                pytest.fail("something is left behind the last call")
            for number in waiting:
                assert number <= last or step == "tear"
            return
    assert entries(spool) == waiting
    assert spool.is_empty == (not waiting)


def test_a_long_spool_is_read_in_parts(tmp_path):
    spool = CallSpool(str(tmp_path))
    for _ in range(MAX_CALLS + 5):
        spool.append({"path": "/p", "body": ""})
    seen: list[int] = []
    while calls := spool.read():
        assert len(calls) <= MAX_CALLS
        seen += [stored.entry["seq"] for stored in calls]
        spool.advance(calls[-1].end, seen[-1])
    assert seen == list(range(1, MAX_CALLS + 6))
    assert spool.is_empty
    assert (tmp_path / "relay" / "calls").stat().st_size == 0
    assert spool.append({"path": "/p", "body": ""}) == MAX_CALLS + 6


def test_calls_of_many_threads_have_numbers_of_their_own(tmp_path):
    spool = CallSpool(str(tmp_path))
    numbers: list[int] = []

    def work() -> None:
        for _ in range(50):
            numbers.append(spool.append({"path": "/p", "body": threading.current_thread().name}))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    seen: list[int] = []
    while len(seen) < 300:
        for stored in spool.read():
            seen.append(stored.entry["seq"])
            spool.advance(stored.end, stored.entry["seq"])
    for thread in threads:
        thread.join()
    assert seen == sorted(numbers) == list(range(1, 301))


def test_a_call_that_does_not_fit_leaves_room_for_those_that_do(tmp_path: Path, monkeypatch):
    spool = CallSpool(str(tmp_path))
    spool.append({"path": "/p", "body": "first"})
    real, left = os.write, [10]

    def short(descriptor: int, content: bytes) -> int:
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(descriptor, content[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr("os.write", short)
    with pytest.raises(OSError, match="No space"):
        spool.append({"path": "/p", "body": "too long"})
    monkeypatch.undo()
    spool.append({"path": "/p", "body": "second"})
    assert [stored.entry["body"] for stored in spool.read()] == ["first", "second"]


def test_a_call_that_cannot_be_synced_is_not_kept(tmp_path: Path, monkeypatch):
    spool = CallSpool(str(tmp_path))
    spool.append({"path": "/p", "body": "first"})
    with monkeypatch.context() as failing:
        failing.setattr("os.fdatasync", fails)
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output"):
                spool.append({"path": "/p", "body": "lost"})
    assert spool.append({"path": "/p", "body": "second"}) == spool.last == 2
    assert [(stored.entry["seq"], stored.entry["body"]) for stored in spool.read()] == [(1, "first"), (2, "second")]
    assert b"lost" not in (tmp_path / "relay" / "calls").read_bytes()


def test_calls_that_share_a_sync_that_fails_are_all_lost_and_none_is_delivered(tmp_path: Path, monkeypatch):
    spool = CallSpool(str(tmp_path))
    spool.append({"path": "/p", "body": "first"})
    real, syncing, release = os.fdatasync, threading.Event(), threading.Event()
    outcomes: list[object] = []

    def slow(descriptor: int) -> None:
        syncing.set()
        release.wait(60)
        fails(descriptor)

    def add(body: str) -> None:
        try:
            outcomes.append(spool.append({"path": "/p", "body": body}))
        except OSError as error:
            outcomes.append(error.errno)

    monkeypatch.setattr("os.fdatasync", slow)
    first = threading.Thread(target=add, args=("lost",))
    first.start()
    assert syncing.wait(60)
    size = (tmp_path / "relay" / "calls").stat().st_size
    others = [threading.Thread(target=add, args=(f"lost {number}",)) for number in range(4)]
    for thread in others:
        thread.start()
    while (tmp_path / "relay" / "calls").stat().st_size == size or spool.last < 6:
        os.sched_yield()
    # They are in the file, and were promised to nobody yet.
    assert entries(spool) == [1]
    monkeypatch.setattr("os.fdatasync", real)
    release.set()
    for thread in (first, *others):
        thread.join()
    assert outcomes == [errno.EIO] * 5
    assert spool.append({"path": "/p", "body": "second"}) == 2
    assert [stored.entry["body"] for stored in spool.read()] == ["first", "second"]


def test_a_spool_that_can_be_neither_synced_nor_cut_takes_nothing_more(tmp_path: Path):
    (tmp_path / "relay").mkdir()
    (tmp_path / "relay" / "calls").symlink_to("/dev/null")  # takes every byte; no fsync, no truncation
    spool = CallSpool(str(tmp_path))
    for _ in range(3):
        with pytest.raises(OSError, match=r"Invalid argument|any more"):
            spool.append({"path": "/p", "body": "x"})
    assert (spool.last, spool.is_empty, spool.read()) == (0, True, [])


FULL = """
import os, resource, sys
from penstock.agent.relay.spool import CallSpool
spool = CallSpool(sys.argv[1])
spool.append({"path": "/p", "body": "x" * 1000})
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
refused = 0
for number in range(5):
    try:
        spool.append({"path": "/p", "body": "x" * 1500})
    except OSError as error:
        refused += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.append({"path": "/p", "body": "after"})
print(refused, spool.last, [stored.entry["seq"] for stored in spool.read()])
"""


def test_a_file_that_may_not_grow_any_more_keeps_what_it_has(tmp_path: Path):
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "4 3 [1, 2, 3]\n"


def test_an_upload_that_fails_leaves_no_file(tmp_path):
    spool = CallSpool(str(tmp_path))

    def pieces():
        yield b"x" * 1000
        raise ConnectionAbortedError("the client is gone")

    with pytest.raises(ConnectionAbortedError):
        spool.put_file(pieces())
    assert list((tmp_path / "relay" / "files").iterdir()) == []
    kept = spool.put_file(iter([b"ab", b"c"]))
    assert kept["size"] == 3
    assert Path(spool.file_path(kept["file"])).read_bytes() == b"abc"
    spool.remove_file(kept["file"])
    spool.remove_file("../calls")
