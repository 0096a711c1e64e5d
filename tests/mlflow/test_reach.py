"""What a token that is limited to one experiment may name: nothing of another one, by whatever name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from tests.server.harness import House

from penstock.access.people import PeopleTokens
from penstock.entities.token import TokenSpec

API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
SECRET = b"not for you"


@dataclass(frozen=True)
class Side:
    """An experiment with a run and a logged model, each with a file."""

    experiment: str
    run: str
    model: str

    @property
    def run_root(self) -> str:
        return f"{self.experiment}/{self.run}/artifacts"


@dataclass(frozen=True)
class Town:
    house: House
    own: Side
    other: Side
    tokens: dict[str, str]

    def post(self, who: str, path: str, **message: Any) -> tuple[int, Any]:
        answer = self.house.ask("POST", f"{API}/{path}", message, token=self.tokens[who])
        return answer.status, answer.json


def furnish(house: House, name: str, job: str) -> Side:
    house.submit(name=job, experiment_name=name)
    experiment = house.ok("GET", f"{API}/runs/get?run_id={job}")["run"]["info"]["experiment_id"]
    sent = {"experiment_id": experiment, "name": "net", "source_run_id": job}
    model = house.ok("POST", f"{API}/logged-models", sent)["model"]["info"]
    side = Side(experiment, job, model["model_id"])
    house.ok("PUT", f"{FILES}/{side.run_root}/f.txt", body=SECRET)
    house.ok("PUT", f"{FILES}/{model['artifact_uri'].partition(':/')[2]}/f.txt", body=SECRET)
    house.ok("PATCH", f"{API}/logged-models/{side.model}", {"status": "LOGGED_MODEL_READY"})
    return side


@pytest.fixture(scope="module")
def town(house: House) -> Town:
    own, other = furnish(house, "own", "own-job"), furnish(house, "other", "other-job")
    people = PeopleTokens(house.services.store, house.services.access, house.services.now)
    limited = people.create(TokenSpec(name="limited", role="contributor", experiment="own"), expires_at=None, by="ann")[
        1
    ]
    job = house.begin(house.services.jobs.get("own-job"))[1]
    house.ok("POST", f"{API}/registered-models/create", {"name": "M"})
    house.ok(
        "POST", f"{API}/model-versions/create", {"name": "M", "source": f"runs:/{other.run}/f.txt", "run_id": other.run}
    )
    return Town(house, own, other, {"job": job, "limited": limited})


def sources(side: Side) -> list[dict[str, str]]:
    return [
        {"source": f"runs:/{side.run}/f.txt", "run_id": side.run},
        {"source": f"mlflow-artifacts:/{side.run_root}", "run_id": side.run},
        {"source": f"models:/{side.model}", "model_id": side.model},
        {"source": "s3://bucket/model", "run_id": side.run},
    ]


def versions(town: Town) -> int:
    found = town.house.ok("GET", f"{API}/model-versions/search")["model_versions"]
    return len(found)


def test_no_version_is_made_of_what_another_experiment_holds(town: Town) -> None:
    before = versions(town)
    named = [
        *sources(town.other),
        {"source": "models:/M/1"},
        {"source": f"models:/{town.own.model}", "model_id": town.own.model, "run_id": town.other.run},
    ]
    for sent in named:
        for who in town.tokens:
            status, answer = town.post(who, "model-versions/create", name="M", **sent)
            assert (status, answer["error_code"]) == (403, "PERMISSION_DENIED"), sent
    status, _ = town.post("job", "model-versions/create", name="M", source="runs:/not-yet/f.txt", run_id="not-yet")
    assert status == 404
    assert versions(town) == before
    model = town.house.ok("GET", f"{API}/logged-models/{town.other.model}")["model"]
    assert "tags" not in model["info"]


def test_a_job_registers_what_its_own_experiment_holds(town: Town) -> None:
    for sent in sources(town.own):
        status, answer = town.post("job", "model-versions/create", name="M", **sent)
        assert status == 200, answer
    version = answer["model_version"]["version"]
    status, _ = town.post("job", "model-versions/create", name="M", source=f"models:/M/{version}")
    assert status == 200


def test_our_own_door_registers_nothing_for_them(town: Town) -> None:
    for path in (f"runs:/{town.other.run}/f.txt", f"azureml://jobs/{town.other.run}/outputs/artifacts"):
        for who in town.tokens:
            spec = {"name": "mine", "path": path}
            assert town.house.ask("POST", "/api/v1/models", spec, token=town.tokens[who]).status == 403


@pytest.mark.parametrize("who", ["job", "limited"])
def test_nothing_is_logged_to_a_model_of_another_experiment(town: Town, who: str) -> None:
    point = {"key": "m", "value": 1, "timestamp": 1}
    run = {"run_id": town.own.run}

    def calls(side: Side) -> list[tuple[str, dict[str, Any]]]:
        return [
            ("runs/log-metric", {**run, **point, "model_id": side.model}),
            ("runs/log-batch", {**run, "metrics": [point, {**point, "model_id": side.model}]}),
            ("runs/log-inputs", {**run, "models": [{"model_id": side.model}]}),
            ("runs/outputs", {**run, "models": [{"model_id": side.model}]}),
            ("logged-models", {"experiment_id": town.own.experiment, "name": "x", "source_run_id": side.run}),
        ]

    for path, message in calls(town.other):
        status, answer = town.post(who, path, **message)
        # A person does not even learn that there is such a model.
        refused = (403, "PERMISSION_DENIED") if who == "job" else (404, "RESOURCE_DOES_NOT_EXIST")
        assert (status, answer["error_code"]) == refused, path
    model = town.house.ok("GET", f"{API}/logged-models/{town.other.model}")["model"]
    assert "metrics" not in model["data"]
    for path, message in calls(town.own):
        status, answer = town.post(who, path, **message)
        assert status == 200, (path, answer)
    unknown: list[tuple[str, dict[str, Any]]] = [
        ("runs/log-inputs", {**run, "models": [{"model_id": "m-" + "0" * 32}]}),
        ("logged-models", {"experiment_id": town.own.experiment, "name": "x", "source_run_id": "not-yet"}),
    ]
    for path, message in unknown:
        assert town.post(who, path, **message)[0] == 404


def test_a_limited_token_s_job_gets_nothing_of_another_experiment(town: Town) -> None:
    house, token = town.house, town.tokens["limited"]
    for name, side in (("of-own", town.own), ("of-other", town.other)):
        house.ok("POST", "/api/v1/models", {"name": name, "path": f"runs:/{side.run}/f.txt"})
    digest = house.services.blobs.put(SECRET)[0]
    tree = house.ok("POST", "/api/v1/trees", {"entries": [{"path": "a", "digest": digest, "size": len(SECRET)}]})
    house.ok("POST", "/api/v1/data", {"name": "digits", "path": f"tree:{tree['digest']}"})

    def submit(path: str) -> int:
        given = {"type": "uri_folder", "path": path}
        spec = {"command": "cat ${{inputs.x}}", "experiment_name": "own", "inputs": {"x": given}}
        return house.ask("POST", "/api/v1/jobs", spec, token=token).status

    foreign = [
        "azureml:of-other:1",
        "azureml:of-other@latest",
        "models:/M/1",
        f"models:/{town.other.model}",
        f"runs:/{town.other.run}/f.txt",
        f"azureml://jobs/{town.other.run}/outputs/artifacts",
    ]
    assert [submit(path) for path in foreign] == [403] * len(foreign)
    code = {
        "command": "cat f.txt",
        "experiment_name": "own",
        "code": f"azureml://jobs/{town.other.run}/outputs/artifacts",
    }
    answer = house.ask("POST", "/api/v1/jobs", code, token=token)
    assert answer.status == 403
    assert "; /code names what another one's run made" in answer.json["detail"]
    own = ["azureml:of-own:1", f"models:/{town.own.model}", f"runs:/{town.own.run}/f.txt", "azureml:digits:1"]
    assert [submit(path) for path in own] == [201] * len(own)


def submit_for(town: Town, **spec: Any) -> Any:
    sent = {"command": "cat ${{inputs.x}}", "experiment_name": "own", **spec}
    return town.house.ask("POST", "/api/v1/jobs", sent, token=town.tokens["limited"])


def test_a_label_names_what_it_named_when_the_job_was_submitted(town: Town) -> None:
    house = town.house
    house.ok("POST", "/api/v1/models", {"name": "moving", "path": f"runs:/{town.own.run}/f.txt"})
    house.ok("POST", f"{API}/registered-models/alias", {"name": "moving", "alias": "champion", "version": "1"})
    paths = ["azureml:moving@latest", "azureml:moving", "models:/moving@champion", "azureml:moving:1"]
    made = []
    for path in paths:
        answer = submit_for(town, inputs={"x": {"type": "uri_folder", "path": path}})
        assert answer.status == 201, answer.body
        made.append(answer.json)
    house.ok("POST", "/api/v1/models", {"name": "moving", "path": f"runs:/{town.other.run}/f.txt"})
    house.ok("POST", f"{API}/registered-models/alias", {"name": "moving", "alias": "champion", "version": "2"})
    assert [job["spec"]["inputs"]["x"]["path"] for job in made] == ["azureml:moving:1"] * len(paths)
    for job in made:
        shown = house.ok("GET", f"/api/v1/jobs/{job['name']}")
        assert shown["spec"]["inputs"]["x"]["path"] == "azureml:moving:1"


def test_a_digest_is_no_permission_to_give_content_to_a_job(town: Town) -> None:
    house, token = town.house, town.tokens["limited"]
    secret = b"only the admin sent this"
    digest, size = house.services.blobs.put(secret)
    entry = {"path": "a.txt", "digest": digest, "size": size}
    foreign = f"tree:{house.ok('POST', '/api/v1/trees', {'entries': [entry]})['digest']}"
    unknown = "tree:" + "0" * 64
    for path in (foreign, unknown):
        refused = submit_for(town, inputs={"x": {"type": "uri_folder", "path": path}}, code=path)
        assert refused.status == 422, refused.body
        problems = refused.json["errors"]
        assert [problem["pointer"] for problem in problems] == ["/inputs/x/path", "/code"]
        said = [problem["message"].replace(path.removeprefix("tree:"), "…") for problem in problems]
        assert said == ["the token of limited sent no content of the digest …"] * 2
    house.ok("PUT", f"/api/v1/blobs/{digest}", body=secret, token=token)
    accepted = submit_for(town, inputs={"x": {"type": "uri_folder", "path": foreign}}, code=foreign)
    assert accepted.status == 201, accepted.body
    house.ok("POST", "/api/v1/jobs", {"command": "true", "code": foreign})  # who sees all names anything


def test_a_repeated_request_gives_its_job_also_when_nobody_knows_what_was_sent(town: Town) -> None:
    house, token = town.house, town.tokens["limited"]
    content = b"sent before the server forgot it"
    digest, size = house.services.blobs.put(content)
    house.ok("PUT", f"/api/v1/blobs/{digest}", body=content, token=token)
    tree = {"entries": [{"path": "a.txt", "digest": digest, "size": size}]}
    code = f"tree:{house.ok('POST', '/api/v1/trees', tree, token=token)['digest']}"
    spec, key = {"command": "cat a.txt", "experiment_name": "own", "code": code}, {"Idempotency-Key": "once"}
    first = house.ask("POST", "/api/v1/jobs", spec, token=token, headers=key)
    holder = house.services.access.authenticate(f"Bearer {token}").token_id
    house.services.attempts.brought.forget(str(holder))
    again = house.ask("POST", "/api/v1/jobs", spec, token=token, headers=key)
    assert (first.status, again.status) == (201, 201)
    assert first.json["name"] == again.json["name"]
    assert house.ask("POST", "/api/v1/jobs", spec, token=token).status == 422


def test_a_relayed_call_is_held_to_the_same(town: Town) -> None:
    job = town.house.submit(name="relayed-job", experiment_name="own")
    attempt, token = town.house.begin(job)

    def call(seq: int, model: str) -> dict[str, Any]:
        body = {"run_id": job.name, "key": "m", "value": 1, "timestamp": 1, "model_id": model}
        return {"seq": seq, "path": f"{API}/runs/log-metric", "body": json.dumps(body)}

    sent = {"calls": [call(1, town.other.model), call(2, town.own.model)]}
    answer = town.house.ok("POST", f"/internal/attempts/{attempt.attempt_id}/relay", sent, token=token)
    assert answer["relay_seq"] == 2
    assert [one["seq"] for one in answer["refused"]] == [1]


def test_a_job_s_logged_model_comes_from_its_own_run(town: Town) -> None:
    created = town.house.ok("POST", f"{API}/runs/create", {"experiment_id": town.own.experiment})
    run = created["run"]["info"]["run_id"]
    message = {"experiment_id": town.own.experiment, "name": "x", "source_run_id": run}
    assert town.post("job", "logged-models", **message)[0] == 403
    assert town.post("limited", "logged-models", **message)[0] == 200


def test_a_job_changes_the_versions_of_its_own_runs_and_no_others(town: Town) -> None:
    house = town.house

    def ask(method: str, path: str, **message: Any) -> int:
        return house.ask(method, f"{API}/{path}", message, token=town.tokens["job"]).status

    house.ok("POST", f"{API}/registered-models/create", {"name": "shared"})
    house.ok(
        "POST",
        f"{API}/model-versions/create",
        {"name": "shared", "source": f"runs:/{town.other.run}/f.txt", "run_id": town.other.run},
    )
    house.ok("POST", f"{API}/registered-models/alias", {"name": "shared", "alias": "champion", "version": "1"})

    def changes(version: str) -> list[int]:
        named = {"name": "shared", "version": version}
        return [
            ask("PATCH", "model-versions/update", **named, description="x"),
            ask("POST", "model-versions/set-tag", **named, key="k", value="v"),
            ask("DELETE", "model-versions/delete-tag", **named, key="k"),
            ask("POST", "model-versions/transition-stage", **named, stage="Staging"),
            ask("POST", "registered-models/alias", **named, alias="mine"),
        ]

    whole = [
        ("PATCH", "registered-models/update", {"description": "x"}),
        ("POST", "registered-models/set-tag", {"key": "k", "value": "v"}),
        ("DELETE", "registered-models/delete-tag", {"key": "k"}),
        ("POST", "registered-models/rename", {"new_name": "taken"}),
        ("DELETE", "registered-models/delete", {}),
        ("DELETE", "model-versions/delete", {"version": "1"}),
        ("DELETE", "registered-models/alias", {"alias": "champion"}),
    ]
    assert changes("1") == [403] * 5
    assert [ask(method, path, name="shared", **sent) for method, path, sent in whole] == [403] * len(whole)
    own = {"name": "shared", "source": f"runs:/{town.own.run}/f.txt", "run_id": town.own.run}
    assert ask("POST", "model-versions/create", **own) == 200
    house.ok("POST", f"{API}/model-versions/create", own)  # of the job's run, though a person registered it
    assert changes("2") == changes("3") == [200] * 5
    assert ask("POST", "registered-models/alias", name="shared", alias="champion", version="2") == 200
    assert ask("DELETE", "registered-models/alias", name="shared", alias="champion") == 200
    assert ask("POST", "registered-models/create", name="its-own") == 200
    assert ask("PATCH", "registered-models/update", name="its-own", description="x") == 200
