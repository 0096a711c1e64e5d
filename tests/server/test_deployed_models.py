"""What becomes of a deployment when its model is renamed, deleted and collected: nothing."""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

import pytest
from tests.server.harness import House
from tests.server.test_assets import put_tree
from tests.server.test_gc import collect

API = "/api/2.0/mlflow"
ENDPOINTS = "/api/v1/online-endpoints"
CODE = b"def init(): pass\ndef run(raw): return 1\n"


def post(house: House, path: str, **sent: Any) -> Any:
    return house.ok("POST", f"{API}/{path}", sent)


def deploy(house: House, endpoint: str, model: str) -> Any:
    house.ok("PUT", f"{ENDPOINTS}/{endpoint}", {"name": endpoint})
    code = {"code": put_tree(house, {"score.py": CODE}), "scoring_script": "score.py"}
    spec = {"name": "blue", "endpoint_name": endpoint, "model": model, "code_configuration": code}
    return house.ok("PUT", f"{ENDPOINTS}/{endpoint}/deployments/blue", spec)


def wanted(house: House, endpoint: str) -> dict[str, Any]:
    (found,) = [one for one in house.services.endpoints.desired()["endpoints"] if one["name"] == endpoint]
    return dict(found["deployments"][0])


def log_model(house: House, name: str, content: bytes = b"weights") -> Any:
    """Do what MLflow's client does to log a model with one file."""
    info = post(house, "logged-models", experiment_id="0", name=name)["model"]["info"]
    place = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    assert house.ask("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{place}/model.pkl", body=content).status == 200
    path = f"{API}/logged-models/{info['model_id']}"
    house.ok("PATCH", path, {"model_id": info["model_id"], "status": "LOGGED_MODEL_READY"})
    return info


def register(house: House, name: str, source: str, **sent: Any) -> str:
    house.ask("POST", f"{API}/registered-models/create", {"name": name})
    made = post(house, "model-versions/create", name=name, source=source, **sent)["model_version"]
    return f"azureml:{name}:{made['version']}"


@pytest.mark.parametrize("is_address", [False, True])
def test_a_logged_models_folder_has_its_name(fresh_house: House, is_address: bool) -> None:
    info = log_model(fresh_house, "classifier")
    source = info["artifact_uri"] if is_address else f"models:/{info['model_id']}"
    ref = register(fresh_house, "digits", source, model_id=info["model_id"])
    assert deploy(fresh_house, "scores", ref)["model_name"] == "classifier"
    assert wanted(fresh_house, "scores")["model_name"] == "classifier"


def test_an_artifacts_folder_keeps_its_name(fresh_house: House) -> None:
    run = post(fresh_house, "runs/create", experiment_id="0")["run"]["info"]
    place = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    url = f"/api/2.0/mlflow-artifacts/artifacts/{place}/deep/forest/model.pkl"
    assert fresh_house.ask("PUT", url, body=b"trees").status == 200
    for number, source in enumerate((f"runs:/{run['run_id']}/deep/forest", f"{run['artifact_uri']}/deep/forest")):
        ref = register(fresh_house, f"digits{number}", source, run_id=run["run_id"])
        assert deploy(fresh_house, f"scores{number}", ref)["model_name"] == "forest"
    made = fresh_house.ok("POST", "/api/v1/models", {"name": "ours", "path": f"runs:/{run['run_id']}/deep/forest"})
    assert made["folder"] == "forest"


def test_a_version_of_a_version_has_the_first_ones_folder(fresh_house: House) -> None:
    info = log_model(fresh_house, "classifier")
    first = register(fresh_house, "digits", f"models:/{info['model_id']}", model_id=info["model_id"])
    copied = register(fresh_house, "copied", "models:/digits/1")
    taken = fresh_house.ok("POST", "/api/v1/models", {"name": "taken", "path": first})
    assert taken["folder"] == "classifier"
    assert deploy(fresh_house, "scores", copied)["model_name"] == "classifier"


