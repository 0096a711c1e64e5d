from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.entities.attempt import Attempt, AttemptState
from penstock.entities.job import CommandJobSpec, Job, JobStatus
from penstock.rules.scheduling import AgentSight, Begin, End, Recover, SeenAttempt, Tell, Withdraw, decide


def job(name: str, status: JobStatus, created_at: int = 0) -> Job:
    return Job(
        name=name,
        display_name=name,
        experiment_name="e",
        status=status,
        spec=CommandJobSpec(command="true"),
        created_at=created_at,
        created_by="ann",
    )


def attempt(name: str) -> Attempt:
    return Attempt(attempt_id=f"{name}-1", job_name=name, number=1, state=AttemptState.RUNNING, token_hash="")


def seen(name: str, sight: AgentSight, is_told: bool = False) -> dict[str, SeenAttempt]:
    return {name: SeenAttempt(attempt(name), sight, is_told)}


A = attempt("a")
RUNNING, CANCEL, QUEUED = JobStatus.RUNNING, JobStatus.CANCEL_REQUESTED, JobStatus.QUEUED


@pytest.mark.parametrize(
    ("status", "sight", "is_told", "expected"),
    [
        (RUNNING, AgentSight.ALIVE, False, None),
        (RUNNING, AgentSight.GONE, False, Recover(A)),
        (RUNNING, AgentSight.UNSTARTED, False, Withdraw(A)),
        (JobStatus.STARTING, AgentSight.STARTING, False, None),
        (CANCEL, AgentSight.ALIVE, False, Tell(A)),
        (CANCEL, AgentSight.ALIVE, True, None),
        (CANCEL, AgentSight.GONE, True, Recover(A)),
        (CANCEL, AgentSight.UNSTARTED, False, Withdraw(A)),
        (CANCEL, AgentSight.STARTING, False, None),
    ],
)
def test_what_becomes_of_an_attempt(status, sight, is_told, expected):
    decision = decide([job("a", status)], seen("a", sight, is_told), slots=1)
    assert decision.actions == (() if expected is None else (expected,))
    assert decision.look_again


def test_canceled_job_without_attempt_ends():
    assert decide([job("a", CANCEL)], {}, slots=1).actions == (End("a"),)


def test_the_oldest_start_first_and_no_more_than_there_is_room():
    jobs = [job("c", QUEUED, 3), job("a", QUEUED, 1), job("b", QUEUED, 2)]
    assert decide(jobs, {}, slots=2).actions == (Begin("a"), Begin("b"))
    assert decide([*jobs, job("r", RUNNING)], seen("r", AgentSight.ALIVE), slots=2).actions == (Begin("a"),)


def test_a_job_that_was_just_queued_is_looked_at_again():
    """The step that begins a job must not be the last look: its agent may be killed a moment later."""
    assert decide([job("a", QUEUED)], {}, slots=1).look_again
    assert not decide([], {}, slots=1).look_again


@given(
    st.lists(st.tuples(st.sampled_from(list(JobStatus)), st.none() | st.sampled_from(list(AgentSight))), max_size=8),
    st.integers(1, 4),
)
def test_slots_are_never_exceeded_and_nothing_happens_twice(rows, slots):
    jobs = [job(f"j{n}", status, n) for n, (status, _) in enumerate(rows)]
    live = {f"j{n}": SeenAttempt(attempt(f"j{n}"), sight) for n, (_, sight) in enumerate(rows) if sight is not None}
    decision = decide(jobs, live, slots=slots)
    begun = [action for action in decision.actions if isinstance(action, Begin)]
    assert not begun or len(live) + len(begun) <= slots
    assert len(set(decision.actions)) == len(decision.actions)
    assert not {action.job_name for action in begun} & live.keys()
