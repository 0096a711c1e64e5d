"""How jobs and attempts may change, and what follows when an attempt has ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from penstock.entities.attempt import AttemptState
from penstock.entities.errors import ConflictError
from penstock.entities.job import JobStatus
from penstock.entities.run import RunStatus

_S = JobStatus
TERMINAL = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELED})
_ENDS = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELED, _S.CANCEL_REQUESTED, _S.NOT_RESPONDING})

ALLOWED: dict[JobStatus, frozenset[JobStatus]] = {
    _S.NOT_STARTED: frozenset({_S.QUEUED, _S.FAILED, _S.CANCELED, _S.CANCEL_REQUESTED}),
    _S.QUEUED: frozenset({_S.PREPARING, _S.STARTING, _S.FAILED, _S.CANCELED, _S.CANCEL_REQUESTED}),
    _S.PREPARING: _ENDS | {_S.STARTING, _S.RUNNING, _S.FINALIZING, _S.QUEUED},
    _S.STARTING: _ENDS | {_S.PREPARING, _S.RUNNING, _S.FINALIZING, _S.QUEUED},
    _S.RUNNING: _ENDS | {_S.FINALIZING, _S.QUEUED},
    _S.FINALIZING: _ENDS | {_S.QUEUED},
    _S.NOT_RESPONDING: _ENDS | {_S.PREPARING, _S.STARTING, _S.RUNNING, _S.FINALIZING, _S.QUEUED},
    _S.CANCEL_REQUESTED: TERMINAL,
    _S.COMPLETED: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELED: frozenset(),
}
"""The statuses a job may go to from each one; back to Queued is a new attempt after a lost one."""

_RUN_STATUS = {
    _S.NOT_STARTED: RunStatus.SCHEDULED,
    _S.QUEUED: RunStatus.SCHEDULED,
    _S.COMPLETED: RunStatus.FINISHED,
    _S.FAILED: RunStatus.FAILED,
    _S.CANCELED: RunStatus.KILLED,
}

_OF_ATTEMPT = {
    AttemptState.STARTING: _S.STARTING,
    AttemptState.PREPARING: _S.PREPARING,
    AttemptState.RUNNING: _S.RUNNING,
    AttemptState.FINALIZING: _S.FINALIZING,
}


CRASHES = frozenset({3, 4, 5, 6, 7, 8, 11, 31})
"""Signals a program brings upon itself (QUIT, ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS): it would do so again."""


class EndReason(StrEnum):
    """Why an attempt's command is no longer there."""

    EXITED = "exited"
    CANCELED = "canceled"
    TIMEOUT = "timeout"
    SIGNAL = "signal"
    OUT_OF_MEMORY = "out_of_memory"
    PREPARE_FAILED = "prepare_failed"
    LOST = "lost"
    NOT_STARTED = "not_started"


@dataclass(frozen=True, slots=True)
class Complete:
    """The job is done."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """The job is canceled; ``code`` and ``message`` say by what, where nobody asked for it."""

    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Fail:
    """The job has failed; ``code`` is for programs, ``message`` is one sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Retry:
    """The job is queued again for a further attempt; ``message`` says why."""

    message: str


NextAction = Complete | Cancel | Fail | Retry


def is_terminal(status: JobStatus) -> bool:
    """Return whether nothing more will happen to a job."""
    return status in TERMINAL


def may_become(status: JobStatus, wanted: JobStatus) -> bool:
    """Return whether a job may go from one status to another; staying is always allowed."""
    return wanted == status or wanted in ALLOWED[status]


def check_transition(status: JobStatus, wanted: JobStatus, *, ref: str = "") -> None:
    """Raise ConflictError unless a job may go from ``status`` to ``wanted``."""
    if not may_become(status, wanted):
        raise ConflictError(f"a job that is {status} cannot become {wanted}", ref=ref)


def run_status(status: JobStatus) -> RunStatus:
    """Return what MLflow calls a job's status."""
    return _RUN_STATUS.get(status, RunStatus.RUNNING)


def status_of_attempt(state: AttemptState, current: JobStatus) -> JobStatus:
    """Return a job's status while its attempt is in ``state``; an asked-for cancel stays visible."""
    if current == _S.CANCEL_REQUESTED or is_terminal(current):
        return current
    return _OF_ATTEMPT.get(state, current)


def after_attempt(
    reason: EndReason | str,
    *,
    exit_code: int | None = None,
    message: str = "",
    attempt: int = 1,
    max_attempts: int = 3,
    cancel_requested: bool = False,
) -> NextAction:
    """Return what follows when an attempt has ended.

    Parameters
    ----------
    reason : EndReason or str
        Why it ended.
    exit_code : int, optional
        The command's exit status; negative, or above 128, for a signal. A crash of its own fails the job; a
        signal from outside is a lost attempt.
    message : str
        What the agent said about it.
    attempt : int
        The number of the ended attempt, from 1.
    max_attempts : int
        After that many, a lost attempt fails the job.
    cancel_requested : bool
        Whether somebody asked for the end; then a command that had finished with 0 is still complete, and
        anything else is canceled.
    """
    reason = EndReason(reason)
    if reason == EndReason.EXITED and exit_code == 0:
        return Complete()
    if cancel_requested or reason == EndReason.CANCELED:
        return Cancel()
    if reason == EndReason.NOT_STARTED:
        return Retry("The server ended before it could start this attempt; starting it now.")
    if reason == EndReason.SIGNAL and _signal_number(exit_code) in CRASHES:
        return Fail("CommandFailed", message or f"{_lost_words(reason, exit_code).capitalize()}.")
    if reason in (EndReason.LOST, EndReason.SIGNAL):
        what = message or _lost_words(reason, exit_code)
        if attempt < max_attempts:
            return Retry(f"Attempt {attempt} of {max_attempts}: {what}; trying again.")
        return Fail("AttemptsExhausted", f"The last of {max_attempts} attempts: {what}.")
    if reason == EndReason.TIMEOUT:
        return Cancel("Timeout", message or "The job ran longer than limits.timeout allows and was ended.")
    if reason == EndReason.OUT_OF_MEMORY:
        return Fail("OutOfMemory", message or "The command used more memory than there is and was ended.")
    if reason == EndReason.PREPARE_FAILED:
        return Fail("PrepareFailed", message or "The job could not be prepared.")
    return Fail("CommandFailed", message or f"The command ended with exit code {exit_code}.")


def _lost_words(reason: EndReason, exit_code: int | None) -> str:
    if reason == EndReason.LOST:
        return "the agent that ran the command was lost"
    number = _signal_number(exit_code)
    return f"the command was ended by signal {number}" if number else "the command was ended by a signal"


def _signal_number(exit_code: int | None) -> int:
    if exit_code is None:
        return 0
    return -exit_code if exit_code < 0 else max(0, exit_code - 128)
