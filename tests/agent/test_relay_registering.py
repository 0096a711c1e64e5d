"""Registering models in an outage: refused at once, and done once however often its answers are lost."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.agent.test_relay import API, Relayed
from tests.mlflow.venvs import CLIENT, make_venv
from tests.server.harness import open_house

MODELS, VERSIONS = f"{API}/registered-models/create", f"{API}/model-versions/create"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with open_house(tmp_path_factory.mktemp("house")) as made:
        yield made


@pytest.fixture
def relayed(house, tmp_path):
    made = Relayed(house, tmp_path)
    yield made
    made.close()


def version_of(relayed: Relayed, name: str) -> dict[str, Any]:
    return {"name": name, "source": f"runs:/{relayed.job}/model", "run_id": relayed.job}


def versions(relayed: Relayed, name: str) -> list[str]:
    found = relayed.house.ok("GET", f"{API}/model-versions/search?filter=name%3D'{name}'")
    return [version["version"] for version in found.get("model_versions", [])]


def test_a_lost_answer_makes_no_second_version(relayed):
    relayed.log(0)
    for path, message in ((MODELS, {"name": "once"}), (VERSIONS, version_of(relayed, "once"))):
        relayed.gate.loses = lambda asked: b"/create" in asked
        for _ in range(3):
            assert relayed.send("POST", path, message)[0] == 503
            relayed.wait_until_back()
        relayed.gate.loses = lambda asked: False
        status, body = relayed.send("POST", path, message)
        assert status == 200, body
    assert versions(relayed, "once") == ["1"]
    events = relayed.house.ok("GET", "/api/v1/events?ref=model:once*")["items"]
    assert [event["ref"] for event in events if event["verb"] == "create"] in (
        ["model:once", "model:once:1"],
        ["model:once:1", "model:once"],
    )


def test_what_was_answered_and_is_asked_for_again_is_made_again(relayed):
    assert relayed.send("POST", MODELS, {"name": "again"})[0] == 200
    assert relayed.send("POST", MODELS, {"name": "again"})[0] == 400
    for _ in range(2):
        assert relayed.send("POST", VERSIONS, version_of(relayed, "again"))[0] == 200
    assert sorted(versions(relayed, "again")) == ["1", "2"]


def test_in_an_outage_it_is_refused_at_once_and_said_once(relayed):
    relayed.log(0)
    for _ in range(2):
        relayed.notes.clear()
        relayed.gate.close()
        for message in ({"name": "later"}, version_of(relayed, "later")):
            status, body = relayed.send("POST", MODELS if len(message) == 1 else VERSIONS, message)
            assert status == 503
            assert "only it can register a model" in json.loads(body)["message"]
        assert len(relayed.notes) == 1
        assert relayed.notes[0].startswith("MLflow's registered-models/create waits for the server, which is away")
        relayed.end_outage()
        relayed.send("POST", MODELS, {"name": "later"})
    assert relayed.send("POST", VERSIONS, version_of(relayed, "later"))[0] == 200
    assert versions(relayed, "later") == ["1"]


def test_a_mark_of_another_shape_or_of_a_person_marks_nothing(relayed):
    house = relayed.house
    house.ok("POST", MODELS, {"name": "marked"})
    for token, mark in ((relayed.token, "short"), (relayed.token, "g" * 32), (house.token, "0" * 32)):
        for _ in range(2):
            sent = version_of(relayed, "marked")
            assert house.ask("POST", VERSIONS, sent, token=token, headers={"x-penstock-once": mark}).status == 200
    assert len(versions(relayed, "marked")) == 6


REGISTER = """
import mlflow, sys
name = sys.argv[1]
with mlflow.start_run() as run:
    mlflow.log_text("flavors: {}", "model/MLmodel")
    version = mlflow.register_model(f"runs:/{run.info.run_id}/model", name)
print(version.name, version.version)
"""


@pytest.mark.long
@pytest.mark.timeout(600)  # it may have to install MLflow
@pytest.mark.parametrize("call", ["registered-models/create", "model-versions/create"])
@pytest.mark.parametrize("what", ["the question is lost", "the answer is lost"])
def test_the_real_clients_registration_survives_an_outage(relayed, call, what):
    """The outage begins with the call and ends when the client has met it: its own waiting is what survives it."""
    python: Path = make_venv(*CLIENT)
    name, needle, gate = call.replace("/", "-") + what[4:8].strip(), call.encode(), relayed.gate
    met = threading.Event()

    def loses(asked: bytes) -> bool:
        if needle in asked and not met.is_set():
            gate.close()
            met.set()
            return True
        return False

    def cuts(asked: bytes) -> bytes:
        if needle in asked and not met.is_set():
            gate.close()
            met.set()
        return b""

    if what == "the answer is lost":
        gate.loses = loses
    else:
        gate.answers = cuts
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(relayed.folder),
        "MLFLOW_TRACKING_URI": relayed.assignment.environment["MLFLOW_TRACKING_URI"],
        "MLFLOW_TRACKING_TOKEN": relayed.token,
        "MLFLOW_RUN_ID": relayed.job,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    process = subprocess.Popen(
        [str(python), "-c", REGISTER, name],
        env=environment,
        cwd=relayed.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not any("waits for the server" in note for note in relayed.notes):
        met.wait(0.01)
    gate.open()
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors[-3000:]
    assert output.split()[-2:] == [name, "1"]
    assert versions(relayed, name) == ["1"]
