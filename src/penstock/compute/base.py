"""The promise of every compute: start an agent for an attempt, know it again, end it.

An agent outlives the server that started it. It is known by (pid, process start, boot id), never by pid
alone. Every method may be called from any thread and again after a crash between any two lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class AgentHandle:
    """What identifies a started agent beyond pid reuse."""

    node: str
    pid: int
    process_start: int
    boot_id: str


class ComputeBackend(Protocol):
    """Where attempts run."""

    def start(self, assignment: Mapping[str, Any]) -> AgentHandle:
        """Hand ``assignment`` (see ``agent/assignment.py``) to an agent and return its handle.

        Returns as soon as an agent has the assignment; a pre-started agent takes it at once.
        """
        ...

    def is_alive(self, handle: AgentHandle) -> bool:
        """Return whether that very process is still running."""
        ...

    def cancel(self, handle: AgentHandle) -> None:
        """Ask the agent to end its command and report; idempotent, no error if it is gone."""
        ...

    def kill_remains(self, attempt_id: str) -> int:
        """End every process that carries the attempt's mark, return how many; used after an agent was lost."""
        ...

    def find(self, spool: Path) -> AgentHandle | None:
        """Return the agent that wrote into an attempt's spool folder, if it still runs.

        For attempts whose handle was not recorded because the server was killed right after ``start``.
        """
        ...

    def collect(self, spool: Path) -> AgentHandle | None:
        """Start an agent that delivers what a dead one left; None if it left no assignment or had delivered all.

        Without a recorded end of the command, what is left of it is ended and the attempt finishes as ``lost``.
        """
        ...

    def close(self) -> None:
        """End idle agents; running ones are left alone."""
        ...
