"""What a command logs as artifacts reaches the server while it runs."""

from __future__ import annotations

import hashlib
import sys

from penstock.compute.environments.base import SHIM_FOLDER

PYTHON = f"{sys.executable} -S -c"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def logging(program: str) -> str:
    return f"{PYTHON} 'import os, penstock; {program}'"


def start(workspace, command: str):
    return workspace.start(command, shim=str(SHIM_FOLDER))


def end(workspace, process, gate) -> None:
    gate.open()
    assert process.wait(60) == 0, workspace.errors.read_text()


def test_an_artifact_is_there_before_its_command_ends(workspace):
    gate = workspace.gate()
    process = start(workspace, logging('penstock.log_text("first", "notes/a.txt")') + f"; {gate}")
    workspace.door.wait_until(lambda: workspace.door.live == {"notes/a.txt": digest(b"first")})
    assert workspace.door.end is None
    assert workspace.door.blobs[digest(b"first")] == b"first"
    end(workspace, process, gate)
    assert workspace.door.artifact("notes/a.txt") == b"first"
    puts = [request for request in workspace.door.requests if request.endswith(digest(b"first"))]
    assert len(puts) == 1


def test_another_file_of_the_same_name_replaces_it(workspace):
    first, second = workspace.gate("one"), workspace.gate("two")
    program = 'penstock.log_text("{}", "a.txt")'
    command = f"{logging(program.format('old'))}; {first}; {logging(program.format('new'))}; {second}"
    process = start(workspace, command)
    workspace.door.wait_until(lambda: workspace.door.live.get("a.txt") == digest(b"old"))
    first.open()
    workspace.door.wait_until(lambda: workspace.door.live.get("a.txt") == digest(b"new"))
    end(workspace, process, second)
    assert workspace.door.artifact("a.txt") == b"new"


def test_many_files_and_equal_ones_arrive(workspace):
    gate = workspace.gate()
    program = '[penstock.log_text(str(n // 2), "many/%d.txt" % n) for n in range(130)]'
    process = start(workspace, f"{logging(program)}; {gate}")
    workspace.door.wait_until(lambda: len(workspace.door.live) == 130)
    assert workspace.door.live["many/7.txt"] == digest(b"3")
    end(workspace, process, gate)
    assert workspace.door.paths.count("many/7.txt") == 1


def test_an_outage_delays_them_only(workspace):
    before, gate = workspace.gate("before"), workspace.gate()
    process = start(workspace, f"{before}; {logging('penstock.log_text(chr(97), chr(97))')}; {gate}")
    workspace.door.wait_until(lambda: workspace.door.reports)
    faults = [500, 500, "lose", "drop"]
    workspace.door.fault = lambda method, path, count: faults.pop() if path.endswith("/artifacts") and faults else None
    before.open()
    workspace.door.wait_until(lambda: workspace.door.live == {"a": digest(b"a")})
    assert faults == []
    end(workspace, process, gate)
    assert workspace.door.artifact("a") == b"a"


def test_a_refusal_is_no_loss(workspace):
    gate = workspace.gate()
    workspace.door.refuses = lambda path, payload: 400 if path.endswith("/artifacts") else None
    process = start(workspace, f"{logging('penstock.log_text(chr(97), chr(97))')}; {gate}")
    workspace.door.wait_until(lambda: any(request.endswith("/artifacts") for request in workspace.door.requests))
    end(workspace, process, gate)
    assert workspace.door.live == {}
    assert workspace.door.artifact("a") == b"a"


def test_what_is_no_file_of_the_spool_stays_where_it_is(workspace, tmp_path):
    (tmp_path / "secret").write_text("secret")
    gate = workspace.gate()
    program = (
        'penstock.log_text("x", "x.txt"); spool = os.environ["PENSTOCK_SPOOL"]; '
        f'os.symlink("{tmp_path}/secret", spool + "/artifacts/link"); '
        'file = open(spool + "/events.jsonl", "a"); '
        'names = ["link", "../../secret", "/etc/passwd", "none"]; '
        '[file.write("{\\"artifact\\": \\"" + name + "\\"}\\n") for name in names]; file.close(); '
        'penstock.log_text("y", "y.txt")'
    )
    process = start(workspace, f"{logging(program)}; {gate}")
    workspace.door.wait_until(lambda: {"x.txt", "y.txt"} <= set(workspace.door.live))
    assert set(workspace.door.live) == {"x.txt", "y.txt"}
    end(workspace, process, gate)
