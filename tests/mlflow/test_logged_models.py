"""Logged models, inputs and outputs of runs, over raw HTTP."""

from __future__ import annotations

import math
from typing import Any

import pytest
from sqlalchemy import Connection
from tests.mlflow.test_registry import API, FILES, make_logged, post, refusal, run_with
from tests.server.harness import House

from penstock.stores.metadata.logged_models import ModelPoint, add_model_metrics


def model_of(house: House, model_id: str) -> Any:
    return house.ok("GET", f"{API}/logged-models/{model_id}")["model"]


def pairs(items: list[Any]) -> dict[str, str]:
    return {item["key"]: item["value"] for item in items}


def search(house: House, experiment: str, **sent: Any) -> list[str]:
    found = post(house, "logged-models/search", experiment_ids=[experiment], **sent)
    return [model["info"]["name"] for model in found.get("models", [])]


def measure(house: House, run: str, *points: ModelPoint) -> None:
    def operation(connection: Connection) -> None:
        add_model_metrics(connection, run, points)

    house.services.store.write(operation)


def test_model_is_made_described_and_deleted(house: House) -> None:
    run = run_with(house)
    made = post(
        house,
        "logged-models",
        experiment_id="0",
        name="net",
        model_type="sklearn",
        source_run_id=run,
        params=[{"key": "p", "value": "1"}],
        tags=[{"key": "t", "value": "v"}],
    )["model"]
    info = made["info"]
    model = info["model_id"]
    assert model.startswith("m-")
    assert len(model) == 34
    assert info["artifact_uri"] == f"mlflow-artifacts:/0/models/{model}/artifacts"
    assert (info["status"], info["source_run_id"], info["model_type"]) == ("LOGGED_MODEL_PENDING", run, "sklearn")
    post(house, f"logged-models/{model}/params", params=[{"key": "q", "value": "2"}])
    house.ok("PATCH", f"{API}/logged-models/{model}/tags", {"tags": [{"key": "a/b", "value": "w"}]})
    house.ok("DELETE", f"{API}/logged-models/{model}/tags/t")
    assert refusal(house.ask("DELETE", f"{API}/logged-models/{model}/tags/t")) == (404, "RESOURCE_DOES_NOT_EXIST")
    found = model_of(house, model)
    assert pairs(found["data"]["params"]) == {"p": "1", "q": "2"}
    assert pairs(found["info"]["tags"]) == {"a/b": "w"}
    house.ok("DELETE", f"{API}/logged-models/{model}/tags/a/b")
    changed = house.ok("PATCH", f"{API}/logged-models/{model}", {"model_id": model, "status": 2})["model"]
    assert changed["info"]["status"] == "LOGGED_MODEL_READY"
    for _ in range(2):
        house.ok("DELETE", f"{API}/logged-models/{model}")
    assert house.ask("GET", f"{API}/logged-models/{model}").status == 404
    assert house.ok("GET", f"{API}/logged-models/{model}?allow_deleted=true")["model"]["info"]["name"] == "net"


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"experiment_id": "99999"},
        {"experiment_id": "0", "name": "a/b"},
        {"experiment_id": "0", "name": "a.b"},
        {"experiment_id": "0", "tags": [{"key": "..", "value": ""}]},
    ],
)
def test_model_that_cannot_be_is_refused(house: House, sent: dict[str, Any]) -> None:
    assert house.ask("POST", f"{API}/logged-models", sent).status in {400, 404}


def test_parameter_of_a_model_is_set_once(house: House) -> None:
    model = make_logged(house)
    post(house, f"logged-models/{model}/params", params=[{"key": "p", "value": "1"}])
    post(house, f"logged-models/{model}/params", params=[{"key": "p", "value": "1"}])
    sent = {"params": [{"key": "p", "value": "2"}, {"key": "q", "value": "3"}]}
    answer = house.ask("POST", f"{API}/logged-models/{model}/params", sent)
    assert refusal(answer) == (400, "INVALID_PARAMETER_VALUE")
    assert pairs(model_of(house, model)["data"]["params"]) == {"p": "1"}


