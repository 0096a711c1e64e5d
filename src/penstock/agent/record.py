"""What an attempt leaves in its spool folder so that another process can finish it.

``assignment.json`` (mode 0600, it holds the token), ``state.json``, ``log.txt``, ``events.jsonl``, ``artifacts/`` and
``lock``. The lock tells a living agent from one that left its attempt behind; ``agent.json`` says which process it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os

from penstock.agent.command import Ending
from penstock.agent.notes import complain
from penstock.agent.processes import boot_id, process_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PHASE_RUNNING = "running"
PHASE_EXITED = "exited"
PHASE_FINISHED = "finished"
RESERVED_BYTES = 4096


class SpoolRecord:
    """The files of one attempt's spool folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.log = os.path.join(folder, "log.txt")
        self.events = os.path.join(folder, "events.jsonl")
        self.artifacts = os.path.join(folder, "artifacts")
        self._state = os.path.join(folder, "state.json")
        self._reserved = os.path.join(folder, "state.json.reserved")
        self._agent = os.path.join(folder, "agent.json")
        self._assignment = os.path.join(folder, "assignment.json")
        self._lock = -1
        self.agent: dict[str, Any] = {}
        self.tries = 0

    def lock(self) -> bool:
        """Take the attempt for this process's lifetime; return False if another process has it."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        self._lock = os.open(os.path.join(self.folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        pid = os.getpid()
        last = (self.read_agent() or {}).get("tries")
        self.tries = last + 1 if isinstance(last, int) else 1
        self.agent = {"pid": pid, "process_start": process_start(pid), "boot_id": boot_id()}
        _write_if_possible(self._agent, {**self.agent, "tries": self.tries})
        return True

    def reserve(self) -> None:
        """Take the room that the end's record needs, so that a full disk cannot keep it out; raises OSError."""
        descriptor = os.open(self._reserved, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVED_BYTES)
        finally:
            os.close(descriptor)

    def exists(self) -> bool:
        """Return whether the folder is still there; without it nobody waits for the attempt."""
        return os.path.isdir(self.folder)

    def write_assignment(self, line: bytes) -> None:
        """Keep the assignment."""
        _write(self._assignment, line)

    def read_agent(self) -> dict[str, Any] | None:
        """Return ``pid``, ``process_start`` and ``boot_id`` of the last agent that had the attempt, dead or alive.

        ``tries`` counts the agents that had it.
        """
        try:
            with open(self._agent, "rb") as file:
                agent = json.load(file)
        except (OSError, ValueError):
            return None
        return agent if isinstance(agent, dict) else None

    def has_assignment(self) -> bool:
        """Return whether the assignment was kept."""
        return os.path.exists(self._assignment)

    def read_assignment(self) -> bytes:
        """Return the assignment; raises OSError."""
        with open(self._assignment, "rb") as file:
            return file.read()

    def remove_assignment(self) -> None:
        """Give the attempt up: without its assignment nobody collects it again."""
        with contextlib.suppress(OSError):
            os.unlink(self._assignment)

    def write_running(self, pid: int) -> None:
        """Record that the command runs, if there is room."""
        _write_if_possible(self._state, {"phase": PHASE_RUNNING, "pid": pid})

    def write_exited(self, ending: Ending) -> None:
        """Record how the command ended, on the disk: from here on the attempt is not lost with its agent.

        Writes into the room that ``reserve`` took; raises OSError if that cannot be.
        """
        content = json.dumps({"phase": PHASE_EXITED, "ending": ending.as_dict()}).encode().ljust(RESERVED_BYTES)
        descriptor = os.open(self._reserved, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _write_all(descriptor, content)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(self._reserved, self._state)

    def write_finished(self) -> None:
        """Record that the server has everything, if there is room; the server knows it too."""
        _write_if_possible(self._state, {"phase": PHASE_FINISHED})

    def read_state(self) -> tuple[str, Ending | None]:
        """Return (phase, ending); ("", None) where nothing readable was recorded."""
        try:
            with open(self._state, "rb") as file:
                state: dict[str, Any] = json.load(file)
            ending = state.get("ending")
            return str(state["phase"]), None if ending is None else Ending(**ending)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return "", None


def _write(path: str, content: bytes) -> None:
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write_all(descriptor, content)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)


def _write_if_possible(path: str, content: dict[str, Any]) -> None:
    try:
        _write(path, json.dumps(content).encode())
    except OSError as error:
        complain(f"{path} was not written: {error.strerror}")


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
