from __future__ import annotations

from typing import Any

import pytest
from tests.server.harness import House

OPEN = {"/health"}


@pytest.fixture(scope="module")
def document(house: House) -> Any:
    return house.ok("GET", "/openapi.json")


def operations(document: Any) -> list[tuple[str, str, Any]]:
    return [(path, method, op) for path, methods in document["paths"].items() for method, op in methods.items()]


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(child) for child in node.values()))
    if isinstance(node, list):
        return set().union(*(references(child) for child in node))
    return set()


def test_every_route_says_what_it_does_takes_and_gives(document: Any) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    seen = set()
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        assert set(operation["tags"]) <= tags, where
        assert operation["operationId"] not in seen, where
        seen.add(operation["operationId"])
        good = [answer for code, answer in operation["responses"].items() if code.startswith("2")]
        assert len(good) == 1, where
        assert "content" in good[0] or "204" in operation["responses"], where
        if method in {"put", "patch"}:
            assert operation["requestBody"]["content"], where
        for parameter in operation.get("parameters", []):
            assert parameter.get("description") or parameter["in"] in {"path", "header"}, (where, parameter["name"])
        assert {"401", "403"} <= set(operation["responses"]) or path in OPEN, where


def test_every_reference_is_there(document: Any) -> None:
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= schemas
    assert not [name for name in schemas if "ValidationError" in name]


def test_times_are_shown_as_text(document: Any) -> None:
    for name, schema in document["components"]["schemas"].items():
        for key, shown in schema.get("properties", {}).items():
            if key == "at" or key.endswith("_at"):
                assert (shown["type"], shown["format"]) == ("string", "date-time"), (name, key)


def test_open_path_asks_for_no_token(document: Any) -> None:
    assert document["security"] == [{"token": []}]
    for path, _, operation in operations(document):
        assert (operation.get("security") == []) is (path in OPEN)


def test_unknown_paths_and_methods_are_problems(house: House) -> None:
    for method, path, status in (
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/jobs/", 404),
        ("DELETE", "/api/v1/jobs", 405),
        ("GET", "/docs", 404),
    ):
        answer = house.ask(method, path)
        assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json["status"] == status


def test_features_are_told(house: House) -> None:
    told = house.ok("GET", "/api/v1")
    assert (told["version"], told["actor"], told["role"]) == (house.services.version, "ann", "admin")
    assert "jobs" in told["features"]


def test_experiments_and_computes_are_listed(house: House) -> None:
    house.submit(experiment_name="listed")
    page = house.ok("GET", "/api/v1/experiments?limit=1")
    assert page["items"][0]["name"] == "listed"
    rest = house.ok("GET", f"/api/v1/experiments?limit=1&next={page['next']}")
    assert [(item["id"], item["name"]) for item in rest["items"]] == [("0", "Default")]
    (compute,) = house.ok("GET", "/api/v1/computes")["items"]
    assert (compute["name"], compute["slots"], compute["queued"]) == ("local", 2, 1)
