"""Every door × every role: what the table allows is answered, everything else is refused."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.responses import Response
from tests.server.harness import House, serving

from penstock.access.people import PeopleTokens
from penstock.entities.token import Role, TokenSpec
from penstock.rules.permissions import Action, allows, default_action
from penstock.server.asgi import create_api
from penstock.server.mlflow.actions import action_of
from penstock.server.mlflow.routes import _HANDLERS, ARTIFACTS, FILE_HANDLERS, find_handler
from penstock.server.openapi import ACTION, describe

LOGGED_MODELS = "/api/2.0/mlflow/logged-models"
LOGGED_MODEL_DOORS = [
    ("GET", f"{LOGGED_MODELS}/m-{'0' * 32}"),
    ("PATCH", f"{LOGGED_MODELS}/m-{'0' * 32}"),
    ("DELETE", f"{LOGGED_MODELS}/m-{'0' * 32}"),
    ("POST", f"{LOGGED_MODELS}/m-{'0' * 32}/params"),
    ("PATCH", f"{LOGGED_MODELS}/m-{'0' * 32}/tags"),
    ("DELETE", f"{LOGGED_MODELS}/m-{'0' * 32}/tags/search"),
    ("GET", f"{LOGGED_MODELS}/m-{'0' * 32}/artifacts/directories"),
]
LIMITED = "limited to an experiment"


def rest_doors(house: House) -> Iterator[tuple[str, str, Action | None]]:
    """Yield method, a path that names nothing there is, and the action of each door that wants a token."""
    heads = [("/api/v1/blobs/{digest}", Action.CONTENT_READ), ("/api/v1/runs/{name}/artifacts/{path}", Action.RUN_READ)]
    for path, action in heads:  # the description leaves them out
        yield "HEAD", _filled(path), action
    for path, operations in create_api(house.services).openapi()["paths"].items():
        for method, operation in operations.items():
            if operation.get("security") != []:
                yield method.upper(), _filled(path), Action(operation[ACTION]) if ACTION in operation else None


def _filled(path: str) -> str:
    path = path.replace("{digest}", "0" * 64).replace("{upload}", "0" * 32)
    return re.sub(r"\{[a-z_:]+\}", "nothing-here", path)


def mlflow_doors() -> list[tuple[str, str]]:
    files = [(method, f"{ARTIFACTS}/0/nothing-here/artifacts/file") for method in FILE_HANDLERS]
    return [*_HANDLERS, *LOGGED_MODEL_DOORS, *files]


@pytest.fixture(scope="module")
def tokens(house: House) -> dict[str, str]:
    """A token of each role, and a contributor's that is limited to an experiment."""
    people = PeopleTokens(house.services.store, house.services.access, house.services.now)
    made = {"admin": house.token, "internal": house.internal_token}
    for role in ("reader", "contributor"):
        spec = TokenSpec.model_validate({"name": f"a-{role}", "role": role})
        made[role] = people.create(spec, expires_at=None, by="ann")[1]
    job = house.submit(name="door-job", experiment_name="doors")
    made["job"] = house.begin(job)[1]
    spec = TokenSpec(name="limited", role="contributor", experiment="doors")
    made[LIMITED] = people.create(spec, expires_at=None, by="ann")[1]
    return made


def is_allowed(holder: str, action: Action) -> bool:
    if holder == LIMITED:
        return allows(Role.CONTRIBUTOR, action, is_limited=True)
    return allows(Role(holder), action)


@pytest.mark.parametrize("holder", ["reader", "contributor", "admin", "job", "internal", LIMITED])
def test_every_rest_door_asks_the_table(house: House, tokens: dict[str, str], holder: str) -> None:
    asked = 0
    for method, path, named in rest_doors(house):
        action = named or default_action(method)
        content: dict[str, str] | None = {} if method in {"POST", "PUT", "PATCH"} else None
        answer = house.ask(method, path, content, token=tokens[holder])
        asked += 1
        if not is_allowed(holder, action):
            assert answer.status == 403, (method, path, action, answer.body)
            if method != "HEAD":
                assert answer.json["code"] == "forbidden"
                assert answer.headers["content-type"] == "application/problem+json"
        elif holder in {"admin", "contributor", "reader"}:
            assert answer.status != 403, (method, path, action, answer.body)
    assert asked > 60


