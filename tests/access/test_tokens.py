from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.access.conftest import NOW, Clock

from penstock.access.actors import Actor, Role
from penstock.access.tokens import Access, read_authorization
from penstock.entities.attempt import Attempt, AttemptState
from penstock.entities.errors import AuthenticationError
from penstock.entities.job import CommandJobSpec, Job, JobStatus
from penstock.entities.run import RunStatus
from penstock.rules.names import hash_token
from penstock.stores.metadata import attempts, jobs, runs, tokens
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore


def start_attempt(store: SqliteMetadataStore, access: Access, job: str = "job1", number: int = 1) -> tuple[str, str]:
    """Record a run, its job and an attempt; return the attempt's id and token."""
    attempt_id = f"{job}.{number}"

    def operation(connection: Any) -> str:
        if number == 1:
            runs.create_run(
                connection,
                run_id=job,
                experiment_id="0",
                run_name=job,
                user_id="ann",
                status=RunStatus.SCHEDULED,
                start_time=NOW,
            )
            spec = CommandJobSpec(command="true")
            record = Job(
                name=job,
                display_name=job,
                experiment_name="Default",
                status=JobStatus.QUEUED,
                spec=spec,
                created_at=NOW,
                created_by="ann",
            )
            jobs.create_job(connection, record)
        token = access.issue_attempt_token(connection, attempt_id, job, "0")
        attempts.create_attempt(connection, Attempt(attempt_id, job, number, AttemptState.STARTING, hash_token(token)))
        return token

    return attempt_id, store.write(operation)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "header", ["Bearer pst_w", "bearer  pst_w ", basic("mlflow", "pst_w"), basic("", "pst_w"), basic("a", "pst_w")]
)
def test_workspace_token_is_admin_in_both_schemes(access: Access, header: str) -> None:
    assert access.authenticate(header) == Actor("ann", Role.ADMIN)
    assert access.recognise(header) == Actor("ann", Role.ADMIN)


def test_internal_token_is_the_gateway(access: Access) -> None:
    assert access.authenticate("Bearer pst_i").role is Role.INTERNAL


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "pst_w",
        "Digest pst_w",
        "Bearer pst_x",
        "Bearer pst_w pst_i",
        "Basic !!!",
        "Basic " + base64.b64encode(b"pst_w").decode(),
        basic("pst_w", ""),
        "Bearer " + "x" * 100_000,
        "Bearer ÿ\udcff",
    ],
)
def test_everything_else_is_refused(access: Access, header: str | None) -> None:
    with pytest.raises(AuthenticationError) as raised:
        access.authenticate(header)
    assert "pst_" not in str(raised.value)


def test_password_may_hold_a_colon() -> None:
    assert read_authorization(basic("user", "a:b")) == "a:b"


def test_attempt_token_is_limited_and_only_its_hash_is_stored(store: SqliteMetadataStore, access: Access) -> None:
    attempt_id, token = start_attempt(store, access)
    actor = access.authenticate(f"Bearer {token}")
    assert actor == Actor("job:job1", Role.JOB, "0", attempt_id, "job1", 1)
    with store.read() as connection:
        assert tokens.find_token(connection, hash_token(token)) is not None
        assert tokens.find_token(connection, token) is None


def test_token_ends_with_its_attempt_even_when_it_is_remembered(store: SqliteMetadataStore, access: Access) -> None:
    attempt_id, token = start_attempt(store, access)
    other_id, other = start_attempt(store, access, number=2)
    for known in (token, other):
        access.authenticate(f"Bearer {known}")
        assert access.recognise(f"Bearer {known}") is not None
    store.write(lambda connection: access.revoke(connection, attempt_id))
    assert access.recognise(f"Bearer {token}") is None
    with pytest.raises(AuthenticationError):
        access.authenticate(f"Bearer {token}")
    assert access.authenticate(f"Bearer {other}").attempt_id == other_id


def test_rolled_back_revocation_harms_nobody(store: SqliteMetadataStore, access: Access) -> None:
    attempt_id, token = start_attempt(store, access)

    def operation(connection: Any) -> None:
        access.revoke(connection, attempt_id)
        raise ValueError("rolled back")

    with pytest.raises(ValueError, match="rolled back"):
        store.write(operation)
    assert access.authenticate(f"Bearer {token}").attempt_id == attempt_id


def test_seen_between_revocation_and_commit_is_not_remembered(store: SqliteMetadataStore, access: Access) -> None:
    attempt_id, token = start_attempt(store, access)

    def operation(connection: Any) -> Actor:
        access.revoke(connection, attempt_id)
        return access.authenticate(f"Bearer {token}")  # another snapshot: the row is still there

    assert store.write(operation).attempt_id == attempt_id
    with pytest.raises(AuthenticationError):
        access.authenticate(f"Bearer {token}")


def test_agent_is_known_by_its_attempt_after_its_token_ended(store: SqliteMetadataStore, access: Access) -> None:
    attempt_id, token = start_attempt(store, access)
    store.write(lambda connection: access.revoke(connection, attempt_id))
    actor = access.authenticate_attempt(f"Bearer {token}", attempt_id)
    assert (actor.role, actor.attempt_id, actor.experiment_id) == (Role.JOB, attempt_id, None)
    for header, attempt in ((f"Bearer {token}", "job1.2"), ("Bearer pst_x", attempt_id), ("Bearer pst_w", attempt_id)):
        with pytest.raises(AuthenticationError):
            access.authenticate_attempt(header, attempt)


def test_expired_token_is_refused(store: SqliteMetadataStore, access: Access, clock: Clock) -> None:
    store.write(
        lambda connection: tokens.put_token(
            connection,
            hash_token("pst_short"),
            kind="user",
            actor="bob",
            role="admin",
            experiment_id=None,
            attempt_id=None,
            now=NOW,
            expires_at=NOW + 1000,
        )
    )
    assert access.authenticate("Bearer pst_short").name == "bob"
    clock.now += 1000
    assert access.recognise("Bearer pst_short") is None
    with pytest.raises(AuthenticationError):
        access.authenticate("Bearer pst_short")
