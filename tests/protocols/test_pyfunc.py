"""A model of MLflow that runs as Python, behind the gateway: its two protocols, its description, MLflow's client."""

from __future__ import annotations

import json
import subprocess

import pytest
from fastapi.openapi.models import OpenAPI
from tests.mlflow.venvs import make_venv
from tests.protocols.mlflow_cases import SERVER

from penstock.testing.protocols import Caller, Served

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

MODEL = """
import sys
import mlflow, pandas
from mlflow.models import infer_signature

class Price(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        price = model_input["area"] * 2 + model_input["rooms"] * 10
        return (price * (params or {}).get("factor", 1.0)).to_numpy()

frame = pandas.DataFrame({"area": [50.5, 60.5], "rooms": [3.5, 2.5]})
signature = infer_signature(frame, frame["area"].to_numpy(), {"factor": 1.0})
mlflow.pyfunc.save_model(sys.argv[1], python_model=Price(), signature=signature, input_example=frame)
"""

CLIENT = """
import json, os, sys
import pandas
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
host, _, rest = os.environ["URL"].removeprefix("http://").partition(":")
client = ScoringServerClient("me:" + os.environ["KEY"] + "@" + host, rest)
frame = pandas.DataFrame({"rooms": [3.5], "area": [50.5]})
print(json.dumps(client.invoke(frame, params={"factor": 2.0})["predictions"]))
"""


@pytest.fixture(scope="module")
def url(bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pyfunc") / "model"
    python = str(make_venv(*SERVER))
    subprocess.run([python, "-W", "ignore", "-c", MODEL, str(folder)], check=True, capture_output=True, timeout=200)
    files = [path for path in folder.rglob("*") if path.is_file()]
    tree = [{"path": str(path.relative_to(folder)), **bench.put_blob(path.read_bytes())} for path in files]
    settings = {"max_concurrent_requests_per_instance": 1, "request_timeout_ms": 60000}
    report = bench.deploy(
        "price",
        {
            "name": "pyfunc",
            "revision": 1,
            "model_ref": "azureml:price:5",
            "model_tree": tree,
            "runtime": "mlflow",
            "interpreter": python,
            "request_settings": settings,
        },
    )
    assert report["state"] == "ready", report
    return f"http://127.0.0.1:{bench.port}/endpoints/price"


def test_its_description_is_true(url, key):
    call = Caller(Served(url, key, {}, {}))
    said = call("GET", "/openapi.json").data
    document = OpenAPI.model_validate(said)
    assert (document.openapi, document.info.title, document.info.version) == ("3.1.0", "price", "5")
    answers = {}
    for path, operations in said["paths"].items():
        if "get" in operations:
            assert call("GET", path).status == 200, path
        else:
            examples = operations["post"]["requestBody"]["content"]["application/json"]["examples"]
            answers[path] = call("POST", path, examples["input_example"]["value"]).data
    assert answers == {"/invocations": {"predictions": [136.0, 146.0]}, "/score": [136.0, 146.0]}
    swagger = call("GET", "/swagger.json").data
    answer = call("POST", "/score", swagger["definitions"]["ServiceInput"]["example"])
    assert (answer.status, answer.data) == (200, [136.0, 146.0])


def test_what_it_does_not_speak_is_a_404_that_says_so(url, key):
    call = Caller(Served(url, key, {}, {}))
    for method, path in (("GET", "/v2"), ("POST", "/v2/models/price/infer"), ("GET", "/v2/health/ready")):
        answer = call(method, path)
        assert answer.status == 404
        assert "which speaks MLflow" in answer.data["error"]
    answer = call("POST", "/invocations", b"{", content_type="application/json")
    assert (answer.status, answer.data["error_code"]) == (400, "BAD_REQUEST")
    assert call("POST", "/invocations", b"a", content_type="text/plain").status == 415


def test_mlflows_client_passes_tables_and_params(url, key, mlflow_python):
    environment = {"URL": url, "KEY": key}
    command = [str(mlflow_python), "-W", "ignore", "-c", CLIENT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=100)
    assert json.loads(done.stdout) == [272.0]
