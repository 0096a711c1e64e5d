"""Every door × what no client of ours sends: refused in the door's own words, never a defect."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from tests.server.harness import House
from tests.server.test_permissions import mlflow_doors, rest_doors

API = "/api/2.0/mlflow"
FILES = f"{API}-artifacts/artifacts"
MEMBERS = ("run_id", "name", "key", "value", "experiment_id", "filter", "source", "version", "alias", "command", "path")
DEEP = b"[" * 50_000 + b"]" * 50_000


def every_member(value: object) -> bytes:
    return json.dumps(dict.fromkeys(MEMBERS, value)).encode()


BODIES = {
    "no text": b'{"name": "\xff\xfe"}',
    "no text at all": b"\xff",
    "deep": DEEP,
    "deep below": b'{"filter": ' + DEEP + b"}",
    "half a character": every_member("\ud800"),
    "NUL": every_member("a\0b"),
    "long": every_member("x" * 50_000),
    "list": b"[]",
    "null": b"null",
    "two": b"{} {}",
    "twice": b'{"name": "a", "name": "b", "key": "a", "key": "b", "run_id": "a", "run_id": "b"}',
    "truth": every_member(True),
    "beyond 64 bits": b'{"step": 18446744073709551616, "timestamp": -9223372036854775809, "max_results": '
    + b"9" * 5000
    + b', "run_id": "hostile-job", "key": "k", "value": 1e999}',
    "beyond 64 bits as text": b'{"step": "99999999999999999999", "timestamp": "99999999999999999999", "value": "1",'
    b' "run_id": "hostile-job", "key": "k", "start_time": 9223372036854775808, "experiment_id": "0"}',
}
QUERIES = [
    "max_results=99999999999999999999&limit=99999999999999999999&offset=99999999999999999999&after=99999999999999999999",
    "run_id=%00&name=%00&version=%00&alias=%00&filter=%00&path=%00&next=%00&page_token=%00&order_by=%00",
    "run_id=%ff&name=%ff&version=%ff&alias=%ff&filter=%ff&path=%ff&next=%ff&page_token=%ff&status=%ff",
    f"next={base64.urlsafe_b64encode(DEEP).decode()[:60_000]}",
    f"run_id=hostile-job&metric_key=k&page_token={base64.b64encode(DEEP[:20_000] + DEEP[-20_000:]).decode()}",
    f"next={base64.urlsafe_b64encode(bytes([0xFF, 0xFE])).decode()}&page_token={base64.b64encode(b'{}').decode()}",
]


@pytest.fixture(scope="module", autouse=True)
def job(house: House) -> str:
    return house.submit(name="hostile-job", experiment_name="hostile").name


def doors(house: House, *methods: str) -> Iterator[tuple[str, str]]:
    """Yield every door of these methods, with names of nothing and of a job; what never ends is left out."""
    for method, path in [*((m, p) for m, p, _ in rest_doors(house)), *mlflow_doors()]:
        if method in methods and not path.endswith(":stream"):
            yield method, path
            if "nothing-here" in path and not path.endswith((":cancel", ":delete")):
                yield method, path.replace("nothing-here", "hostile-job")


@pytest.mark.parametrize("what", BODIES)
def test_no_body_is_a_defect(house: House, what: str) -> None:
    asked = 0
    for method, path in doors(house, "POST", "PUT", "PATCH", "DELETE"):
        answer = house.ask(method, path, body=BODIES[what], headers={"Content-Type": "application/json"})
        assert answer.status < 500 or answer.status == 501, (method, path, answer.body)
        asked += 1
    assert asked > 100


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_no_query_is_a_defect(house: House, query: str) -> None:
    for method, path in doors(house, "GET", "HEAD"):
        answer = house.ask(method, f"{path}?{query}")
        assert answer.status < 500 or answer.status == 501, (method, path, answer.body)


@pytest.mark.parametrize("kind", ["", ";", "text/plain", "application/json; charset=utf-16", "multipart/form-data"])
def test_no_content_type_is_a_defect(house: House, kind: str) -> None:
    for method, path in doors(house, "POST", "PUT", "PATCH", "DELETE"):
        answer = house.ask(method, path, body=b'{"a": 1}', headers={"Content-Type": kind})
        assert answer.status < 500 or answer.status == 501, (method, path, answer.body)


def test_half_a_character_is_refused_wherever_text_is_kept(house: House) -> None:
    half = {"run_id": "hostile-job", "key": "k", "value": "a\ud800b"}
    for path in ("runs/set-tag", "runs/log-parameter"):
        answer = house.ask("POST", f"{API}/{path}", half)
        assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        assert "half of a surrogate pair" in answer.json["message"]
    for more in ({}, {"timestamp": float("nan")}):  # the second is read the lenient way
        house.ok("POST", f"{API}/runs/set-tag", {**half, "value": "\U0001f400", **more})
    tags = house.ok("GET", f"{API}/runs/get?run_id=hostile-job")["run"]["data"]["tags"]
    assert {"key": "k", "value": "\U0001f400"} in tags


@pytest.mark.parametrize("tag", ['{"a": 1}', "[" * 4000, "\udcff", "7"])
def test_a_tag_that_others_wrote_into_stops_no_registration(house: House, tag: str) -> None:
    sent = {"experiment_id": house.ok("GET", f"{API}/runs/get?run_id=hostile-job")["run"]["info"]["experiment_id"]}
    model = house.ok("POST", f"{API}/logged-models", {**sent, "name": "tagged"})["model"]["info"]["model_id"]
    tags = {"tags": [{"key": "mlflow.modelVersions", "value": tag}]}
    assert house.ask("PATCH", f"{API}/logged-models/{model}/tags", tags).status in {200, 400}
    house.ask("POST", f"{API}/registered-models/create", {"name": "tagged"})
    made = {"name": "tagged", "source": f"models:/{model}", "model_id": model}
    version = house.ok("POST", f"{API}/model-versions/create", made)["model_version"]["version"]
    shown = house.ok("GET", f"{API}/logged-models/{model}")["model"]["info"]["tags"]
    told = {one["key"]: one["value"] for one in shown}["mlflow.modelVersions"]
    assert json.loads(told) == [{"name": "tagged", "version": int(version)}]


def test_a_models_description_that_is_nested_deeply_is_refused(house: House) -> None:
    sent = {"run_id": "hostile-job", "model_json": DEEP.decode()}
    assert house.ask("POST", f"{API}/runs/log-model", sent).status == 400


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        "..%2fx",
        "%2e%2e/x",
        "%252e%252e%252fx",
        "%25252e%25252e%25252fx",
        "..%5cx",
        "%2fetc%2fpasswd",
        "a%00b",
        "C%3a%5cx",
        "a%0ab",
        "%ed%a0%80/../x",
        "a/%2e/b",
        "a//b",
        "x" * 300,
        "b/" * 600 + "c",
    ],
)
def test_no_spelling_of_a_path_leaves_its_run(house: House, method: str, path: str) -> None:
    experiment = house.ok("GET", f"{API}/runs/get?run_id=hostile-job")["run"]["info"]["experiment_id"]
    for root in (f"{FILES}/{experiment}/hostile-job/artifacts", "/api/v1/runs/hostile-job/artifacts"):
        answer = house.ask(method, f"{root}/{path}", body=b"x" if method == "PUT" else None)
        assert answer.status in {400, 404, 405, 422}, (root, answer.status, answer.body)
    assert house.ok("GET", f"{API}/artifacts/list?run_id=hostile-job").get("files", []) == []
