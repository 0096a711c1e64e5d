"""Logged models, files and histories in an outage: promised, read back, and made under the promised ids."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

import pytest
from tests.agent.test_relay import API, FILES, Relayed
from tests.server.harness import open_house

MODELS = f"{API}/logged-models"
SEARCH = f"{MODELS}/search"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with open_house(tmp_path_factory.mktemp("house")) as made:
        yield made


@pytest.fixture
def relayed(house, tmp_path):
    made = Relayed(house, tmp_path, number=1)
    yield made
    made.close()


@pytest.fixture
def later(house, tmp_path):
    made = Relayed(house, tmp_path, number=2)
    yield made
    made.close()


def create(relayed: Relayed, name: str = "m", **more: Any) -> dict[str, Any]:
    message = {"experiment_id": relayed.experiment, "source_run_id": relayed.job, "name": name, **more}
    status, body = relayed.send("POST", MODELS, message)
    assert status == 200, body
    info: dict[str, Any] = json.loads(body)["model"]["info"]
    return info


def listed(relayed: Relayed, path: str) -> Any:
    query = urllib.parse.urlencode({"path": path})
    status, body = relayed.send("GET", f"{FILES}?{query}")
    assert status in {200, 503}, body
    return json.loads(body).get("files", []) if status == 200 else None


def test_a_model_logged_in_an_outage_is_the_promised_one(relayed):
    relayed.log(0)
    relayed.gate.close()
    info = create(relayed, "digits", params=[{"key": "a", "value": "1"}], tags=[{"key": "t", "value": "x"}])
    model_id = info["model_id"]
    root = f"{relayed.experiment}/models/{model_id}/artifacts"
    assert (info["status"], info["artifact_uri"]) == ("LOGGED_MODEL_PENDING", f"mlflow-artifacts:/{root}")
    assert relayed.send("POST", f"{MODELS}/{model_id}/params", {"params": [{"key": "b", "value": "2"}]})[0] == 200
    assert relayed.send("POST", f"{MODELS}/{model_id}/params", {"params": [{"key": "b", "value": "3"}]})[0] == 400
    assert relayed.send("PATCH", f"{MODELS}/{model_id}/tags", {"tags": [{"key": "u", "value": "y"}]})[0] == 200
    relayed.post("outputs", models=[{"model_id": model_id, "step": 0}])
    assert relayed.run()["outputs"] == {"model_outputs": [{"model_id": model_id, "step": 0}]}
    assert relayed.send("PUT", f"{FILES}/{root}/MLmodel", b"flavors: {}")[0] == 200
    assert relayed.send("PUT", f"{FILES}/{root}/data/model.pkl", b"p" * 3_000_000)[0] == 200
    assert relayed.send("PATCH", f"{MODELS}/{model_id}", {"status": "LOGGED_MODEL_READY"})[0] == 200
    shown = json.loads(relayed.send("GET", f"{MODELS}/{model_id}")[1])["model"]
    assert shown["info"]["status"] == "LOGGED_MODEL_READY"
    assert shown["data"]["params"] == [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
    question = {"experiment_ids": [relayed.experiment], "filter": "name = 'digits'"}
    assert json.loads(relayed.send("POST", SEARCH, question)[1])["models"] == [shown]
    assert listed(relayed, root) == [
        {"path": "MLmodel", "is_dir": False, "file_size": 11},
        {"path": "data", "is_dir": True},
    ]
    assert relayed.send("GET", f"{FILES}/{root}/data/model.pkl") == (200, b"p" * 3_000_000)
    assert relayed.send("GET", f"{FILES}/{root}/none")[0] == 404
    relayed.end_outage()
    made = relayed.house.ok("GET", f"{MODELS}/{model_id}")["model"]
    tags = {tag["key"]: tag["value"] for tag in made["info"]["tags"]}
    assert (tags["t"], tags["u"]) == ("x", "y")
    assert (made["info"]["name"], made["info"]["status"]) == ("digits", "LOGGED_MODEL_READY")
    assert (made["info"]["source_run_id"], made["data"]["params"]) == (relayed.job, shown["data"]["params"])
    assert relayed.house.ask("GET", f"{FILES}/{root}/data/model.pkl").body == b"p" * 3_000_000
    run = relayed.house.ok("GET", f"{API}/runs/get?run_id={relayed.job}")["run"]
    assert run["outputs"]["model_outputs"][0]["model_id"] == model_id
    assert relayed.notes == []


def test_a_name_of_ones_own_is_kept_for_a_model_without_one(relayed):
    relayed.gate.close()
    info = create(relayed, "")
    relayed.end_outage()
    assert relayed.house.ok("GET", f"{MODELS}/{info['model_id']}")["model"]["info"]["name"] == info["name"]


def test_only_models_of_the_job_are_promised_and_changed(relayed):
    foreign = relayed.house.ok("POST", MODELS, {"experiment_id": relayed.experiment, "name": "theirs"})
    foreign_id = foreign["model"]["info"]["model_id"]
    relayed.gate.close()
    for message in ({"experiment_id": "0"}, {"experiment_id": relayed.experiment, "source_run_id": "another"}):
        assert relayed.send("POST", MODELS, message)[0] == 503
    assert relayed.send("POST", MODELS, {"experiment_id": relayed.experiment, "name": "a/b"})[0] == 400
    assert relayed.send("PATCH", f"{MODELS}/{foreign_id}", {"status": "LOGGED_MODEL_READY"})[0] == 503
    path = f"{FILES}/{relayed.experiment}/models/{foreign_id}/artifacts/x"
    assert relayed.send("PUT", path, b"x")[0] == 503
    assert relayed.send("GET", f"{MODELS}/{foreign_id}")[0] == 503
    question = {"experiment_ids": [relayed.experiment], "filter": "name = 'theirs'"}
    assert relayed.send("POST", SEARCH, question) == (200, b"{}")
    assert relayed.send("POST", SEARCH, {"experiment_ids": [relayed.experiment]})[0] == 503
    assert relayed.send("POST", f"{API}/runs/search", {"experiment_ids": [relayed.experiment]})[0] == 503
    status, body = relayed.send("POST", f"{API}/model-versions/create", {"name": "v", "source": "x"})
    assert (status, b"only it can register a model" in body) == (503, True)


def test_a_model_made_before_an_outage_is_finished_in_it(relayed):
    info = create(relayed, "early")
    root = f"{FILES}/{relayed.experiment}/models/{info['model_id']}/artifacts"
    assert relayed.send("PUT", f"{root}/one", b"1")[0] == 200
    relayed.gate.close()
    assert relayed.send("PUT", f"{root}/two", b"2")[0] == 200
    assert relayed.send("PATCH", f"{MODELS}/{info['model_id']}", {"status": "LOGGED_MODEL_READY"})[0] == 200
    names = [file["path"] for file in listed(relayed, f"{relayed.experiment}/models/{info['model_id']}/artifacts")]
    assert names == ["one", "two"]
    assert relayed.send("GET", f"{root}/one")[0] == 503
    assert relayed.send("GET", f"{root}/two") == (200, b"2")
    relayed.end_outage()
    shown = relayed.house.ok("GET", f"{MODELS}/{info['model_id']}")["model"]["info"]
    assert shown["status"] == "LOGGED_MODEL_READY"
    assert relayed.house.ask("GET", f"{root}/two").body == b"2"


def test_a_lost_answer_makes_no_second_model(relayed):
    relayed.log(0)
    relayed.gate.loses = lambda asked: b"/logged-models" in asked
    info = create(relayed, "once")
    relayed.gate.loses = lambda asked: False
    relayed.wait_until_back()
    question = {"experiment_ids": [relayed.experiment], "filter": "name = 'once'"}
    found = relayed.house.ok("POST", SEARCH, question)["models"]
    assert [model["info"]["model_id"] for model in found] == [info["model_id"]]


def test_a_file_written_again_is_read_as_it_was_written_last(relayed):
    relayed.gate.close()
    for content in (b"first", b"second"):
        assert relayed.send("PUT", relayed.file("a/t.json"), content)[0] == 200
    assert relayed.send("GET", relayed.file("a/t.json")) == (200, b"second")
    assert listed(relayed, f"{relayed.experiment}/{relayed.job}/artifacts/a") == [
        {"path": "t.json", "is_dir": False, "file_size": 6}
    ]
    relayed.end_outage()
    assert relayed.send("GET", relayed.file("a/t.json")) == (200, b"second")
    relayed.gate.close()
    assert relayed.send("GET", relayed.file("a/t.json"))[0] == 503


def test_what_may_lie_elsewhere_is_not_listed_and_not_denied(later):
    later.gate.close()
    root = f"{later.experiment}/{later.job}/artifacts"
    assert later.send("PUT", later.file("new.txt"), b"new")[0] == 200
    assert later.send("GET", later.file("new.txt")) == (200, b"new")
    assert later.send("GET", later.file("old.txt"))[0] == 503
    assert listed(later, root) is None
    question = {"experiment_ids": [later.experiment], "filter": "name = 'old'"}
    assert later.send("POST", SEARCH, question)[0] == 503
    later.log(1)
    assert later.send("GET", f"{API}/metrics/get-history?run_id={later.job}&metric_key=loss")[0] == 503


def test_a_history_is_whole_or_not_answered(relayed):
    for step in (2, 0, 1):
        relayed.log(step)
    path = f"{API}/metrics/get-history?run_id={relayed.job}&metric_key=loss"
    before = json.loads(relayed.send("GET", path)[1])
    relayed.gate.close()
    assert json.loads(relayed.send("GET", path)[1]) == before
    relayed.log(3)
    relayed.post("log-metric", key="loss", value="NaN", timestamp=1, step=9)
    points = json.loads(relayed.send("GET", path)[1])
    assert relayed.send("GET", f"{path}&max_results=2")[0] == 503
    assert relayed.send("GET", path.replace("=loss", "=none"))[0] == 503
    relayed.end_outage()
    assert json.loads(relayed.send("GET", path)[1]) == points
