"""A server that does not take what it is sent: the attempt ends all the same, with as much as it takes."""

from __future__ import annotations

import json

import pytest

from penstock.agent.tail import MAX_LINE

LIMIT = 8 << 20


def write_events(workspace, lines: list[bytes]) -> str:
    """Return a shell command that logs the lines."""
    source = workspace.root / "lines.jsonl"
    source.write_bytes(b"".join(line + b"\n" for line in lines))
    return f"cat {source} > $PENSTOCK_SPOOL/events.jsonl"


def tag(value: str) -> bytes:
    return json.dumps({"t": 1, "tag": ["a", value]}, ensure_ascii=False).encode()


def test_a_line_over_the_limit_is_passed_over_and_said(workspace):
    lines = [tag("first"), tag("x" * 30_000_000), tag("next"), tag("y" * MAX_LINE), tag("last")]
    workspace.run(write_events(workspace, lines))
    assert [event["tag"][1] for event in workspace.door.events] == ["first", "next", "last"]
    assert workspace.door.log.count(b"was left out") == 2
    assert workspace.door.log == workspace.door.artifact("user_logs/std_log.txt")
    assert workspace.door.largest < LIMIT


def test_why_the_server_left_lines_out_is_said_once_in_the_log(workspace):
    workspace.door.leaves_out = lambda lines: ["the param 'p' is '1'"] * len(lines)
    end = workspace.run(write_events(workspace, [tag("one"), tag("two")]))
    assert end["exit_code"] == 0
    assert workspace.door.log == b"penstock: a logged line was left out: the param 'p' is '1'\n"


def test_a_line_without_an_end_is_passed_over(workspace):
    workspace.run(
        f"{write_events(workspace, [tag('first')])}; head -c 9000000 /dev/zero >> $PENSTOCK_SPOOL/events.jsonl"
    )
    assert [event["tag"][1] for event in workspace.door.events] == ["first"]
    assert workspace.door.largest < LIMIT


def test_reports_stay_small_whatever_was_written(workspace):
    lines = [b"\xff" * (MAX_LINE - 1)] * 12
    workspace.run(f"{write_events(workspace, lines)}; tr '\\0' '\\377' < /dev/zero | head -c 3000000")
    assert len(workspace.door.lines) == 12
    assert len(workspace.door.log) == 3_000_000
    assert workspace.door.largest < LIMIT


def test_a_server_with_a_smaller_limit_gets_smaller_slices(workspace):
    workspace.door.refuses = lambda path, payload: (
        413 if path.endswith("/report") and len(json.dumps(payload)) > 60_000 else None
    )
    workspace.run(f"{write_events(workspace, [tag(str(n)) for n in range(20_000)])}; seq 1 100000")
    assert [event["tag"][1] for event in workspace.door.events] == [str(n) for n in range(20_000)]
    assert workspace.door.log == b"".join(b"%d\n" % n for n in range(1, 100_001))


def test_lines_the_server_refuses_are_passed_over(workspace):
    workspace.door.refuses = lambda path, payload: (
        400 if any("bad" in line for line in payload.get("events", {}).get("lines", ())) else None
    )
    lines = [tag("x" * 400_000), tag("bad" + "x" * 400_000), tag("y" * 400_000)]
    end = workspace.run(f"{write_events(workspace, lines)}; exit 3")
    assert (end["reason"], end["exit_code"]) == ("exited", 3)
    assert [event["tag"][1][0] for event in workspace.door.events] == ["x", "y"]
    assert b"refused" in workspace.door.log


@pytest.mark.parametrize("part", ["log", "events"])
def test_an_end_is_told_without_what_the_server_never_takes(workspace, part):
    workspace.door.refuses = lambda path, payload: 422 if part in payload else None
    command = f"{write_events(workspace, [tag('x')])}; echo said; echo kept > outputs/kept; exit 3"
    end = workspace.run(command)
    assert (end["reason"], end["exit_code"]) == ("exited", 3)
    assert workspace.door.artifact("outputs/kept") == b"kept\n"
    assert workspace.door.artifact("user_logs/std_log.txt").startswith(b"said\n")


def test_a_refused_end_fails_the_job_with_the_reason(workspace):
    workspace.door.refuses = lambda path, payload: 422 if payload.get("artifacts") else None
    workspace.run("echo kept > outputs/kept")
    assert workspace.door.end["exit_code"] is None
    assert "could not be kept: 422" in workspace.door.end["message"]


@pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 413, 422])
def test_an_end_that_is_always_refused_is_given_up(workspace, status):
    workspace.door.refuses = lambda path, payload: status
    assert workspace.start("echo said").wait(60) == 4
    assert len(workspace.door.requests) < 20
    assert not (workspace.spool / "assignment.json").exists()
    assert workspace.collect() == 2


def test_a_server_that_never_applies_a_slice_is_given_up(workspace):
    apply = workspace.door._apply
    workspace.door._apply = lambda payload: {**apply({}), "log_next": 0}
    end = workspace.run("seq 1 100000; exit 3")
    assert end["exit_code"] == 3


def test_a_server_that_never_has_a_file_is_given_up(workspace):
    workspace.door.fault = lambda method, path, count: workspace.door.blobs.clear()
    end = workspace.run("echo kept > outputs/kept; echo said")
    assert end["artifacts"] == []
    assert "could not be kept" in end["message"]
