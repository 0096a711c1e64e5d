from __future__ import annotations

from collections.abc import Callable

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
