from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from penstock.access.actors import Actor, Role
from penstock.entities.errors import ForbiddenError

ADMIN = Actor("ann", Role.ADMIN)
JOB = Actor("job:j", Role.JOB, "7", "j.1", "j", 1)
GATEWAY = Actor("system:gateway", Role.INTERNAL)


def allowed(check: Callable[..., None], *arguments: str) -> bool:
    try:
        check(*arguments)
    except ForbiddenError:
        return False
    return True


@pytest.mark.parametrize(
    ("actor", "admin", "internal", "content", "own", "other", "attempt"),
    [
        (ADMIN, True, False, True, True, True, False),
        (JOB, False, False, True, True, False, True),
        (GATEWAY, False, True, False, False, False, False),
    ],
)
def test_what_each_role_may_do(
    actor: Actor, admin: bool, internal: bool, content: bool, own: bool, other: bool, attempt: bool
) -> None:
    assert allowed(actor.check_admin) is admin
    assert allowed(actor.check_internal) is internal
    assert allowed(actor.check_content) is content
    assert allowed(actor.check_experiment, "7") is own
    assert allowed(actor.check_experiment, "8") is other
    assert allowed(actor.check_attempt, "j.1") is attempt
    assert not allowed(actor.check_attempt, "j.2")


@pytest.mark.parametrize(
    ("actor", "creators"), [(ADMIN, [None, "job:j", "job:k", "ann"]), (JOB, ["job:j"]), (GATEWAY, [])]
)
def test_who_may_change_whose_runs(actor: Actor, creators: list[str | None]) -> None:
    asked = [None, "job:j", "job:k", "ann"]
    assert [creator for creator in asked if allowed(partial(actor.check_creator, creator), "r")] == creators
