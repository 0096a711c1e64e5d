"""Every door of ours refuses keys that it does not know in a body, says where, and ignores those of a query."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.server.harness import House

from penstock.server.asgi import create_api

STRANGE = "nobody/knows~this"
POINTER = "/nobody~1knows~0this"
RAW = {"application/octet-stream"}


def doors(house: House) -> list[tuple[str, str, Any]]:
    """Return method, a path that names nothing there is, and the description of each door below /api."""
    found = []
    for path, operations in create_api(house.services).openapi()["paths"].items():
        filled = re.sub(r"\{digest\}", "0" * 64, path).replace("{upload}", "0" * 32)
        filled = re.sub(r"\{[a-z_:]+\}", "nothing-here", filled)
        found += [(method.upper(), filled, op) for method, op in operations.items() if path.startswith("/api/")]
    return found


def test_every_door_refuses_an_unknown_key_in_its_body(house: House) -> None:
    asked = 0
    for method, path, operation in doors(house):
        media = operation.get("requestBody", {}).get("content", {"application/json": {}})
        if "application/json" not in media:
            assert set(media) <= RAW, (method, path)
            continue
        asked += 1
        answer = house.ask(method, path, {STRANGE: 1})
        assert answer.status == 422, (method, path, answer.body)
        assert POINTER in [entry["pointer"] for entry in answer.json["errors"]], (method, path, answer.body)
    assert asked > 50


@pytest.mark.parametrize(
    ("method", "path", "content", "pointer", "hint"),
    [
        ("POST", "/api/v1/runs/search", {"fitler": ""}, "/fitler", 'Did you mean "filter"?'),
        ("POST", "/api/v1/runs/search", {"columns": {"metric": "*"}}, "/columns/metric", 'Did you mean "metrics"?'),
        ("POST", "/api/v1/runs:export", {"formt": "csv"}, "/formt", 'Did you mean "format"?'),
        ("POST", "/api/v1/gc:plan", {"older_than": 1}, "/older_than", 'Did you mean "older_than_s"?'),
        ("POST", "/api/v1/jobs/x:cancel", {"force": True}, "/force", "Leave the body out."),
    ],
)
def test_a_misspelled_name_is_answered_with_the_nearest(
    house: House, method: str, path: str, content: Any, pointer: str, hint: str
) -> None:
    answer = house.ask(method, path, content)
    assert (answer.status, answer.json["pointer"]) == (422, pointer), answer.body
    assert answer.json["errors"][0]["hint"] == hint


def test_known_names_and_empty_bodies_pass(house: House) -> None:
    assert house.ask("GET", "/api/v1/runs?limit=5&order_by=start_time&order_by=run_id").status == 200
    assert house.ask("POST", "/api/v1/jobs/nothing-here:cancel", {}).status == 404
    assert house.ask("POST", "/api/v1/jobs/nothing-here:cancel", body=b"").status == 404
    assert house.ask("POST", "/api/v1/jobs/nothing-here:cancel", body=b"no json").json["code"] == "invalid_spec"


def test_unknown_names_in_a_query_are_ignored(house: House) -> None:
    assert house.ask("GET", "/api/v1/runs?limit=5&of_a_newer_client=1").status == 200


def test_a_caller_without_permission_learns_no_names(house: House) -> None:
    assert house.ask("GET", "/api/v1/runs?limitt=5", token="wrong").status == 401
