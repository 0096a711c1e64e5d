from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from penstock.access.actors import Action, Actor, Role
from penstock.entities.errors import ForbiddenError

ADMIN = Actor("ann", Role.ADMIN)
CONTRIBUTOR = Actor("bob", Role.CONTRIBUTOR, token_id="t-1", made_by="ann")
READER = Actor("eve", Role.READER, token_id="t-2", made_by="ann")
LIMITED = Actor("stu", Role.CONTRIBUTOR, "7", token_id="t-3", made_by="ann")
JOB = Actor("job:j", Role.JOB, "7", "j.1", "j", 1)
GATEWAY = Actor("system:gateway", Role.INTERNAL)


def allowed(check: Callable[..., None], *arguments: Any) -> bool:
    try:
        check(*arguments)
    except ForbiddenError:
        return False
    return True


@pytest.mark.parametrize(
    ("actor", "admin", "contributor", "internal", "content", "own", "other", "attempt"),
    [
        (ADMIN, True, True, False, True, True, True, False),
        (CONTRIBUTOR, False, True, False, True, True, True, False),
        (READER, False, False, False, False, True, True, False),
        (LIMITED, False, True, False, True, True, False, False),
        (JOB, False, False, False, True, True, False, True),
        (GATEWAY, False, False, True, False, False, False, False),
    ],
)
def test_what_each_role_may_do(
    actor: Actor, admin: bool, contributor: bool, internal: bool, content: bool, own: bool, other: bool, attempt: bool
) -> None:
    assert allowed(actor.check, Action.TOKEN_CREATE) is admin
    assert allowed(actor.check_contributor) is contributor
    assert allowed(actor.check_internal) is internal
    assert allowed(actor.check, Action.CONTENT_STORE) is content
    assert allowed(actor.check_experiment, "7") is own
    assert allowed(actor.check_experiment, "8") is other
    assert allowed(actor.check_attempt, "j.1") is attempt
    assert not allowed(actor.check_attempt, "j.2")
    assert actor.sees_all is (actor in {ADMIN, CONTRIBUTOR, READER})


@pytest.mark.parametrize(
    ("actor", "creators"),
    [
        (ADMIN, [None, "job:j", "job:k", "ann"]),
        (CONTRIBUTOR, [None, "job:j", "job:k", "ann"]),
        (READER, []),
        (JOB, ["job:j"]),
        (GATEWAY, []),
    ],
)
def test_who_may_change_whose_runs(actor: Actor, creators: list[str | None]) -> None:
    asked = [None, "job:j", "job:k", "ann"]
    assert [creator for creator in asked if allowed(partial(actor.check_creator, creator), "r")] == creators


@pytest.mark.parametrize(
    ("actor", "action", "said", "advice"),
    [
        (
            READER,
            Action.JOB_SUBMIT,
            "has the role reader, which does not allow job:submit",
            "the role contributor. Ask ann",
        ),
        (READER, Action.TOKEN_READ, "has the role reader", "the role admin. Ask ann, who made this token"),
        (LIMITED, Action.MODEL_READ, "limited to one experiment and does not allow model:read", "Ask ann"),
        (LIMITED, Action.EVENT_VERIFY, "has the role contributor", "the role admin"),
        (JOB, Action.JOB_SUBMIT, "the token of job:j does not allow job:submit", "the token of a person"),
        (ADMIN, Action.ATTEMPT_REPORT, "only Penstock's own processes", ""),
    ],
)
def test_a_refusal_says_what_is_needed_and_whom_to_ask(actor: Actor, action: Action, said: str, advice: str) -> None:
    with pytest.raises(ForbiddenError) as raised:
        actor.check(action)
    assert said in raised.value.message
    assert advice in raised.value.hint
