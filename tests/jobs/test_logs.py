from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from penstock.jobs.logs import LiveLogs


def test_a_slice_sent_twice_is_there_once(tmp_path: Path) -> None:
    logs = LiveLogs(tmp_path)
    assert logs.append("j", 0, b"one\n") == 4
    assert logs.append("j", 0, b"one\n") == 4
    assert logs.append("j", 4, b"two\n") == 8
    assert logs.read("j", 0) == b"one\ntwo\n"


def test_a_hole_is_refused(tmp_path: Path) -> None:
    logs = LiveLogs(tmp_path)
    assert logs.append("j", 10, b"late") == 0
    assert logs.read("j", 0) == b""


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=8), st.data())
def test_any_resending_gives_the_same_log(tmp_path_factory, chunks: list[bytes], data: st.DataObject) -> None:
    logs = LiveLogs(tmp_path_factory.mktemp("logs"))
    whole = b"".join(chunks)
    held = 0
    while held < len(whole):
        start = data.draw(st.integers(0, held))
        end = data.draw(st.integers(held + 1, len(whole)))
        held = logs.append("j", start, whole[start:end])
    assert logs.read("j", 0) == whole
    assert logs.tail("j", lines=1000) == "\n".join(whole.decode("utf-8", "replace").splitlines())