def test_files_of_a_model_are_its_own(house: House) -> None:
    model = make_logged(house)
    root = f"{FILES}/0/models/{model}/artifacts"
    house.ok("PUT", f"{root}/MLmodel", body=b"m")
    house.ok("PUT", f"{root}/data/empty", body=b"")
    uri = f"mlflow-artifacts:/0/models/{model}/artifacts"
    assert house.ok("GET", f"{API}/logged-models/{model}/artifacts/directories") == {
        "root_uri": uri,
        "files": [{"path": "MLmodel", "is_dir": False, "file_size": 1}, {"path": "data", "is_dir": True}],
    }
    listed = house.ok("GET", f"{API}/logged-models/{model}/artifacts/directories?artifact_directory_path=data")
    assert listed["files"] == [{"path": "data/empty", "is_dir": False}]
    assert house.ok("GET", f"{FILES}?path=0/models/{model}/artifacts/data") == {
        "files": [{"path": "empty", "is_dir": False}]
    }
    assert house.ask("GET", f"{root}/MLmodel").body == b"m"
    assert house.ask("GET", f"{root}/data").status == 400
    path = f"{API}/logged-models/{model}/artifacts/directories?artifact_directory_path=../x"
    assert refusal(house.ask("GET", path)) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("path", ["a", "a/b/c", "a/b/c/d/e"])
def test_path_is_a_file_or_a_folder_never_both(house: House, path: str) -> None:
    run = run_with(house, "a/b/c/d" if path != "a/b/c/d/e" else "a/b")
    answer = house.ask("PUT", f"{FILES}/0/{run}/artifacts/{path}", body=b"x")
    assert refusal(answer) == (400, "INVALID_PARAMETER_VALUE")
    assert "folder" in answer.json["message"] or "is a file" in answer.json["message"]


def test_runs_path_means_the_logged_model_of_that_name(house: House) -> None:
    run = run_with(house, "own/f")
    for content in (b"old", b"new"):
        model = make_logged(house, "net", run)
        house.ok("PUT", f"{FILES}/0/models/{model}/artifacts/MLmodel", body=content)
    spec = {"name": "named", "path": f"runs:/{run}/net"}
    house.ok("POST", "/api/v1/models", spec)
    assert house.ask("GET", "/api/v1/models/named/versions/1/files/MLmodel").body == b"new"
    house.ok("POST", "/api/v1/models", {"name": "direct", "path": f"models:/{model}"})
    assert house.ok("GET", "/api/v1/models/direct")["tree"] == house.ok("GET", "/api/v1/models/named")["tree"]
    refused = house.ask("POST", "/api/v1/models", {"name": "none", "path": f"runs:/{run}/nett"})
    assert refused.status == 422