@pytest.mark.parametrize("holder", ["reader", "contributor", "admin", "job", "internal", LIMITED])
def test_every_mlflow_door_asks_the_table(house: House, tokens: dict[str, str], holder: str) -> None:
    for method, path in mlflow_doors():
        assert find_handler(method, path) is not None or path.startswith(ARTIFACTS), (method, path)
        action = action_of(method, path)
        content: dict[str, str] | None = None if method in {"GET", "HEAD"} else {}
        answer = house.ask(method, path, content, token=tokens[holder])
        if not is_allowed(holder, action):
            assert answer.status == 403, (method, path, action, answer.body)
            assert method == "HEAD" or answer.json["error_code"] == "PERMISSION_DENIED"
        elif holder in {"admin", "contributor", "reader"}:
            assert answer.status not in {403, 500}, (method, path, action, answer.body)


def test_every_rest_door_names_its_action(house: House) -> None:
    assert [(method, path) for method, path, action in rest_doors(house) if action is None] == []


def test_every_action_is_of_some_door(house: House) -> None:
    used = {action for _, _, action in rest_doors(house)} | {action_of(*door) for door in mlflow_doors()}
    assert set(Action) - used == {Action.WORKSPACE_CHANGE}


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("POST", "/api/2.0/mlflow/runs/search", Action.RUN_READ),
        ("POST", "/api/2.0/mlflow/runs/log-metric", Action.RUN_LOG),
        ("POST", "/api/2.0/mlflow/runs/delete", Action.RUN_DELETE),
        ("POST", "/api/2.0/mlflow/runs/delete-tag", Action.RUN_LOG),
        ("POST", "/api/2.0/mlflow/experiments/search", Action.EXPERIMENT_READ),
        ("POST", "/api/2.0/mlflow/experiments/set-experiment-tag", Action.EXPERIMENT_TAG),
        ("POST", "/api/2.0/mlflow/experiments/update", Action.EXPERIMENT_CREATE),
        ("POST", "/api/2.0/mlflow/experiments/restore", Action.EXPERIMENT_DELETE),
        ("DELETE", "/api/2.0/mlflow/registered-models/delete", Action.MODEL_DELETE),
        ("DELETE", "/api/2.0/mlflow/registered-models/alias", Action.MODEL_REGISTER),
        ("GET", "/api/2.0/mlflow/registered-models/alias", Action.MODEL_READ),
        ("POST", "/api/2.0/mlflow/registered-models/get-latest-versions", Action.MODEL_READ),
        ("DELETE", "/api/2.0/mlflow/logged-models/search", Action.RUN_DELETE),
        ("POST", "/api/2.0/mlflow/logged-models/search", Action.RUN_READ),
        ("DELETE", "/api/2.0/mlflow/logged-models/m-1/tags/search", Action.RUN_LOG),
        ("PUT", f"{ARTIFACTS}/0/r/artifacts/f", Action.RUN_LOG),
        ("DELETE", f"{ARTIFACTS}/0/r/artifacts/f", Action.RUN_DELETE),
        ("GET", "/version", Action.WORKSPACE_ASK),
        ("POST", "/v1/traces", Action.WORKSPACE_ASK),
        ("GET", "/api/2.0/mlflow/webhooks/list", Action.WORKSPACE_READ),
        ("POST", "/api/2.0/mlflow/webhooks/create", Action.WORKSPACE_CHANGE),
        ("DELETE", "/api/2.0/mlflow/webhooks/search", Action.WORKSPACE_CHANGE),
        ("PUT", "/api/2.0/mlflow/runs/search", Action.RUN_LOG),
    ],
)
def test_what_an_mlflow_call_does_is_read_from_its_path(method: str, path: str, action: Action) -> None:
    assert action_of(method, path) is action


def test_a_forgotten_handler_is_refused_rather_than_open(house: House, tokens: dict[str, str]) -> None:
    api = create_api(house.services)

    @api.api_route("/api/v1/forgotten", methods=["GET", "POST"], **describe("Forgotten"))
    async def answer_all() -> Response:
        return Response(b"{}")

    @api.get("/api/v1/unstarred")
    async def answer() -> Response:
        return Response(b"{}")

    from penstock.server.problems import problem_response
    from penstock.server.security import TokenCheck

    checked = TokenCheck(api, access=house.services.access, refuse=lambda scope, error: problem_response(error))
    with serving(checked) as port:
        there = replace(house, port=port)
        statuses = {
            holder: [
                there.ask(method, path, token=tokens[holder]).status
                for method, path in (
                    ("GET", "/api/v1/forgotten"),
                    ("POST", "/api/v1/forgotten"),
                    ("GET", "/api/v1/unstarred"),
                )
            ]
            for holder in tokens
        }
    assert statuses == {
        "reader": [200, 403, 200],
        "contributor": [200, 200, 200],
        "admin": [200, 200, 200],
        "job": [403, 403, 403],
        "internal": [403, 403, 403],
        LIMITED: [403, 403, 403],
    }


