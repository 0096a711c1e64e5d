"""One try at running a job's process."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AttemptState(StrEnum):
    """Where an attempt is; the last four are final."""

    STARTING = "starting"
    PREPARING = "preparing"
    RUNNING = "running"
    FINALIZING = "finalizing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        """Return whether nothing more will happen to this attempt."""
        return self in {AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.CANCELED, AttemptState.LOST}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try; a lost machine starts a new one, a failing command does not.

    ``spool_offset`` and ``log_offset`` are the bytes of the attempt's event spool and log that the store
    holds, so a repeated report is recognised; ``relay_seq`` is the last call of its relay that was applied.
    (``pid``, ``process_start``, ``boot_id``) name the agent's process beyond pid reuse; ``process_start`` is
    field 22 of ``/proc/<pid>/stat`` in clock ticks.
    """

    attempt_id: str
    job_name: str
    number: int
    state: AttemptState
    token_hash: str
    node: str = "local"
    pid: int = 0
    process_start: int = 0
    boot_id: str = ""
    spool_offset: int = 0
    log_offset: int = 0
    relay_seq: int = 0
    exit_code: int | None = None
    reason: str = ""
    created_at: int = 0
    ended_at: int | None = None
