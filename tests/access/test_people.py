from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.access.conftest import NOW, Clock

from penstock.access.people import PeopleTokens
from penstock.access.tokens import Access
from penstock.entities.errors import AuthenticationError, ConflictError, NotFoundError, SpecError, UsageError
from penstock.entities.token import Role, TokenSpec
from penstock.rules.validation import validate_entity
from penstock.stores.metadata import events
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore


@pytest.fixture
def people(store: SqliteMetadataStore, access: Access, clock: Clock) -> PeopleTokens:
    return PeopleTokens(store, access, clock)


def make(people: PeopleTokens, name: str = "ci", role: str = "contributor", **more: Any) -> str:
    expires_at = more.pop("expires_at", None)
    spec = TokenSpec.model_validate({"name": name, "role": role, **more})
    return people.create(spec, expires_at=expires_at, by="ann")[1]


def test_a_token_is_its_holder_with_its_role(people: PeopleTokens, access: Access) -> None:
    actor = access.authenticate(f"Bearer {make(people, 'bob', 'reader')}")
    assert (actor.name, actor.role, actor.experiment_id, actor.made_by) == ("bob", Role.READER, None, "ann")
    limited = access.authenticate(f"Bearer {make(people, 'eve', experiment='Default')}")
    assert (limited.experiment_id, limited.sees_all) == ("0", False)


def test_the_secret_is_in_no_row_and_no_event(people: PeopleTokens, store: SqliteMetadataStore, tmp_path: Path) -> None:
    secret = make(people)
    people.revoke("ci", by="ann")
    store.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"ci" in stored
    assert secret.encode() not in stored
    assert secret.removeprefix("pst_").encode() not in stored


def test_a_revoked_token_is_out_at_once_even_when_it_is_remembered(people: PeopleTokens, access: Access) -> None:
    secret, other = make(people), make(people, "other")
    for known in (secret, other):
        access.authenticate(f"Bearer {known}")
        assert access.recognise(f"Bearer {known}") is not None
    people.revoke("ci", by="ann")
    assert access.recognise(f"Bearer {secret}") is None
    with pytest.raises(AuthenticationError):
        access.authenticate(f"Bearer {secret}")
    assert access.authenticate(f"Bearer {other}").name == "other"


def test_a_token_seen_while_it_is_revoked_is_not_remembered(
    people: PeopleTokens, access: Access, store: SqliteMetadataStore
) -> None:
    secret = make(people)
    token_id = people.list()[0].id

    def operation(connection: Any) -> str:
        access.forget(token_id)
        return access.authenticate(f"Bearer {secret}").name  # another snapshot: the row still lives

    assert store.write(operation) == "ci"
    assert access.recognise(f"Bearer {secret}") is None


def test_a_token_may_be_revoked_by_its_id(people: PeopleTokens, access: Access) -> None:
    secret = make(people)
    people.revoke(people.list()[0].id, by="ann")
    with pytest.raises(AuthenticationError):
        access.authenticate(f"Bearer {secret}")
    with pytest.raises(NotFoundError, match="no live token"):
        people.revoke("ci", by="ann")


def test_an_expired_token_is_refused_and_gives_its_name_back(
    people: PeopleTokens, access: Access, clock: Clock
) -> None:
    secret = make(people, expires_at=NOW + 1000)
    assert access.authenticate(f"Bearer {secret}").name == "ci"
    clock.now += 1000
    assert access.recognise(f"Bearer {secret}") is None
    with pytest.raises(AuthenticationError):
        access.authenticate(f"Bearer {secret}")
    assert access.authenticate(f"Bearer {make(people)}").name == "ci"


def test_names_of_live_tokens_are_taken(people: PeopleTokens) -> None:
    make(people)
    with pytest.raises(ConflictError, match='a token named "ci" exists'):
        make(people, role="reader")
    with pytest.raises(ConflictError, match="the workspace's own token"):
        make(people, "ann")
    people.revoke("ci", by="ann")
    make(people)
    assert [token.revoked_at is None for token in sorted(people.list(), key=lambda token: token.revoked_at or 0)] == [
        True,
        False,
    ]


@pytest.mark.parametrize("name", ["", "job:x", "system:x", "a b", "-a", "a\n", "ä", "a/b", "a:b", "x" * 65])
def test_names_that_could_be_taken_for_others_are_refused(name: str) -> None:
    with pytest.raises(SpecError):
        validate_entity(TokenSpec, {"name": name, "role": "reader"})


@pytest.mark.parametrize("role", ["job", "internal", "owner", "", None])
def test_only_the_people_s_roles_are_handed_out(role: Any) -> None:
    with pytest.raises(SpecError):
        validate_entity(TokenSpec, {"name": "ci", "role": role})


def test_what_cannot_be_meant_is_refused(people: PeopleTokens) -> None:
    with pytest.raises(UsageError, match="past"):
        make(people, expires_at=NOW)
    with pytest.raises(UsageError, match="admin"):
        make(people, role="admin", experiment="Default")
    with pytest.raises(NotFoundError, match="no experiment"):
        make(people, experiment="nothing")
    assert people.list() == []


def test_making_and_revoking_are_events(people: PeopleTokens, store: SqliteMetadataStore) -> None:
    make(people, "bob", "reader", expires_at=NOW + 5000)
    people.revoke("bob", by="zoe")
    with store.read() as connection:
        made, revoked = events.list_events(connection)
    token_id = people.list()[0].id
    assert (made.actor, made.verb, made.ref) == ("ann", "create", f"token:{token_id}")
    assert (revoked.actor, revoked.verb, revoked.ref) == ("zoe", "revoke", f"token:{token_id}")
    assert made.detail == {"name": "bob", "role": "reader", "expires_at": "2023-11-14T22:13:25Z"}
    assert "pst_" not in json.dumps([made.detail, revoked.detail])


def test_tokens_are_listed_in_pages(people: PeopleTokens) -> None:
    names = {f"n{number}" for number in range(5)}
    for name in names:
        make(people, name)
    first = people.list(limit=3)
    rest = people.list(after=first[-1].id, limit=3)
    assert {token.name for token in [*first, *rest]} == names
    assert len(rest) == 2
