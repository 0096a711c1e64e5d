"""What ``testing.protocols`` promises, asked by the protocols' own clients, each in its own interpreter.

A subclass gives what is served, and its ``conftest`` the interpreters: ``triton_python`` (with ``tritonclient[http]``),
``mlflow_python`` (with ``mlflow``), ``azure_python`` (with ``azure-ai-ml``)::

    class TestOnnxClients(TritonConformance, MlflowConformance, AzureConformance, CurlConformance):
        @pytest.fixture
        def served(self):
            return Served(...)
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from penstock.testing.protocols import DATATYPES, Served, assert_equal

_GIVEN = """
import json, sys
given = json.load(sys.stdin)
place, key, name, deployment = (given[field] for field in ("place", "key", "name", "deployment"))
result = {}
"""

_PREPARE = (
    _GIVEN
    + """
import numpy as np
inputs = {n: np.array(t["data"], dtype=t["dtype"]).reshape(t["shape"]) for n, t in given["inputs"].items()}
def shown(array):
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": array.reshape(-1).tolist()}
def texts(array):
    return np.array([t.decode() if isinstance(t, bytes) else t for t in array.flat], dtype=object).reshape(array.shape)
def readable(array):
    return texts(array) if array.dtype.kind in "OSU" else array
"""
)

TRITON = (
    _PREPARE
    + """
import asyncio
import tritonclient.http as http
import tritonclient.http.aio as http_aio
from tritonclient.http.auth import BasicAuth
from tritonclient.utils import InferenceServerException
def auth():  # a new one each time: the client writes into the headers it is given
    return {"Authorization": "Bearer " + key}
datatypes = given["datatypes"]

def tensors(module, is_raw):
    made = []
    for n, value in inputs.items():
        tensor = module.InferInput(n, list(value.shape), datatypes[value.dtype.name])
        tensor.set_data_from_numpy(value, binary_data=is_raw)
        made.append(tensor)
    return made

def outputs(module, is_raw):
    return [module.InferRequestedOutput(n, binary_data=is_raw) for n in given["outputs"]]

def read(answer):
    return {n: shown(readable(answer.as_numpy(n))) for n in given["outputs"]}

with http.InferenceServerClient(place) as client:
    result["alive"] = [
        client.is_server_live(headers=auth()),
        client.is_server_ready(headers=auth()),
        client.is_model_ready(name, headers=auth()),
        client.is_model_ready(deployment, headers=auth()),
    ]
    result["server"] = client.get_server_metadata(headers=auth())
    result["model"] = client.get_model_metadata(name, headers=auth())
    version = result["model"]["versions"][0]
    found = result["answers"] = []
    for is_raw in (True, False):
        for wants in (None, True, False):
            asked = None if wants is None else outputs(http, wants)
            answer = client.infer(name, tensors(http, is_raw), outputs=asked, headers=auth(), request_id="seven")
            found.append(read(answer))
            result["id"] = answer.get_response()["id"]
    for packing in ("gzip", "deflate"):
        answer = client.infer(name, tensors(http, True), headers=auth(), request_compression_algorithm=packing,
                              response_compression_algorithm=packing)
        found.append(read(answer))
    found.append(read(client.infer(name, tensors(http, True), model_version=version, headers=auth())))
    waiting = [client.async_infer(name, tensors(http, True), headers=auth()) for _ in range(3)]
    found.extend(read(one.get_result()) for one in waiting)
    errors = result["errors"] = []
    for wrong in (
        lambda: client.infer(name, tensors(http, True)[:0], headers=auth()),
        lambda: client.infer(name, tensors(http, True), headers={"Authorization": "Bearer wrong"}),
        lambda: client.infer("nothing", tensors(http, True), headers=auth()),
        lambda: client.get_model_config(name, headers=auth()),
        lambda: client.infer(name, tensors(http, True), outputs=[http.InferRequestedOutput("none")], headers=auth()),
    ):
        try:
            wrong()
        except InferenceServerException as error:
            errors.append([error.status(), error.message()])