def test_search_filters_orders_and_pages(house: House) -> None:
    experiment = post(house, "experiments/create", name="models searched")["experiment_id"]
    run = post(house, "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
    ids = {}
    for name, lr in (("a", "0.1"), ("b", "0.2"), ("c", "0.3")):
        sent = {"experiment_id": experiment, "name": name, "params": [{"key": "lr", "value": lr}]}
        ids[name] = post(house, "logged-models", **sent)["model"]["info"]["model_id"]
    measure(
        house,
        run,
        ModelPoint(ids["a"], "acc", 0.5, 1, 0),
        ModelPoint(ids["a"], "acc", 0.9, 2, 0, "d", "1"),
        ModelPoint(ids["b"], "acc", 0.7, 1, 0),
        ModelPoint(ids["c"], "acc", math.nan, 1, 0),
    )
    up = [{"field_name": "metrics.acc", "ascending": True}]
    assert search(house, experiment) == ["c", "b", "a"]
    assert search(house, experiment, filter="metrics.acc > 0.6", order_by=up) == ["b", "a"]
    assert search(house, experiment, filter="params.lr = '0.2'") == ["b"]
    assert search(house, experiment, filter="name LIKE 'B'") == []
    assert search(house, experiment, order_by=up) == ["c", "b", "a"]
    assert search(house, experiment, order_by=[{**up[0], "ascending": False}]) == ["a", "b", "c"]
    # As in MLflow, NaN competes as 0 among logged models.
    assert search(house, experiment, filter="metrics.acc < 0.1") == ["c"]
    assert search(house, experiment, order_by=[{**up[0], "dataset_name": "d"}]) == ["a", "c", "b"]
    assert search(house, experiment, datasets=[{"dataset_name": "d"}]) == ["a"]
    assert search(house, experiment, filter="metrics.acc < 0.6", datasets=[{"dataset_name": "d"}]) == []
    first = post(house, "logged-models/search", experiment_ids=[experiment], max_results=2)
    assert search(house, experiment, max_results=2, page_token=first["next_page_token"]) == ["a"]
    metrics = model_of(house, ids["a"])["data"]["metrics"]
    assert [(point["value"], point.get("dataset_name"), point["run_id"]) for point in metrics] == [
        (0.5, None, run),
        (0.9, "d", run),
    ]
    assert model_of(house, ids["c"])["data"]["metrics"][0]["value"] == "NaN"


@pytest.mark.parametrize(
    "sent", [{"filter": "foo = 'a'"}, {"filter": "name > 'a'"}, {"order_by": [{"field_name": "x"}]}]
)
def test_search_that_means_nothing_is_refused(house: House, sent: dict[str, Any]) -> None:
    answer = house.ask("POST", f"{API}/logged-models/search", {"experiment_ids": ["0"], **sent})
    assert refusal(answer) == (400, "INVALID_PARAMETER_VALUE")


def test_inputs_and_outputs_are_part_of_the_run(house: House) -> None:
    run, used, made = run_with(house), make_logged(house), make_logged(house)
    dataset = {"name": "d", "digest": "1", "source_type": "local", "source": "{}", "profile": "{}"}
    tags = [{"key": "mlflow.data.context", "value": "train"}]
    for _ in range(2):
        sent = {"datasets": [{"dataset": dataset, "tags": tags}], "models": [{"model_id": used}]}
        post(house, "runs/log-inputs", run_id=run, **sent)
        post(house, "runs/outputs", run_id=run, models=[{"model_id": made, "step": 3}])
    found = house.ok("GET", f"{API}/runs/get?run_id={run}")["run"]
    assert found["inputs"] == {
        "dataset_inputs": [{"tags": tags, "dataset": dataset}],
        "model_inputs": [{"model_id": used}],
    }
    assert found["outputs"] == {"model_outputs": [{"model_id": made, "step": 3}]}
    page = post(house, "runs/search", experiment_ids=["0"], max_results=1)["runs"][0]
    assert (page["inputs"], page["outputs"]) == (found["inputs"], found["outputs"])
    assert "penstock.inputs" not in [tag["key"] for tag in found["data"]["tags"]]


def test_job_logs_models_to_its_experiment_and_changes_its_own_only(house: House) -> None:
    own = house.submit(experiment_name="models of jobs")
    _, token = house.begin(own)
    experiment = house.ok("GET", f"{API}/experiments/get-by-name?experiment_name=models%20of%20jobs")["experiment"]
    sent = {"experiment_id": experiment["experiment_id"], "name": "net"}
    model = house.ok("POST", f"{API}/logged-models", sent, token=token)["model"]["info"]
    path = model["artifact_uri"].removeprefix("mlflow-artifacts:/")
    house.ok("PUT", f"{FILES}/{path}/MLmodel", body=b"m", token=token)
    house.ok("PATCH", f"{API}/logged-models/{model['model_id']}", {"status": 2}, token=token)
    foreign = make_logged(house)
    same = post(house, "logged-models", experiment_id=experiment["experiment_id"], name="other")["model"]["info"]
    for method, where, body in (
        ("GET", f"{API}/logged-models/{foreign}", None),
        ("PATCH", f"{API}/logged-models/{same['model_id']}", {"status": 2}),
        ("DELETE", f"{API}/logged-models/{same['model_id']}", None),
        ("PUT", f"{FILES}/{same['artifact_uri'].removeprefix('mlflow-artifacts:/')}/f", None),
        ("PUT", f"{FILES}/0/models/{foreign}/artifacts/f", None),
        ("POST", f"{API}/logged-models", {"experiment_id": "0"}),
    ):
        assert refusal(house.ask(method, where, body, token=token)) == (403, "PERMISSION_DENIED"), (method, where)
    assert house.ok("GET", f"{API}/logged-models/{same['model_id']}", token=token)


def test_traces_are_refused_in_words(house: House) -> None:
    for method, path in (
        ("POST", "/api/3.0/mlflow/traces"),
        ("POST", "/v1/traces"),
        ("POST", "/api/2.0/mlflow/traces/search"),
        ("DELETE", "/api/2.0/mlflow/traces/tr-1/tags"),
        ("GET", "/api/3.0/mlflow/traces/tr-1"),
    ):
        answer = house.ask(method, path, {} if method == "POST" else None)
        assert refusal(answer) == (501, "NOT_IMPLEMENTED")
        assert "traces" in answer.json["message"]
