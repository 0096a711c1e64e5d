from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from penstock.compute import processes
from penstock.compute.base import AgentHandle
from penstock.compute.local import LocalCompute


class Place:
    """A workspace folder whose server is away, so that agents stay until their spool is removed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pipe = root / "pipe"
        self.gate = root / "gate"
        os.mkfifo(self.pipe)
        os.mkfifo(self.gate)
        self.attempt = uuid.uuid4().hex
        self.spool = root / "spool" / self.attempt

    def assignment(self, command: str) -> dict[str, object]:
        return {
            "attempt": self.attempt,
            "job": "j",
            "server_record": str(self.root / "none.json"),
            "server_url": "http://127.0.0.1:9",
            "token": "t",
            "folder": str(self.root / "jobs" / "j" / "1"),
            "spool": str(self.spool),
            "blobs": str(self.root / "blobs"),
            "command": command,
            "cancel_grace_s": 0.2,
        }

    def started(self) -> str:
        return self.pipe.read_text().strip()

    def vanish(self) -> None:
        """Take the spool away, so that the agent gives up its attempt."""
        self.spool.rename(self.root / "gone")

    @property
    def waiting(self) -> dict[str, object]:
        """An attempt that says its shell's pid and waits."""
        return self.assignment(f"echo $$ > {self.pipe}; read _ < {self.gate}; true")


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def compute(tmp_path, place):
    handles: list[AgentHandle] = []
    backend = LocalCompute(tmp_path / "agents.log")
    backend.handles = handles  # type: ignore[attr-defined] # for the tests to end them
    yield backend
    backend.close()
    for handle in handles:
        processes.send_signal(handle, signal.SIGKILL)
    backend.kill_remains(place.attempt)


def start(compute, assignment) -> AgentHandle:
    handle: AgentHandle = compute.start(assignment)
    compute.handles.append(handle)
    return handle