with http.InferenceServerClient(place) as client:
    client.register_plugin(BasicAuth("anybody", key))
    result["basic"] = client.is_server_ready()

async def later():
    async with http_aio.InferenceServerClient(place) as client:
        answer = await client.infer(name, tensors(http_aio, True), headers=auth())
        result["aio"] = [await client.is_model_ready(name, headers=auth()), read(answer)]

asyncio.run(later())
print("result" + json.dumps(result))
"""
)

MLFLOW = (
    _PREPARE
    + """
import pandas
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
host, _, rest = place.partition(":")
client = ScoringServerClient("anybody:" + key + "@" + host, rest)
client.wait_server_ready(timeout=5)
result["version"] = client.get_version()
result["named"] = json.loads(client.invoke(json.dumps({"inputs": given["nested"]})).to_json())
if len(inputs) == 1:
    (only,) = inputs.values()
    result["array"] = json.loads(client.invoke(only).to_json())
    result["params"] = json.loads(client.invoke(only, params={"a": 1}).to_json())
    result["list"] = json.loads(client.invoke(only.tolist()).to_json())
if all(value.ndim == 2 and value.shape[1] == 1 for value in inputs.values()):
    frame = pandas.DataFrame({n: value[:, 0] for n, value in inputs.items()})
    result["frame"] = client.invoke(frame).get_predictions().to_dict(orient="list")
try:
    client.invoke(json.dumps({"inputs": {"no such input": [1]}}))
except Exception as error:
    result["error"] = str(error)
print("result" + json.dumps(result))
"""
)

AZURE = (
    _GIVEN
    + """
import tempfile
from types import SimpleNamespace
from azure.ai.ml._utils._http_utils import HttpPipeline
from azure.ai.ml.entities import EndpointAuthKeys
from azure.ai.ml.operations import OnlineEndpointOperations
from azure.core.exceptions import HttpResponseError

class Cloud:  # Azure's control plane, which is elsewhere: it knows the address and the keys of the endpoint
    def get(self, **_):
        return SimpleNamespace(properties=SimpleNamespace(auth_mode="Key", scoring_uri=given["url"] + "/score"))
    def list_keys(self, **_):
        return EndpointAuthKeys(primary_key=key, secondary_key=key)
    def list(self, **_):
        return [deployment]

cloud = Cloud()
scope = SimpleNamespace(subscription_id="s", resource_group_name="g", workspace_name="w", registry_name=None,
                        _subscription_id="s", _resource_group_name="g", _workspace_name="w")
operations = OnlineEndpointOperations(
    scope, SimpleNamespace(show_progress=False, enable_telemetry=False, _show_progress=False, _enable_telemetry=False),
    SimpleNamespace(online_endpoints=cloud, online_deployments=cloud), SimpleNamespace(), SimpleNamespace(),
    requests_pipeline=HttpPipeline(),
)

def invoke(body, **more):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(body, file)
        file.flush()
        return operations.invoke(name, request_file=file.name, **more)

named = {"inputs": given["nested"]}
result["answer"] = json.loads(invoke(named))
result["of_deployment"] = json.loads(invoke(named, deployment_name=deployment))
try:
    invoke({"inputs": {"no such input": [1]}})
except HttpResponseError as error:
    result["error"] = [error.status_code, str(error)]
