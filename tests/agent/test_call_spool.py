"""The relay's spool: what it acknowledged is delivered in order, whatever ends it, and once."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.agent.relay.spool import MAX_CALLS, CallSpool

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