def test_a_refusal_names_the_role_and_whom_to_ask(house: House, tokens: dict[str, str]) -> None:
    refused = house.ask("POST", "/api/v1/jobs", {"command": "true"}, token=tokens["reader"]).json
    assert refused["detail"] == "the token of a-reader has the role reader, which does not allow job:submit"
    assert refused["hint"].startswith("It needs the role contributor. Ask ann, who made this token,")
    run = {"experiment_id": "0"}
    refused = house.ask("POST", "/api/2.0/mlflow/runs/create", run, token=tokens["reader"]).json
    assert "the role contributor. Ask ann" in refused["message"]
    assert house.ask("GET", "/api/v1", token=tokens["reader"]).json["role"] == "reader"


def test_a_limited_token_sees_and_changes_its_experiment_only(house: House, tokens: dict[str, str]) -> None:
    token = tokens[LIMITED]
    own = house.submit(name="limited-own", experiment_name="doors")
    foreign = house.submit(name="limited-foreign", experiment_name="windows")
    names = {job["name"] for job in house.ok("GET", "/api/v1/jobs", token=token)["items"]}
    assert own.name in names
    assert foreign.name not in names
    assert house.ask("GET", "/api/v1/jobs?experiment_name=windows", token=token).status == 403
    assert house.ask("GET", f"/api/v1/jobs/{own.name}", token=token).status == 200
    for method, path in (("GET", ""), ("GET", "/log"), ("GET", "/metrics"), ("POST", ":cancel"), ("GET", ":stream")):
        assert house.ask(method, f"/api/v1/jobs/{foreign.name}{path}", token=token).status == 404, path
    assert [e["name"] for e in house.ok("GET", "/api/v1/experiments", token=token)["items"]] == ["doors"]
    spec = {"command": "true", "experiment_name": "windows"}
    assert house.ask("POST", "/api/v1/jobs", spec, token=token).status == 403
    assert house.ask("POST", "/api/v1/jobs", {"command": "true"}, token=token).status == 403
    assert house.ask("POST", "/api/v1/jobs", {**spec, "experiment_name": "doors"}, token=token).status == 201
    experiment = house.services.jobs.get(foreign.name)
    sent = {"run_id": experiment.name, "key": "k", "value": "v"}
    assert house.ask("POST", "/api/2.0/mlflow/runs/set-tag", sent, token=token).status == 404
    assert house.ask("POST", "/api/2.0/mlflow/runs/set-tag", {**sent, "run_id": own.name}, token=token).status == 200
    found = house.ok("POST", "/api/2.0/mlflow/experiments/search", {"max_results": 100}, token=token)["experiments"]
    assert [one["name"] for one in found] == ["doors"]
    every = house.ok("POST", "/api/2.0/mlflow/experiments/search", {"max_results": 100})["experiments"]
    ids = [one["experiment_id"] for one in every]
    runs = house.ok("POST", "/api/2.0/mlflow/runs/search", {"experiment_ids": ids}, token=token)["runs"]
    assert {run["info"]["experiment_id"] for run in runs} == {found[0]["experiment_id"]}


def test_a_job_s_stream_ends_with_the_token_that_opened_it(house: House) -> None:
    people = PeopleTokens(house.services.store, house.services.access, house.services.now)
    _, secret = people.create(TokenSpec(name="follower", role="reader"), expires_at=None, by="ann")
    job = house.submit(name="followed-job")
    connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=30)
    connection.request("GET", f"/api/v1/jobs/{job.name}:stream", headers={"Authorization": f"Bearer {secret}"})
    response = connection.getresponse()
    assert response.readline() == b"event: status\n"
    people.revoke("follower", by="ann")
    house.services.feed.notify(f"job:{job.name}")
    assert b"event: end" not in response.read()
    connection.close()
