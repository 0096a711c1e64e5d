from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.entities.attempt import AttemptState
from penstock.entities.errors import ConflictError
from penstock.entities.job import JobStatus
from penstock.entities.run import RunStatus
from penstock.rules.lifecycle import (
    ALLOWED,
    Cancel,
    Complete,
    EndReason,
    Fail,
    Retry,
    after_attempt,
    check_transition,
    is_terminal,
    may_become,
    run_status,
    status_of_attempt,
)

STATUSES = st.sampled_from(JobStatus)


def test_every_status_has_its_row():
    assert set(ALLOWED) == set(JobStatus)


@given(st.lists(STATUSES, max_size=30))
def test_nothing_leaves_a_final_status(wanted):
    status = JobStatus.NOT_STARTED
    for other in wanted:
        if is_terminal(status):
            assert not may_become(status, other) or other == status
        if may_become(status, other):
            status = other


@pytest.mark.parametrize("status", [status for status in JobStatus if not is_terminal(status)])
def test_every_status_leads_to_an_end(status):
    seen, new = {status}, {status}
    while new:
        new = {other for one in new for other in ALLOWED[one]} - seen
        seen |= new
    assert {JobStatus.FAILED, JobStatus.CANCELED} <= seen


def test_a_forbidden_change_names_both_ends():
    with pytest.raises(ConflictError, match="Completed cannot become Running"):
        check_transition(JobStatus.COMPLETED, JobStatus.RUNNING, ref="job:x")
    check_transition(JobStatus.RUNNING, JobStatus.RUNNING)


def test_an_asked_for_cancel_stays_visible_while_the_attempt_goes_on():
    assert status_of_attempt(AttemptState.RUNNING, JobStatus.CANCEL_REQUESTED) == JobStatus.CANCEL_REQUESTED
    assert status_of_attempt(AttemptState.FINALIZING, JobStatus.RUNNING) == JobStatus.FINALIZING
    assert status_of_attempt(AttemptState.RUNNING, JobStatus.FAILED) == JobStatus.FAILED


def test_mlflow_sees_every_status():
    assert {run_status(status) for status in JobStatus} == set(RunStatus)


@pytest.mark.parametrize(
    ("reason", "facts", "expected"),
    [
        ("exited", {"exit_code": 0}, Complete()),
        ("exited", {"exit_code": 3}, Fail("CommandFailed", "The command ended with exit code 3.")),
        ("exited", {"exit_code": 0, "cancel_requested": True}, Complete()),
        ("exited", {"exit_code": 1, "cancel_requested": True}, Cancel()),
        ("canceled", {"exit_code": -15}, Cancel()),
        ("lost", {"cancel_requested": True}, Cancel()),
        ("prepare_failed", {"message": "no python"}, Fail("PrepareFailed", "no python")),
        ("out_of_memory", {"exit_code": -9}, None),
        ("timeout", {"exit_code": -15, "message": "over 5 s"}, Cancel("Timeout", "over 5 s")),
        ("signal", {"exit_code": 139, "message": "SIGSEGV"}, Fail("CommandFailed", "SIGSEGV")),
        ("signal", {"exit_code": -6}, Fail("CommandFailed", "The command was ended by signal 6.")),
    ],
)
def test_what_follows_an_attempt(reason, facts, expected):
    action = after_attempt(reason, **facts)
    assert action == expected if expected is not None else isinstance(action, Fail)


def test_an_attempt_that_nobody_started_is_no_try():
    assert isinstance(after_attempt("not_started", attempt=3, max_attempts=3), Retry)
    assert after_attempt("not_started", cancel_requested=True) == Cancel()


@pytest.mark.parametrize(("reason", "exit_code"), [("lost", None), ("signal", -9), ("signal", 137)])
def test_a_lost_attempt_is_tried_again_until_the_last(reason, exit_code):
    first = after_attempt(reason, exit_code=exit_code, attempt=1, max_attempts=3)
    assert isinstance(first, Retry)
    last = after_attempt(reason, exit_code=exit_code, attempt=3, max_attempts=3)
    assert isinstance(last, Fail)
    assert last.code == "AttemptsExhausted"
    assert "signal 9" in first.message or reason == "lost"


@given(
    st.sampled_from(EndReason), st.none() | st.integers(-64, 255), st.integers(1, 5), st.integers(1, 5), st.booleans()
)
def test_there_is_always_an_answer_and_never_too_many_attempts(reason, exit_code, attempt, max_attempts, canceled):
    action = after_attempt(
        reason, exit_code=exit_code, attempt=attempt, max_attempts=max_attempts, cancel_requested=canceled
    )
    if isinstance(action, Retry) and reason is not EndReason.NOT_STARTED:  # that one is no try
        assert attempt < max_attempts
        assert not canceled