def test_renaming_the_model_changes_neither_the_deployment_nor_the_next(fresh_house: House) -> None:
    fresh_house.ok("POST", "/api/v1/models", {"name": "old", "path": put_tree(fresh_house, {"a.bin": b"1"})})
    deploy(fresh_house, "scores", "azureml:old:1")
    before = wanted(fresh_house, "scores")
    post(fresh_house, "registered-models/rename", name="old", new_name="new")
    assert before["model_name"] == "old"
    assert wanted(fresh_house, "scores") == before
    assert deploy(fresh_house, "others", "azureml:new:1")["model_name"] == "old"


def test_a_deployed_version_is_deleted_only_by_force(fresh_house: House) -> None:
    for content in (b"1", b"2"):
        fresh_house.ok("POST", "/api/v1/models", {"name": "digits", "path": put_tree(fresh_house, {"a.bin": content})})
    deploy(fresh_house, "scores", "azureml:digits:1")
    answer = fresh_house.ask("DELETE", "/api/v1/models/digits/versions/1")
    assert (answer.status, answer.json["code"]) == (409, "conflict")
    assert "scores/blue" in answer.json["detail"]
    assert "--force" in answer.json["hint"]
    assert fresh_house.ask("DELETE", "/api/v1/models/digits/versions/2").status == 204
    post(fresh_house, "registered-models/rename", name="digits", new_name="renamed")
    assert fresh_house.ask("DELETE", "/api/v1/models/renamed/versions/1").status == 409
    assert fresh_house.ask("DELETE", "/api/v1/models/renamed/versions/1?force=true").status == 204
    assert fresh_house.ask("GET", "/api/v1/models/renamed/versions/1").status == 404


def test_a_logged_model_without_a_script_is_refused_with_a_way_out(fresh_house: House) -> None:
    info = log_model(fresh_house, "classifier")
    place = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    url = f"/api/2.0/mlflow-artifacts/artifacts/{place}/MLmodel"
    assert fresh_house.ask("PUT", url, body=b"flavors: {}").status == 200
    ref = register(fresh_house, "digits", f"models:/{info['model_id']}", model_id=info["model_id"])
    fresh_house.ok("PUT", f"{ENDPOINTS}/scores", {"name": "scores"})
    spec = {"name": "blue", "endpoint_name": "scores", "model": ref}
    answer = fresh_house.ask("PUT", f"{ENDPOINTS}/scores/deployments/blue", spec)
    assert answer.status == 422
    assert "add code_configuration with a score.py (docs/how-to/serve.md)" in answer.body.decode()


def test_a_version_with_the_files_of_a_deployed_one_may_go(fresh_house: House) -> None:
    for _ in range(2):
        fresh_house.ok("POST", "/api/v1/models", {"name": "digits", "path": put_tree(fresh_house, {"a.bin": b"1"})})
    deploy(fresh_house, "scores", "azureml:digits:1")
    assert fresh_house.ask("DELETE", "/api/v1/models/digits/versions/2").status == 204


@pytest.mark.parametrize("is_mlflow", [False, True])
def test_a_deployment_keeps_its_files_when_model_and_content_are_taken_away(
    fresh_house: House, is_mlflow: bool
) -> None:
    info = log_model(fresh_house, "classifier", b"weights of a model that goes")
    ref = register(fresh_house, "digits", f"models:/{info['model_id']}", model_id=info["model_id"])
    deploy(fresh_house, "scores", ref)
    before = wanted(fresh_house, "scores")
    if is_mlflow:
        fresh_house.ok("DELETE", f"{API}/model-versions/delete", {"name": "digits", "version": "1"})
    else:
        assert fresh_house.ask("DELETE", "/api/v1/models/digits/versions/1?force=true").status == 204
    fresh_house.ok("DELETE", f"{API}/logged-models/{info['model_id']}")
    blobs = fresh_house.services.blobs
    kept, loose = hashlib.sha256(b"weights of a model that goes").hexdigest(), blobs.put(b"named by nobody")[0]
    for digest in (kept, loose):
        path = blobs.local_path(digest)
        assert path is not None
        os.utime(path, (time.time() - 7200,) * 2)
    collect(fresh_house)
    assert (blobs.exists(kept), blobs.exists(loose)) == (True, False)
    assert wanted(fresh_house, "scores") == before
    assert wanted(fresh_house, "scores")["model_tree"][0]["digest"] == kept
