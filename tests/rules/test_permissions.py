from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.entities.token import Role
from penstock.rules.permissions import (
    GRANTS,
    IN_EXPERIMENT,
    LIMITS,
    MEANINGS,
    Action,
    allows,
    default_action,
    least_role,
    render_table,
)

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "permissions.md"


def test_each_of_the_people_s_roles_may_do_what_the_one_before_may() -> None:
    assert GRANTS[Role.READER] < GRANTS[Role.CONTRIBUTOR] < GRANTS[Role.ADMIN]


def test_every_action_has_a_meaning_and_somebody_who_may_do_it() -> None:
    assert set(MEANINGS) == set(Action)
    for action in Action:
        assert re.fullmatch(r"[a-z]+:[a-z-]+", action)
        assert any(action in granted for granted in GRANTS.values()), action


def test_a_reader_changes_nothing() -> None:
    verbs = {action.partition(":")[2] for action in GRANTS[Role.READER]}
    assert verbs == {"ask", "read", "list"}


def test_admins_alone_hand_out_tokens_and_look_after_the_log() -> None:
    own = GRANTS[Role.ADMIN] - GRANTS[Role.CONTRIBUTOR]
    assert {action.partition(":")[0] for action in own} == {"token", "event", "garbage"}
    for action in own:
        assert [role for role in Role if allows(role, action)] == [Role.ADMIN]


def test_jobs_and_the_gateway_have_nothing_that_is_not_named() -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert not allows(Role.JOB, default_action(method))
        assert not allows(Role.INTERNAL, default_action(method))
    assert set(LIMITS) <= GRANTS[Role.JOB]
    assert GRANTS[Role.INTERNAL] == {Action.CONTENT_READ, Action.SERVING_FOLLOW, Action.WORKSPACE_ASK}


@pytest.mark.parametrize("role", [Role.READER, Role.CONTRIBUTOR, Role.ADMIN])
def test_a_limited_token_may_never_do_more(role: Role) -> None:
    limited = {action for action in Action if allows(role, action, is_limited=True)}
    assert limited == GRANTS[role] & IN_EXPERIMENT


def test_least_role() -> None:
    assert least_role(Action.RUN_READ) is Role.READER
    assert least_role(Action.RUN_LOG) is Role.CONTRIBUTOR
    assert least_role(Action.TOKEN_CREATE) is Role.ADMIN
    assert least_role(Action.ATTEMPT_REPORT) is None


def test_the_documented_table_is_the_one_that_is_asked() -> None:
    page = PAGE.read_text("utf-8")
    table = page[page.index("| action |") :]
    assert table == render_table(), f"{PAGE} should end with:\n{render_table()}"
