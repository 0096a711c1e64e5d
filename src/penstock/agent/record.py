"""What an attempt leaves in its spool folder so that another process can finish it.

``assignment.json`` (mode 0600, it holds the token), ``state.json``, ``log.txt``, ``events.jsonl``, ``artifacts/`` and
``lock``. The lock tells a living agent from one that left its attempt behind; ``agent.json`` says which process it is.
"""

from __future__ import annotations

import fcntl
import json
import os

from penstock.agent.command import Ending
from penstock.agent.processes import boot_id, process_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PHASE_RUNNING = "running"
PHASE_EXITED = "exited"
PHASE_FINISHED = "finished"


class SpoolRecord:
    """The files of one attempt's spool folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.log = os.path.join(folder, "log.txt")
        self.events = os.path.join(folder, "events.jsonl")
        self.artifacts = os.path.join(folder, "artifacts")
        self._state = os.path.join(folder, "state.json")
        self._agent = os.path.join(folder, "agent.json")
        self._assignment = os.path.join(folder, "assignment.json")
        self._lock = -1
        self.agent: dict[str, Any] = {}

    def lock(self) -> bool:
        """Take the attempt for this process's lifetime; return False if another process has it."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        self._lock = os.open(os.path.join(self.folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        pid = os.getpid()
        self.agent = {"pid": pid, "process_start": process_start(pid), "boot_id": boot_id()}
        _write(self._agent, json.dumps(self.agent).encode())
        return True

    def exists(self) -> bool:
        """Return whether the folder is still there; without it nobody waits for the attempt."""
        return os.path.isdir(self.folder)

    def write_assignment(self, line: bytes) -> None:
        """Keep the assignment."""
        _write(self._assignment, line)

    def read_agent(self) -> dict[str, Any] | None:
        """Return ``pid``, ``process_start`` and ``boot_id`` of the last agent that had the attempt, dead or alive."""
        try:
            with open(self._agent, "rb") as file:
                agent: dict[str, Any] = json.load(file)
        except (OSError, ValueError):
            return None
        return agent

    def has_assignment(self) -> bool:
        """Return whether the assignment was kept."""
        return os.path.exists(self._assignment)

    def read_assignment(self) -> bytes:
        """Return the assignment; raises FileNotFoundError."""
        with open(self._assignment, "rb") as file:
            return file.read()

    def write_running(self, pid: int) -> None:
        """Record that the command runs."""
        _write(self._state, json.dumps({"phase": PHASE_RUNNING, "pid": pid}).encode())

    def write_exited(self, ending: Ending) -> None:
        """Record how the command ended, on the disk: from here on the attempt is not lost with its agent."""
        _write(self._state, json.dumps({"phase": PHASE_EXITED, "ending": ending.as_dict()}).encode(), durable=True)

    def write_finished(self) -> None:
        """Record that the server has everything."""
        _write(self._state, json.dumps({"phase": PHASE_FINISHED}).encode())

    def read_state(self) -> tuple[str, Ending | None]:
        """Return (phase, ending); ("", None) where nothing readable was recorded."""
        try:
            with open(self._state, "rb") as file:
                state: dict[str, Any] = json.load(file)
            ending = state.get("ending")
            return str(state["phase"]), None if ending is None else Ending(**ending)
        except (OSError, ValueError, KeyError, TypeError):
            return "", None


def _write(path: str, content: bytes, *, durable: bool = False) -> None:
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb", buffering=0) as file:
        file.write(content)
        if durable:
            os.fdatasync(descriptor)
    os.replace(temporary, path)
