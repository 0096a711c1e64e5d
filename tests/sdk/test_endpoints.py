from __future__ import annotations

from pathlib import Path

import pytest

from penstock.entities.endpoint import OnlineDeploymentSpec, OnlineEndpointSpec
from penstock.entities.errors import (
    AuthenticationError,
    ConflictError,
    NotFoundError,
    PenstockError,
    RefusedError,
    SpecError,
)
from penstock.sdk.http import HttpClient

SCORE = """
import json, os
def init():
    global word
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "word.txt")) as file:
        word = file.read()
    print("loaded", word)
def run(raw_data):
    return {"word": word, "count": len(json.loads(raw_data)["data"])}
"""


@pytest.fixture
def spec(tmp_path: Path) -> OnlineDeploymentSpec:
    (tmp_path / "word.txt").write_text("first")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(SCORE)
    return OnlineDeploymentSpec.model_validate(
        {
            "name": "blue",
            "endpoint_name": "words",
            "model": {"name": "word", "path": str(tmp_path / "word.txt")},
            "code_configuration": {"code": str(tmp_path / "code"), "scoring_script": "score.py"},
        }
    )


def test_endpoint_from_nothing_to_an_answer_and_back(ws, spec, tmp_path: Path) -> None:
    created = ws.endpoints.create(OnlineEndpointSpec(name="words", description="says words"))
    assert created.scoring_uri.endswith("/endpoints/words/score")
    blue = ws.endpoints.deploy(spec, all_traffic=True)
    assert blue.ready_revision == blue.revision
    assert ws.endpoints.get("words").traffic == {"blue": 100}
    assert ws.endpoints.invoke("words", {"data": [1, 2]}) == {"word": "first", "count": 2}

    (tmp_path / "word.txt").write_text("second")
    ws.endpoints.deploy(spec.model_copy(update={"name": "green-one"}))
    assert ws.endpoints.invoke("words", {"data": []}) == {"word": "first", "count": 0}
    assert ws.endpoints.invoke("words", {"data": []}, deployment="green-one")["word"] == "second"
    assert ws.endpoints.set_traffic("words", {"green-one": 100}).traffic == {"green-one": 100}
    assert ws.endpoints.invoke("words", b'{"data": [0]}')["count"] == 1
    assert "loaded second" in ws.endpoints.get_logs("words", "green-one")

    assert {found.name for found in ws.endpoints.list_deployments("words")} == {"blue", "green-one"}
    with pytest.raises(ConflictError):
        ws.endpoints.delete_deployment("words", "green-one")
    ws.endpoints.delete_deployment("words", "blue")
    with pytest.raises(NotFoundError):
        ws.endpoints.get_deployment("words", "blue")

    stranger = HttpClient(created.scoring_uri.partition("/endpoints/")[0], "wrong")
    with pytest.raises(AuthenticationError):
        stranger.request("POST", "/endpoints/words/score", body=b"{}")
    stranger.close()

    ws.endpoints.delete("words")
    assert "words" not in {found.name for found in ws.endpoints.list()}


def test_deployment_that_fails_says_why(ws, spec, tmp_path: Path) -> None:
    (tmp_path / "code" / "score.py").write_text(
        "def init():\n    raise RuntimeError('no luck today')\ndef run(x): ...\n"
    )
    ws.endpoints.create("words")
    with pytest.raises(RefusedError, match=r"blue.*failed") as caught:
        ws.endpoints.deploy(spec)
    assert "get-logs" in caught.value.hint
    assert "no luck today" in ws.endpoints.get_logs("words", "blue")
    ws.endpoints.delete("words")


def test_a_name_that_cannot_be_one_is_a_spec_error(ws) -> None:
    with pytest.raises(SpecError, match="name"):
        ws.endpoints.create("a b")


def test_deployment_without_its_endpoint_is_refused(ws, spec) -> None:
    with pytest.raises(PenstockError, match="nowhere"):
        ws.endpoints.deploy(spec.model_copy(update={"endpoint_name": "nowhere"}))