print("result" + json.dumps(result))
"""
)


def ask_with(python: Path, program: str, served: Served) -> Any:
    """Run a program with what is served, and return what it found."""
    given = {
        "url": served.url,
        "place": served.url.partition("//")[2],
        "key": served.key,
        "name": served.name,
        "deployment": served.deployment,
        "inputs": {name: _described(value) for name, value in served.inputs.items()},
        "outputs": list(served.outputs),
        "datatypes": DATATYPES,
        "nested": {name: value.tolist() for name, value in served.inputs.items()},
    }
    command = [str(python), "-W", "ignore", "-c", program]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.rpartition("result")[2])


def _described(value: Any) -> dict[str, Any]:
    return {"dtype": value.dtype.name, "shape": list(value.shape), "data": value.reshape(-1).tolist()}


def _check(found: Any, served: Served) -> None:
    """Compare outputs that a program showed."""
    for name, expected in served.outputs.items():
        shown = found[name]
        assert_equal(np.array(shown["data"], dtype=expected.dtype).reshape(shown["shape"]), expected)


def _check_values(found: Any, served: Served) -> None:
    """Compare outputs that are nested lists."""
    for name, expected in served.outputs.items():
        assert_equal(np.array(found[name], dtype=expected.dtype), expected)


class TritonConformance:
    """``tritonclient.http``: the blocking client and the one for asyncio."""

    @pytest.fixture
    def served(self) -> Served:
        """Return the served model."""
        raise NotImplementedError("a test class of a runtime gives this fixture")

    def test_tritons_client_gets_the_right_answers(self, served: Served, triton_python: Path) -> None:
        """In every form it can ask in."""
        found = ask_with(triton_python, TRITON, served)
        assert found["alive"] == [True] * 4
        assert found["basic"] is True
        assert found["server"]["extensions"] == ["binary_tensor_data", "classification"]
        assert {tensor["name"] for tensor in found["model"]["inputs"]} == set(served.inputs)
        assert found["id"] == "seven"
        assert len(found["answers"]) == 12
        for answer in [*found["answers"], found["aio"][1]]:
            _check(answer, served)
        assert found["aio"][0] is True
        assert [status for status, _ in found["errors"]] == ["400", "401", "404", "404", "400"]
        assert all("exception occurred in the client" not in message for _, message in found["errors"])


class MlflowConformance:
    """``mlflow.pyfunc.scoring_server.client``."""

    @pytest.fixture
    def served(self) -> Served:
        """Return the served model."""
        raise NotImplementedError("a test class of a runtime gives this fixture")

    def test_mlflows_client_gets_the_right_answers(self, served: Served, mlflow_python: Path) -> None:
        """With tensors, and with a DataFrame where the model has columns."""
        found = ask_with(mlflow_python, MLFLOW, served)
        assert found["version"]
        for form in ("named", "array", "params", "list"):
            if form in found:
                _check_values(found[form]["predictions"], served)
        if "frame" in found:
            for name, expected in served.outputs.items():
                assert np.allclose(found["frame"][name], expected.reshape(-1))
        assert "error code 400" in found["error"]
        assert "BAD_REQUEST" in found["error"]


class AzureConformance:
    """``azure-ai-ml``'s ``ml_client.online_endpoints.invoke``; only Azure's control plane is played."""

    @pytest.fixture
    def served(self) -> Served:
        """Return the served model."""
        raise NotImplementedError("a test class of a runtime gives this fixture")

    def test_azures_sdk_gets_the_right_answers(self, served: Served, azure_python: Path) -> None:
        """By the split and by deployment."""
        found = ask_with(azure_python, AZURE, served)
        for answer in (found["answer"], found["of_deployment"]):
            _check_values(answer["outputs"], served)
        assert found["error"][0] == 400


class CurlConformance:
    """``curl``, as the documentation has it."""

    @pytest.fixture
    def served(self) -> Served:
        """Return the served model."""
        raise NotImplementedError("a test class of a runtime gives this fixture")

    def test_curl_gets_the_right_answers(self, served: Served) -> None:
        """On each protocol's path; its ``--data-binary`` with a large body waits for 100-continue."""
        curl = shutil.which("curl")
        assert curl, "curl is needed"
        named = {name: value.tolist() for name, value in served.inputs.items()}
        body = json.dumps({"inputs": named}) + " " * 2000
        for path, part in (("/score", "outputs"), ("/invocations", "predictions")):
            command = [curl, "-sS", "--fail", "-H", f"Authorization: Bearer {served.key}"]
            command += ["-H", "Content-Type: application/json", "--data-binary", "@-", served.url + path]
            done = subprocess.run(command, input=body, capture_output=True, text=True, check=True, timeout=60)
            _check_values(json.loads(done.stdout)[part], served)
        place = urlsplit(served.url)
        command = [curl, "-sS", "--fail", "-u", f"anybody:{served.key}", f"http://{place.netloc}{place.path}/v2"]
        assert subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
