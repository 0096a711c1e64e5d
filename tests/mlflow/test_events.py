"""Which calls of the MLflow protocol leave an event: all that people change, and nothing that a job logs of itself."""

from __future__ import annotations

from typing import Any

import pytest
from tests.server.harness import House

API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
POINT = {"key": "m", "value": 1, "timestamp": 1}
DATASET = {"dataset": {"name": "digits", "digest": "1", "source_type": "local", "source": "x"}}
MODEL_JSON = '{"run_id": "r", "artifact_path": "net", "utc_time_created": "now", "flavors": {}}'


def calls(house: House, run: str) -> list[tuple[str, str, dict[str, Any], list[tuple[str, dict[str, str]]]]]:
    """Return method, path, message and the events (verb, detail) of each call."""
    info = house.ok("GET", f"{API}/runs/get?run_id={run}")["run"]["info"]
    experiment = info["experiment_id"]
    model = house.ok("POST", f"{API}/logged-models", {"experiment_id": experiment, "name": "net"})["model"]["info"]
    file = f"{FILES}/{info['artifact_uri'].partition(':/')[2]}/a/f.txt"
    param, tag = {"key": "p", "value": "1"}, {"key": "t", "value": "1"}
    many = [{"key": f"{index:03}{'k' * 200}", "value": "1"} for index in range(100)]
    cut = ", ".join(one["key"] for one in many)[:2000] + "…"
    batch = f"{API}/runs/log-batch"
    return [
        ("POST", f"{API}/runs/log-metric", POINT, []),
        ("POST", batch, {"metrics": [POINT]}, []),
        (
            "POST",
            f"{API}/runs/log-parameter",
            {"key": "lr", "value": "1"},
            [("log-param", {"key": "lr", "value": "1"})],
        ),
        ("POST", batch, {"metrics": [POINT], "params": [param]}, [("log-params", {"keys": "p"})]),
        ("POST", batch, {"params": many}, [("log-params", {"keys": cut})]),
        ("POST", batch, {"tags": [tag]}, [("set-tags", {"keys": "t"})]),
        ("POST", batch, {"params": [param], "tags": [tag]}, [("log-batch", {"params": "p", "tags": "t"})]),
        (
            "POST",
            f"{API}/runs/log-inputs",
            {"datasets": [DATASET], "models": [{"model_id": model["model_id"]}]},
            [("log-inputs", {"datasets": "digits", "models": model["model_id"]})],
        ),
        (
            "POST",
            f"{API}/runs/outputs",
            {"models": [{"model_id": model["model_id"]}]},
            [("log-outputs", {"models": model["model_id"]})],
        ),
        (
            "POST",
            f"{API}/runs/log-model",
            {"model_json": MODEL_JSON},
            [("set-tag", {"key": "mlflow.log-model.history"})],
        ),
        ("PUT", file, {}, [("upload-artifact", {"path": "a/f.txt"})]),
        ("DELETE", file, {}, [("delete-artifacts", {"path": "a/f.txt"})]),
    ]


def events(house: House, run: str) -> list[tuple[str, dict[str, str]]]:
    found = house.ok("GET", f"/api/v1/events?ref=run:{run}&limit=1000")["items"]
    return [(event["verb"], event["detail"]) for event in found]


@pytest.mark.parametrize("who", ["person", "job"])
def test_one_event_for_each_change_of_a_person_and_none_for_a_job_s_own(house: House, who: str) -> None:
    job = house.submit(name=f"events-{who}", experiment_name="events")
    token = house.begin(job)[1] if who == "job" else house.token
    for method, path, message, expected in calls(house, job.name):
        before = events(house, job.name)
        sent = {"run_id": job.name, **message} if method == "POST" else None
        answer = house.ask(method, path, sent, body=b"x" if method == "PUT" else None, token=token)
        assert answer.status == 200, (path, answer.body)
        after = events(house, job.name)
        assert len(after) == len(before) + (method == "DELETE" if who == "job" else len(expected)), path
        if who == "person":
            assert [one for one in after if one not in before] == expected, path


def test_the_parameters_of_a_logged_model_are_an_event(house: House) -> None:
    model = house.ok("POST", f"{API}/logged-models", {"experiment_id": "0", "name": "net"})["model"]["info"]["model_id"]
    house.ok("POST", f"{API}/logged-models/{model}/params", {"params": [{"key": "depth", "value": "3"}]})
    found = house.ok("GET", f"/api/v1/events?ref=logged-model:{model}")["items"]
    assert [(one["verb"], one["detail"]) for one in found if one["verb"] != "create"] == [
        ("log-params", {"keys": "depth"})
    ]
