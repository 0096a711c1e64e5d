"""What the job controller does next, from what is recorded and which agents are seen.

Pure, so every case is a row of a table. The controller loads jobs and attempts, looks which agents live, asks
:func:`decide`, and carries the actions out one by one. It may be killed between any two; the next look decides again
from the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from penstock.entities.attempt import Attempt
from penstock.entities.job import Job, JobStatus
from penstock.rules.placement import Waiting, place


class AgentSight(StrEnum):
    """What is seen of an attempt's agent.

    ``starting``: this very server is handing the attempt over (building its environment, say). ``unstarted``: no agent
    ever got the attempt. ``gone``: one had it and its process has ended.
    """

    STARTING = "starting"
    UNSTARTED = "unstarted"
    ALIVE = "alive"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class SeenAttempt:
    """A live attempt and what is seen of its agent; ``is_told`` says that it was asked to end already."""

    attempt: Attempt
    sight: AgentSight
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Begin:
    """Start a new attempt of a queued job."""

    job_name: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Ask an attempt's agent to end its command."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Recover:
    """Collect what an agent that is gone left behind, and end its attempt."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Withdraw:
    """End an attempt that no agent ever got; it does not count as a try."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class End:
    """Cancel a job that has no attempt."""

    job_name: str


Action = Begin | Tell | Recover | Withdraw | End


@dataclass(frozen=True, slots=True)
class Decision:
    """Actions in the order they should be carried out, and whether to look again without being woken."""

    actions: tuple[Action, ...]
    look_again: bool


def decide(jobs: Sequence[Job], seen: Mapping[str, SeenAttempt], *, slots: int) -> Decision:
    """Return what to do now.

    Parameters
    ----------
    jobs : sequence of Job
        Every job that has not ended.
    seen : mapping
        By job name, its live attempt.
    slots : int
        Attempts that may be live at the same time.
    """
    actions: list[Action] = []
    waiting: list[Waiting] = []
    for job in jobs:
        found = seen.get(job.name)
        if found is not None:
            action = _look_after(job, found)
            if action is not None:
                actions.append(action)
        elif job.status is JobStatus.CANCEL_REQUESTED:
            actions.append(End(job.name))
        elif job.status is JobStatus.QUEUED:
            waiting.append(Waiting(job.name, job.created_at))
    actions += [Begin(name) for name in place(waiting, free=slots - len(seen), total=slots)]
    return Decision(tuple(actions), look_again=bool(jobs))


def _look_after(job: Job, found: SeenAttempt) -> Action | None:
    if found.sight is AgentSight.GONE:
        return Recover(found.attempt)
    if found.sight is AgentSight.UNSTARTED:
        return Withdraw(found.attempt)
    if found.sight is AgentSight.ALIVE and job.status is JobStatus.CANCEL_REQUESTED and not found.is_told:
        return Tell(found.attempt)
    return None
