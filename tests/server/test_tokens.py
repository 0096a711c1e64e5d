from __future__ import annotations

import base64
import logging

import pytest
from tests.server.harness import House


def make(house: House, name: str, role: str = "reader", **more: str) -> str:
    made = house.ok("POST", "/api/v1/tokens", {"name": name, "role": role, **more})
    return str(made["secret"])


def test_a_token_is_made_listed_and_revoked(house: House) -> None:
    answer = house.ask(
        "POST", "/api/v1/tokens", {"name": "bob", "role": "contributor", "expires_at": "2100-01-01T00:00:00Z"}
    )
    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    secret = answer.json["secret"]
    assert house.ok("GET", "/api/v1", token=secret)["actor"] == "bob"
    listed = house.ask("GET", "/api/v1/tokens")
    (found,) = [token for token in listed.json["items"] if token["name"] == "bob"]
    assert found["expires_at"] == "2100-01-01T00:00:00.000Z"
    assert found["created_by"] == "ann"
    assert secret not in listed.body.decode()
    assert house.ask("DELETE", "/api/v1/tokens/bob").status == 204
    assert house.ask("GET", "/api/v1", token=secret).status == 401
    gone = house.ask("DELETE", "/api/v1/tokens/bob")
    assert (gone.status, gone.json["code"]) == (404, "not_found")


def test_the_token_works_in_both_schemes_and_on_both_protocols(house: House) -> None:
    secret = make(house, "both")
    basic = base64.b64encode(f"anybody:{secret}".encode()).decode()
    for header in (f"Bearer {secret}", f"Basic {basic}"):
        for path in ("/api/v1", "/api/2.0/mlflow/experiments/get?experiment_id=0"):
            assert house.ask("GET", path, token=None, headers={"Authorization": header}).status == 200


def test_a_token_is_never_taken_from_the_query(house: House) -> None:
    for name in ("token", "access_token", "api_key"):
        assert house.ask("GET", f"/api/v1?{name}={house.token}", token=None).status == 401


def test_the_three_ways_of_a_token_to_be_wrong_look_alike(house: House) -> None:
    revoked = make(house, "revoked")
    house.ask("DELETE", "/api/v1/tokens/revoked")
    answers = [house.ask("GET", "/api/v1", token=token) for token in (revoked, "pst_unknown", "x")]
    assert len({(answer.status, answer.body) for answer in answers}) == 1


def test_who_may_not_manage_tokens_learns_no_names(house: House) -> None:
    reader = make(house, "curious")
    answers = [house.ask("DELETE", f"/api/v1/tokens/{name}", token=reader) for name in ("curious", "nobody")]
    assert [answer.status for answer in answers] == [403, 403]
    assert answers[0].body == answers[1].body


@pytest.mark.parametrize(
    ("sent", "status", "pointer"),
    [
        ({"name": "a", "role": "owner"}, 422, "/role"),
        ({"name": "a b", "role": "reader"}, 422, "/name"),
        ({"role": "reader"}, 422, ""),
        ({"name": "a", "role": "reader", "expires_at": "tomorrow"}, 422, "/expires_at"),
        ({"name": "a", "role": "reader", "expires_at": "2100-01-01T00:00:00"}, 422, "/expires_at"),
        ({"name": "a", "role": "reader", "expires_at": "2100-01-01"}, 422, "/expires_at"),
        ({"name": "a", "role": "reader", "kind": "x"}, 422, "/kind"),
        ({"name": "a", "role": "reader", "expires_at": "2000-01-01T00:00:00Z"}, 400, None),
        ({"name": "a", "role": "reader", "experiment": "nothing"}, 404, None),
    ],
)
def test_what_is_wrong_is_named(house: House, sent: dict[str, str], status: int, pointer: str | None) -> None:
    answer = house.ask("POST", "/api/v1/tokens", sent)
    assert (answer.status, answer.json.get("pointer")) == (status, pointer)


def test_a_repeated_request_never_repeats_the_secret(house: House) -> None:
    sent = {"name": "once", "role": "reader"}
    first = house.ask("POST", "/api/v1/tokens", sent, headers={"Idempotency-Key": "k"})
    again = house.ask("POST", "/api/v1/tokens", sent, headers={"Idempotency-Key": "k"})
    assert (first.status, again.status) == (201, 409)
    assert first.json["secret"] not in again.body.decode()


def test_the_secret_is_in_no_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        secret = make(house, "quiet")
        house.ok("GET", "/api/v1", token=secret)
        house.ask("POST", "/api/v1/jobs", {"command": "true"}, token=secret)
        house.ask("DELETE", "/api/v1/tokens/quiet")
    assert secret not in caplog.text
