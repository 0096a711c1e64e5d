"""The model registry over raw HTTP: what MLflow clients make and what penstock makes is one record."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from tests.server.harness import House

API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


def post(house: House, path: str, **sent: Any) -> Any:
    return house.ok("POST", f"{API}/{path}", sent)


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status, answer.json["error_code"]


def run_with(house: House, *files: str) -> str:
    run = post(house, "runs/create", experiment_id="0")["run"]["info"]["run_id"]
    for path in files:
        house.ok("PUT", f"{FILES}/0/{run}/artifacts/{path}", body=path.encode())
    return str(run)


def make_logged(house: House, name: str = "net", run: str = "") -> str:
    made = post(house, "logged-models", experiment_id="0", name=name, source_run_id=run)
    return str(made["model"]["info"]["model_id"])


def register(house: House, name: str, source: str, **sent: Any) -> Any:
    answer = house.ask("POST", f"{API}/registered-models/create", {"name": name})
    assert answer.status == 200 or answer.json["error_code"] == "RESOURCE_ALREADY_EXISTS"
    return post(house, "model-versions/create", name=name, source=source, **sent)["model_version"]


def test_version_of_a_run_is_the_model_that_penstock_lists(house: House) -> None:
    run = run_with(house, "model/MLmodel", "model/data/w.bin", "other")
    made = register(house, "of-run", f"runs:/{run}/model", run_id=run, tags=[{"key": "k", "value": "v"}])
    assert (made["version"], made["status"], made["current_stage"]) == ("1", "READY", "None")
    shown = house.ok("GET", "/api/v1/models/of-run")
    assert (shown["version"], shown["type"], shown["job_name"], shown["tags"]) == (
        "1",
        "mlflow_model",
        run,
        {"k": "v"},
    )
    files = house.ok("GET", "/api/v1/models/of-run/versions/1/files")["items"]
    assert [item["path"] for item in files] == ["MLmodel", "data/w.bin"]
    tree = house.services.assets.find_content("azureml:of-run:1").tree
    assert tree is not None
    assert [entry.path for entry in tree.entries] == ["MLmodel", "data/w.bin"]


def test_what_a_version_holds_does_not_change_with_its_run(house: House) -> None:
    run = run_with(house, "model/MLmodel")
    register(house, "kept", f"runs:/{run}/model", run_id=run)
    assert house.ok("GET", f"{API}/model-versions/get-download-uri?name=kept&version=1") == {
        "artifact_uri": f"runs:/{run}/model"
    }
    house.ok("PUT", f"{FILES}/0/{run}/artifacts/model/MLmodel", body=b"changed")
    assert house.ask("GET", "/api/v1/models/kept/versions/1/files/MLmodel").body == b"model/MLmodel"
    house.ok("DELETE", f"{FILES}/0/{run}/artifacts/model")
    uri = house.ok("GET", f"{API}/model-versions/get-download-uri?name=kept&version=1")["artifact_uri"]
    assert uri == "mlflow-artifacts:/models/kept/1"
    assert house.ask("GET", f"{FILES}/models/kept/1/MLmodel").body == b"model/MLmodel"


def test_files_that_come_after_the_version_are_found_when_it_is_used(house: House) -> None:
    run = run_with(house)
    register(house, "later", f"runs:/{run}/model", run_id=run)
    assert house.ask("GET", "/api/v1/models/later/versions/1/files").status == 404
    house.ok("PUT", f"{FILES}/0/{run}/artifacts/model/MLmodel", body=b"m")
    items = house.ok("GET", "/api/v1/models/later/versions/1/files")["items"]
    assert items == [{"path": "MLmodel", "size": 1}]
    assert "tree" not in house.ok("GET", "/api/v1/models/later")
    post(house, "runs/update", run_id=run, status="FINISHED")
    assert house.ok("GET", "/api/v1/models/later")["size"] == 1
    house.ok("DELETE", f"{FILES}/0/{run}/artifacts/model")
    assert house.ask("GET", "/api/v1/models/later/versions/1/files/MLmodel").body == b"m"


def test_a_pending_logged_model_gives_its_files_when_it_is_ready(house: House) -> None:
    model = make_logged(house)
    root = f"{FILES}/0/models/{model}/artifacts"
    house.ok("PUT", f"{root}/MLmodel", body=b"m")
    register(house, "pending", f"models:/{model}", model_id=model)
    assert "tree" not in house.ok("GET", "/api/v1/models/pending")
    house.ok("PUT", f"{root}/w.bin", body=b"w")
    house.ok("PATCH", f"{API}/logged-models/{model}", {"model_id": model, "status": "LOGGED_MODEL_READY"})
    shown = house.ok("GET", "/api/v1/models/pending")
    assert (shown["size"], shown["type"], shown["model_id"]) == (2, "mlflow_model", model)
    tags = {
        tag["key"]: tag["value"] for tag in house.ok("GET", f"{API}/logged-models/{model}")["model"]["info"]["tags"]
    }
    assert tags["mlflow.modelVersions"] == '[{"name": "pending", "version": 1}]'


def test_version_of_penstock_is_read_by_mlflow_clients_and_never_written(house: House) -> None:
    run = run_with(house, "outputs/m/MLmodel", "outputs/m/d/w.bin")
    spec = {"name": "ours", "path": f"runs:/{run}/outputs/m"}
    assert house.ok("POST", "/api/v1/models", spec)["version"] == "1"
    found = house.ok("GET", f"{API}/model-versions/get?name=ours&version=1")["model_version"]
    assert (found["source"], found["run_id"]) == ("mlflow-artifacts:/models/ours/1", run)
    listed = house.ok("GET", f"{FILES}?path=models/ours/1")["files"]
    assert listed == [
        {"path": "MLmodel", "is_dir": False, "file_size": len("outputs/m/MLmodel")},
        {"path": "d", "is_dir": True},
    ]
    assert house.ask("GET", f"{FILES}/models/ours/1/d/w.bin", headers={"Range": "bytes=0-6"}).body == b"outputs"
    for method in ("PUT", "DELETE"):
        answer = house.ask(method, f"{FILES}/models/ours/1/d/w.bin", body=b"x")
        assert refusal(answer) == (400, "INVALID_PARAMETER_VALUE")
    assert house.ok("GET", "/api/v1/models/ours")["tree"]


@pytest.mark.parametrize("name", ["My Model", "Modèle ü", "50%", "a~b", "..a", "q?x=#1", "a+b&c"])
def test_any_name_has_an_address(house: House, name: str) -> None:
    run = run_with(house, "m/MLmodel")
    made = register(house, name, f"runs:/{run}/m", run_id=run)
    assert made["name"] == name
    house.ok("DELETE", f"{FILES}/0/{run}/artifacts/m")
    query = f"name={quote(name, safe='')}&version=1"
    uri = house.ok("GET", f"{API}/model-versions/get-download-uri?{query}")["artifact_uri"]
    path = uri.removeprefix("mlflow-artifacts:/")
    assert house.ask("GET", f"{FILES}/{path}/MLmodel").body == b"m/MLmodel"
    assert house.ok("GET", f"/api/v1/models/{quote(name, safe='')}")["name"] == name


def test_alias_and_stage_are_the_same_on_both_doors(house: House) -> None:
    for _ in range(2):
        register(house, "marked", "s3://bucket/m")
    post(house, "registered-models/alias", name="marked", alias="champion", version="1")
    assert house.ok("GET", "/api/v1/models/marked/versions/@champion")["version"] == "1"
    changed = house.ok(
        "PATCH",
        "/api/v1/models/marked/versions/2",
        {"aliases": {"champion": True, "new": True}, "stage": "production", "tags": {"a": "b"}, "description": "d"},
    )
    assert (changed["aliases"], changed["stage"], changed["tags"]) == (["champion", "new"], "Production", {"a": "b"})
    by_alias = house.ok("GET", f"{API}/registered-models/alias?name=marked&alias=champion")["model_version"]
    assert (by_alias["version"], by_alias["current_stage"], by_alias["description"]) == ("2", "Production", "d")
    assert house.ok("GET", "/api/v1/models/marked/versions/@Production")["version"] == "2"
    house.ok("PATCH", "/api/v1/models/marked/versions/2", {"aliases": {"champion": False}, "tags": {"a": None}})
    assert house.ask("GET", f"{API}/registered-models/alias?name=marked&alias=champion").status == 400
    missing = house.ask("GET", "/api/v1/models/marked/versions/@newer")
    assert missing.status == 404
    assert 'Did you mean "new"?' in missing.json["hint"]


def test_numbers_are_not_used_again_unless_the_whole_model_was_deleted(house: House) -> None:
    for number in ("1", "2"):
        assert register(house, "counted", "s3://bucket/m")["version"] == number
    house.ok("DELETE", f"{API}/model-versions/delete", {"name": "counted", "version": "2"})
    assert house.ask("GET", f"{API}/model-versions/get?name=counted&version=2").status == 404
    assert register(house, "counted", "s3://bucket/m")["version"] == "3"
    house.ok("DELETE", f"{API}/registered-models/delete", {"name": "counted"})
    assert house.ask("GET", "/api/v1/models/counted").status == 404
    assert register(house, "counted", "s3://bucket/m")["version"] == "1"


def test_renamed_model_keeps_all_that_belongs_to_it(house: House) -> None:
    register(house, "before", "s3://bucket/m", tags=[{"key": "k", "value": "v"}])
    post(house, "registered-models/alias", name="before", alias="a", version="1")
    post(house, "registered-models/set-tag", name="before", key="t", value="w")
    renamed = post(house, "registered-models/rename", name="before", new_name="after")["registered_model"]
    assert (renamed["aliases"], renamed["tags"]) == ([{"alias": "a", "version": "1"}], [{"key": "t", "value": "w"}])
    assert house.ok("GET", "/api/v1/models/after")["tags"] == {"k": "v"}
    assert house.ask("GET", f"{API}/registered-models/get?name=before").status == 404
    assert register(house, "before", "s3://bucket/m")["version"] == "1"


def test_job_may_register_and_not_delete_what_others_registered(house: House) -> None:
    _, token = house.begin(house.submit())
    house.ok("POST", f"{API}/registered-models/create", {"name": "job-made"}, token=token)
    sent = {"name": "job-made", "source": "s3://bucket/m"}
    assert house.ok("POST", f"{API}/model-versions/create", sent, token=token)["model_version"]["version"] == "1"
    register(house, "job-made", "s3://bucket/m")
    for path, body in (
        ("model-versions/delete", {"name": "job-made", "version": "2"}),
        ("registered-models/delete", {"name": "job-made"}),
    ):
        assert refusal(house.ask("DELETE", f"{API}/{path}", body, token=token)) == (403, "PERMISSION_DENIED")
    assert house.ok("GET", f"{API}/model-versions/get?name=job-made&version=2", token=token)


def test_every_change_of_the_registry_is_an_event(house: House) -> None:
    register(house, "watched", "s3://bucket/m")
    post(house, "registered-models/alias", name="watched", alias="a", version="1")
    post(house, "model-versions/set-tag", name="watched", version="1", key="k", value="v")
    post(house, "model-versions/transition-stage", name="watched", version="1", stage="Staging")
    house.ok("DELETE", f"{API}/registered-models/delete", {"name": "watched"})
    events = house.ok("GET", "/api/v1/events?after=0&limit=1000")["items"]
    verbs = [event["verb"] for event in events if event["ref"].startswith("model:watched")]
    assert verbs == ["create", "create", "set-alias", "set-tag", "set-stage", "delete"]


@pytest.mark.parametrize(
    "source",
    [
        "http://host/m",
        "https://host/m",
        "ftp://host/m",
        "/etc/passwd",
        "file:///etc",
        "m",
        "s3://bucket/../m",
        "s3://bucket/%2e%2e/m",
        "s3://bucket/%252e%252e/m",
        "mlflow-artifacts://host:1/m",
        "mlflow-artifacts:/0/none/artifacts/m",
        "runs:/none/m",
        "models:/m-00000000000000000000000000000000",
        "models:/",
        "",
    ],
)
def test_source_that_reaches_too_far_is_refused(house: House, source: str) -> None:
    house.ask("POST", f"{API}/registered-models/create", {"name": "far"})
    sent = {"name": "far", "source": source}
    assert refusal(house.ask("POST", f"{API}/model-versions/create", sent)) == (400, "INVALID_PARAMETER_VALUE")


def test_source_inside_a_run_needs_that_run(house: House) -> None:
    run, other = run_with(house, "m/MLmodel"), run_with(house)
    house.ask("POST", f"{API}/registered-models/create", {"name": "inside"})
    source = f"mlflow-artifacts:/0/{run}/artifacts/m"
    for sent in ({}, {"run_id": other}, {"run_id": "none"}, {"run_id": run[:-1]}):
        answer = house.ask("POST", f"{API}/model-versions/create", {"name": "inside", "source": source, **sent})
        assert refusal(answer) == (400, "INVALID_PARAMETER_VALUE")
    assert register(house, "inside", source, run_id=run)["run_id"] == run


def test_copy_of_a_version_follows_it_to_its_files(house: House) -> None:
    run = run_with(house, "m/MLmodel")
    register(house, "first", f"runs:/{run}/m", run_id=run)
    copied = register(house, "second", "models:/first/1")
    assert (copied["source"], copied["run_id"]) == ("models:/first/1", run)
    assert house.ok("GET", "/api/v1/models/second")["tree"] == house.ok("GET", "/api/v1/models/first")["tree"]


def test_prompts_are_neither_models_nor_found_unless_asked_for(house: House) -> None:
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    post(house, "registered-models/create", name="hello", tags=tags)
    post(house, "model-versions/create", name="hello", source="dummy-source", tags=tags)
    found = house.ok("GET", f"{API}/registered-models/search").get("registered_models", [])
    assert "hello" not in [model["name"] for model in found]
    asked = "filter=tags.%60mlflow.prompt.is_prompt%60%20%3D%20%27true%27"
    found = house.ok("GET", f"{API}/registered-models/search?{asked}")["registered_models"]
    assert [model["name"] for model in found] == ["hello"]
    assert "hello" not in [item["name"] for item in house.ok("GET", "/api/v1/models")["items"]]


def test_model_is_numbered_in_whole_numbers(house: House) -> None:
    run = run_with(house, "m/MLmodel")
    for version in ("one", "0", "1.0", "-1", "2147483648"):
        answer = house.ask("POST", "/api/v1/models", {"name": "whole", "version": version, "path": f"runs:/{run}/m"})
        assert answer.status == 422
        assert answer.json["errors"][0]["pointer"] == "/version"
    assert house.ok("POST", "/api/v1/models", {"name": "whole", "version": "7", "path": f"runs:/{run}/m"})
    assert register(house, "whole", "s3://bucket/m")["version"] == "8"


@pytest.mark.parametrize("reference", ["azureml:served@champion", "azureml:served:1", "models:/served@champion"])
def test_deployment_runs_the_version_that_an_mlflow_client_registered(house: House, reference: str) -> None:
    if house.ask("GET", "/api/v1/models/served").status == 404:
        run = run_with(house, "net/model.onnx")
        register(house, "served", f"runs:/{run}/net", run_id=run)
        post(house, "registered-models/alias", name="served", alias="champion", version="1")
    house.ok("PUT", "/api/v1/online-endpoints/by-mlflow", {"name": "by-mlflow"})
    spec = {"name": "blue", "endpoint_name": "by-mlflow", "model": reference}
    made = house.ok("PUT", "/api/v1/online-endpoints/by-mlflow/deployments/blue", spec)
    assert made["model"] == "azureml:served:1"
    assert made["model_tree"] == house.ok("GET", "/api/v1/models/served")["tree"]
