from __future__ import annotations

import os
import signal
import threading

from penstock.agent.processes import process_start

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/bash", ["bash", "-c", "trap '' TERM; echo grandchild $$; while :; do sleep 1000; done"], {})
    os._exit(0)
os.wait()
print("child", os.getpid(), flush=True)
time.sleep(1000)
"""


def pids(log: bytes) -> list[int]:
    return [int(line.split()[1]) for line in log.splitlines() if line.split()[0] in {b"child", b"grandchild", b"shell"}]


def test_cancel_ends_a_tree_that_ignores_sigterm_and_left_its_session(workspace):
    digest = workspace.blob(STUBBORN.encode())
    agent = workspace.start(
        "trap '' TERM; echo shell $$; python stubborn.py; python stubborn.py",
        code=[{"path": "stubborn.py", **digest}],
        cancel_grace_s=0.2,
    )
    workspace.door.wait_until(lambda: len(pids(workspace.door.log)) == 3)
    found = pids(workspace.door.log)
    os.kill(agent.pid, signal.SIGTERM)
    assert agent.wait() == 0
    assert workspace.door.end["reason"] == "canceled"
    assert [process_start(pid) for pid in found] == [0, 0, 0]


def test_a_command_may_save_its_work_when_the_server_cancels_it(workspace):
    gate = workspace.gate()
    agent = workspace.start(
        f"trap 'echo saved > outputs/checkpoint; exit 0' TERM; echo ready; {gate}; echo on; sleep 1000"
    )
    workspace.door.wait_until(lambda: workspace.door.log == b"ready\n")
    workspace.door.cancel = True
    gate.open()
    assert agent.wait() == 0
    assert workspace.door.end["reason"] == "canceled"
    assert workspace.door.artifact("outputs/checkpoint") == b"saved\n"
    assert b"penstock: canceled" in workspace.door.log


def test_a_time_limit_ends_the_command(workspace):
    end = workspace.run("echo begun; sleep 1000", timeout_s=0.2)
    assert end["reason"] == "timeout"
    assert "0.2 s" in end["message"]
    assert b"time limit" in workspace.door.log


def test_what_a_command_leaves_in_the_background_is_ended(workspace):
    end = workspace.run("sleep 1000 & echo child $!; setsid sleep 1000 & echo grandchild $!")
    assert end["exit_code"] == 0
    assert [process_start(pid) for pid in pids(workspace.door.log)] == [0, 0]


def test_cancel_during_preparation_ends_the_attempt(workspace):
    asked, gate = threading.Event(), threading.Event()

    def be_slow(method, path, count):
        if path == "/slow":
            asked.set()
            gate.wait(60)

    workspace.door.fault = be_slow
    agent = workspace.start("true", inputs={"n": {"path": "inputs/n/f", "url": f"{workspace.door.url}/slow"}})
    assert asked.wait(60)
    os.kill(agent.pid, signal.SIGTERM)
    assert agent.wait() == 0
    gate.set()
    assert (workspace.door.end["reason"], workspace.door.end["exit_code"]) == ("canceled", None)


def test_the_environment_is_the_assignments_and_no_setting_of_ours(workspace, monkeypatch):
    monkeypatch.setenv("PENSTOCK_SERVER__PORT", "1")
    end = workspace.run(
        "env | sort; pwd",
        environment={"LR": "0.1", "PYTHONPATH": "/theirs"},
        shim="/shim",
        path_prepend=["/first", "/second"],
    )
    assert end["exit_code"] == 0
    lines = workspace.door.log.decode().splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    assert values["LR"] == "0.1"
    assert values["PYTHONPATH"] == "/theirs:/shim"
    assert values["PATH"].startswith("/first:/second:")
    assert values["PENSTOCK_SPOOL"] == str(workspace.spool)
    assert {name for name in values if name.startswith("PENSTOCK")} == {"PENSTOCK_SPOOL", "PENSTOCK_ATTEMPT"}
    assert values["PYTHONUNBUFFERED"] == "1"
    assert lines[-1] == str(workspace.folder / "work")


def test_signals_are_as_a_shell_expects_them(workspace):
    workspace.run(
        "yes | head -n 1 > /dev/null; echo ${PIPESTATUS[0]}; python -c 'import signal as s; "
        "print(s.getsignal(s.SIGINT) is s.default_int_handler, s.getsignal(s.SIGHUP) is s.SIG_DFL)'"
    )
    assert workspace.door.log == b"141\nTrue True\n"


def test_the_command_has_no_input_and_only_its_own_files(workspace):
    workspace.run("cat; ls /proc/$$/fd | wc -l; readlink /proc/$$/fd/0")
    assert workspace.door.log.splitlines()[0] in {b"3", b"4"}
    assert workspace.door.log.splitlines()[1] == b"/dev/null"
