"""Process slots on this machine: one agent an attempt, and one started ahead of its attempt.

Starting an interpreter costs more than most of what an agent does, so an idle agent waits for its assignment on
standard input. Agents run in sessions of their own and outlive this process; idle ones end with it, because their
standard input ends.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from penstock import agent
from penstock.agent import processes as marks
from penstock.agent.record import PHASE_FINISHED, SpoolRecord
from penstock.compute import originals, processes
from penstock.compute.base import AgentHandle
from penstock.entities.errors import UnavailableError
from penstock.home import open_log

logger = logging.getLogger(__name__)

AGENT_PROGRAM = Path(agent.__file__).with_name("__main__.py")
NODE = "local"
REFILL_DELAY_S = 0.3
KEPT_PREFIXES_OUT = ("PENSTOCK_", "PYTHONHOME")


class LocalCompute:
    """Starts agents on this machine.

    Parameters
    ----------
    log_file : Path
        Where agents write what goes wrong with themselves.
    idle_agents : int
        Agents kept waiting; 0 starts each when it is needed.
    interpreter : Path
        The Python that runs agents.
    """

    def __init__(self, log_file: Path, *, idle_agents: int = 1, interpreter: Path = Path(sys.executable)) -> None:
        self._log_file = log_file
        self._wanted = idle_agents
        self._interpreter = interpreter
        self._lock = threading.Lock()
        self._idle: list[subprocess.Popen[bytes]] = []
        self._started: list[subprocess.Popen[bytes]] = []
        self._refill: threading.Timer | None = None
        self._is_closed = False

    def warm_up(self) -> None:
        """Start the idle agents now, in the background."""
        self._refill_later(0.0)

    def start(self, assignment: Mapping[str, Any]) -> AgentHandle:
        """Hand ``assignment`` to an idle agent, or to a new one; return as soon as it has it.

        Raises
        ------
        UnavailableError
            If no process can be started.
        """
        line = json.dumps(assignment, separators=(",", ":")).encode("ascii") + b"\n"
        try:
            for _ in range(self._wanted + 1):
                handle = self._give(self._take_idle(), line)
                if handle is not None:
                    return handle
            handle = self._give(self._spawn(), line)
        finally:
            self._refill_later(REFILL_DELAY_S)
        if handle is None:
            raise UnavailableError("an agent ended before it took its job", hint=f"See {self._log_file}.")
        return handle

    def is_alive(self, handle: AgentHandle) -> bool:
        """Return whether that very process is still running."""
        self._reap()
        return processes.is_running(handle)

    def cancel(self, handle: AgentHandle) -> None:
        """Send the agent SIGTERM; it ends its command and reports."""
        processes.send_signal(handle)

    def kill_remains(self, attempt_id: str) -> int:
        """End every process that carries the attempt's mark; return how many there were."""
        return marks.kill_marked(attempt_id)

    def find(self, spool: Path) -> AgentHandle | None:
        """Return the agent that wrote into this spool folder, if it still runs."""
        written = SpoolRecord(str(spool)).read_agent()
        if written is None:
            return None
        handle = AgentHandle(NODE, int(written["pid"]), int(written["process_start"]), str(written["boot_id"]))
        return handle if processes.is_running(handle) else None

    def collect(self, spool: Path) -> AgentHandle | None:
        """Start an agent with ``--collect`` if this spool folder has an assignment that is not finished."""
        record = SpoolRecord(str(spool))
        if record.read_state()[0] == PHASE_FINISHED or not record.has_assignment():
            return None
        process = self._spawn("--collect", str(spool))
        _close(process.stdin)
        with self._lock:
            self._started.append(process)
        return processes.identify(NODE, process.pid)

    def close(self) -> None:
        """End idle agents; running ones are left alone."""
        with self._lock:
            self._is_closed = True
            if self._refill is not None:
                self._refill.cancel()
            idle, self._idle = self._idle, []
        for process in idle:
            _close(process.stdin)
            process.wait()
        self._reap()
        for process in self._started:  # they go on without us; we will not wait for them
            process.returncode = 0

    def _take_idle(self) -> subprocess.Popen[bytes]:
        with self._lock:
            while self._idle:
                process = self._idle.pop(0)
                if _is_waiting(process):
                    return process
        return self._spawn()

    def _give(self, process: subprocess.Popen[bytes], line: bytes) -> AgentHandle | None:
        """Write the assignment to an agent; None if it has ended."""
        assert process.stdin is not None
        handle = processes.identify(NODE, process.pid)
        with self._lock:
            self._started.append(process)
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except BrokenPipeError:
            return None
        finally:
            _close(process.stdin)
        return handle

    def _spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(KEPT_PREFIXES_OUT) or name == originals.UMASK
        }
        try:
            with open_log(self._log_file) as log:
                process = subprocess.Popen(
                    [self._interpreter, "-I", "-S", AGENT_PROGRAM, *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    cwd="/",
                    env=environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise UnavailableError(f"an agent could not be started: {error}") from error
        originals.restore_open_files(process.pid)
        return process

    def _refill_later(self, delay_s: float) -> None:
        """Start idle agents after a moment, so that they do not take the processor from the job just started."""
        with self._lock:
            if self._is_closed or self._wanted == 0:
                return
            if self._refill is not None:
                self._refill.cancel()
            self._refill = threading.Timer(delay_s, self._fill)
            self._refill.daemon = True
            self._refill.start()

    def _fill(self) -> None:
        self._reap()
        while not self._is_closed and len(self._idle) < self._wanted:
            try:
                process = self._spawn()
            except UnavailableError as error:
                logger.warning("no idle agent: %s", error.message)
                return
            with self._lock:
                if not self._is_closed:
                    self._idle.append(process)
                    continue
            _close(process.stdin)
            process.wait()

    def _reap(self) -> None:
        """Collect ended agents, so that none stays a zombie."""
        with self._lock:
            self._started = [process for process in self._started if process.poll() is None]
            self._idle = [process for process in self._idle if _is_waiting(process)]


def _is_waiting(process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is None:
        return True
    _close(process.stdin)
    return False


def _close(stream: IO[bytes] | None) -> None:
    if stream is None:
        return
    try:
        stream.close()
    except BrokenPipeError:
        return