def wait_for_end(pid: int) -> None:
    """Wait until a process is gone or a zombie, without polling."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([descriptor], [], [], 60)
    os.close(descriptor)


def test_an_agent_started_ahead_takes_the_attempt(compute, place):
    compute.warm_up()
    handle = start(compute, place.waiting)
    shell = int(place.started())
    assert compute.is_alive(handle)
    assert Path(f"/proc/{shell}/cwd").resolve() == place.root / "jobs/j/1/work"
    assert compute.find(place.spool) == handle


def test_an_idle_agent_that_died_is_replaced(tmp_path, place, compute):
    compute._fill()
    idle = compute._idle[0]
    idle.kill()
    idle.wait()
    handle = start(compute, place.waiting)
    assert handle.pid != idle.pid
    assert place.started()


def test_a_handle_of_another_start_or_boot_is_not_alive(compute, place):
    handle = start(compute, place.waiting)
    place.started()
    for other in (
        AgentHandle("local", handle.pid, handle.process_start + 1, handle.boot_id),
        AgentHandle("local", handle.pid, handle.process_start, "another boot"),
    ):
        assert not compute.is_alive(other)
        assert not processes.send_signal(other, signal.SIGKILL)
    assert compute.is_alive(handle)


def test_cancel_ends_the_command_and_may_come_twice(compute, place):
    handle = start(compute, place.waiting)
    shell = int(place.started())
    compute.cancel(handle)
    compute.cancel(handle)
    wait_for_end(shell)
    place.vanish()
    wait_for_end(handle.pid)
    assert not compute.is_alive(handle)
    compute.cancel(handle)


def test_what_a_lost_agent_left_is_ended_by_its_mark(compute, place):
    handle = start(compute, place.assignment(f"(setsid sleep 1000 &); echo $$ > {place.pipe}; read _ < {place.gate}"))
    shell = int(place.started())
    os.kill(handle.pid, signal.SIGKILL)
    wait_for_end(handle.pid)
    assert not compute.is_alive(handle)
    assert compute.find(place.spool) is None
    assert compute.kill_remains(place.attempt) >= 2
    wait_for_end(shell)
    assert compute.kill_remains(place.attempt) == 0


def test_another_agent_collects_what_was_there_before_an_end_was_recorded(compute, place):
    handle = start(compute, place.waiting)
    place.started()
    os.kill(handle.pid, signal.SIGKILL)
    wait_for_end(handle.pid)
    compute.kill_remains(place.attempt)
    collector = compute.collect(place.spool)
    assert collector is not None
    compute.handles.append(collector)
    assert compute.is_alive(collector)
    place.vanish()
    wait_for_end(collector.pid)


@pytest.mark.parametrize("left", [{}, {"state.json": '{"phase": "exited"}'}])
def test_nothing_is_collected_without_an_assignment(compute, place, left):
    place.spool.mkdir(parents=True)
    for name, content in left.items():
        (place.spool / name).write_text(content)
    assert compute.collect(place.spool) is None


def test_nothing_is_collected_twice(compute, place):
    place.spool.mkdir(parents=True)
    (place.spool / "assignment.json").write_text(json.dumps(place.assignment("true")))
    (place.spool / "state.json").write_text(json.dumps({"phase": "finished"}))
    assert compute.collect(place.spool) is None


def test_another_agent_collects_what_a_dead_one_recorded(compute, place):
    place.spool.mkdir(parents=True)
    (place.spool / "assignment.json").write_text(json.dumps(place.assignment("true")))
    ending = {"reason": "exited", "exit_code": 0, "message": "", "started_at": 1, "ended_at": 2}
    (place.spool / "state.json").write_text(json.dumps({"phase": "exited", "ending": ending}))
    handle = compute.collect(place.spool)
    compute.handles.append(handle)
    assert compute.is_alive(handle)
    place.vanish()
    wait_for_end(handle.pid)


def test_close_ends_idle_agents_and_leaves_running_ones(tmp_path, place):
    compute = LocalCompute(tmp_path / "agents.log", idle_agents=2)
    handle = compute.start(place.waiting)
    place.started()
    compute._fill()
    idle = [process.pid for process in compute._idle]
    assert len(idle) == 2
    compute.close()
    assert [Path(f"/proc/{pid}").exists() for pid in idle] == [False, False]
    assert processes.is_running(handle)
    place.vanish()
    with place.gate.open("w") as gate:
        gate.write("go\n")
    wait_for_end(handle.pid)


def test_an_agent_outlives_the_process_that_started_it(tmp_path, place):
    program = (
        "import json, sys; from pathlib import Path; from penstock.compute.local import LocalCompute\n"
        "compute = LocalCompute(Path(sys.argv[1]))\n"
        "print(compute.start(json.loads(sys.argv[2])).pid, flush=True); compute._fill(); print(compute._idle[0].pid)\n"
        "import os; os._exit(9)"
    )
    source = Path(processes.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "agents.log"), json.dumps(place.waiting)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(source)},
    )
    running, idle = map(int, done.stdout.split())
    place.started()
    assert processes.is_running(processes.identify("local", running))
    wait_for_end(idle)
    place.vanish()
    with place.gate.open("w") as gate:
        gate.write("go\n")
    wait_for_end(running)


def test_a_command_gets_back_what_the_supervisor_changed(compute, place, monkeypatch):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setenv("PENSTOCK_NOFILE", "123")
    monkeypatch.setenv("PENSTOCK_UMASK", "027")
    monkeypatch.setenv("PENSTOCK_PARENT_FD", "5")
    handle = start(compute, place.waiting)
    shell = int(place.started())
    assert resource.prlimit(shell, resource.RLIMIT_NOFILE) == (123, hard)
    ours = {word for word in Path(f"/proc/{handle.pid}/environ").read_bytes().split(b"\0") if b"PENSTOCK" in word}
    assert ours == {b"PENSTOCK_UMASK=027"}
