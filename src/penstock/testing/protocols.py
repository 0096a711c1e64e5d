"""The suites every deployment without code passes: what it promises to clients of each protocol, over HTTP.

A subclass gives the address of a served model and a question whose answer is known::

    class TestOnnx(ProtocolConformance):
        @pytest.fixture
        def served(self, gateway):
            return Served(
                url="http://127.0.0.1:8080/endpoints/sums",
                key="...",
                inputs={"x": np.array([[1, 2]], "float32")},
                outputs={"y": np.array([[2, 3]], "float32")},
            )

The requests are written out here as the specifications have them, with the standard library's HTTP.
``testing.protocol_clients`` asks the same with the protocols' own clients.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

LENGTH = "inference-header-content-length"
DATATYPES = {
    "bool": "BOOL",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "object": "BYTES",
    **{f"{kind}{bits}": f"{kind.upper()}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True)
class Served:
    """A deployed model: the URL of its endpoint, a key, and tensors of which one gives the other."""

    url: str
    key: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    deployment: str = "blue"

    @property
    def name(self) -> str:
        """Return the endpoint's name."""
        return self.url.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """Return the body's JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Caller:
    """Asks one endpoint."""

    served: Served
    headers: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, method: str, path: str, body: Any = None, *, key: str | None = "", **headers: str) -> Answer:
        """Ask; ``body`` is bytes, or JSON types."""
        place = urlsplit(self.served.url)
        connection = http.client.HTTPConnection(place.netloc, timeout=60)
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        if key is not None:
            sent["authorization"] = f"Bearer {key or self.served.key}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        try:
            connection.request(method, place.path + path, body, sent)
            response = connection.getresponse()
            found = {name.lower(): text for name, text in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()


class ProtocolConformance:
    """What a deployed model promises, protocol by protocol."""

    @pytest.fixture
    def served(self) -> Served:
        """Return the served model."""
        raise NotImplementedError("a test class of a runtime gives this fixture")

    @pytest.fixture
    def call(self, served: Served) -> Caller:
        """Return what asks it."""
        return Caller(served)

    def test_score_takes_inputs_by_name(self, served: Served, call: Caller) -> None:
        """Azure ML's path; the answer holds the outputs by name."""
        answer = call("POST", "/score", {"inputs": {name: value.tolist() for name, value in served.inputs.items()}})
        assert answer.status == 200, answer.body
        assert answer.headers["azureml-model-deployment"] == served.deployment
        for name, expected in served.outputs.items():
            assert_equal(np.array(answer.data["outputs"][name], dtype=expected.dtype), expected)

    def test_invocations_take_inputs(self, served: Served, call: Caller) -> None:
        """MLflow's ``inputs``."""
        answer = call("POST", "/invocations", {"inputs": {name: v.tolist() for name, v in served.inputs.items()}})
        assert answer.status == 200, answer.body
        for name, expected in served.outputs.items():
            assert_equal(np.array(answer.data["predictions"][name], dtype=expected.dtype), expected)

    def test_invocations_refuse_as_mlflow_does(self, served: Served, call: Caller) -> None:
        """400 with an error code, 415 for another content type, 405 for another method."""
        for body in (b"{", b"[]", b'{"inputs": {}, "instances": []}', b'{"inputs": {"no such input": [1]}}'):
            answer = call("POST", "/invocations", body, content_type="application/json")
            assert answer.status == 400
            assert answer.data["error_code"] == "BAD_REQUEST"
            assert answer.data["message"]
        assert call("POST", "/invocations", b"a", content_type="text/plain").status == 415
        assert call("GET", "/invocations").status == 405

    def test_health(self, served: Served, call: Caller) -> None:
        """Every protocol's own."""
        assert call("GET", "/").body == b"Healthy"
        assert [call("GET", path).status for path in ("/ping", "/health", "/version")] == [200] * 3
        assert call("GET", "/v2/health/live").data == {"live": True}
        assert call("GET", "/v2/health/ready").data == {"ready": True}
        assert call("GET", "/v2").data["extensions"] == ["binary_tensor_data", "classification"]
        for name in (served.name, served.deployment):
            assert call("GET", f"/v2/models/{name}/ready").data["ready"] is True

    def test_metadata_names_inputs_and_outputs(self, served: Served, call: Caller) -> None:
        """With datatypes and ranks of what is really taken and given."""
        said = call("GET", f"/v2/models/{served.name}").data
        assert said["name"] == served.name
        (version,) = said["versions"]
        assert call("GET", f"/v2/models/{served.name}/versions/{version}").data == said
        for part, values in (("inputs", served.inputs), ("outputs", served.outputs)):
            found = {tensor["name"]: tensor for tensor in said[part]}
            assert found.keys() >= values.keys()
            for name, value in values.items():
                assert found[name]["datatype"] == DATATYPES[value.dtype.name]
                assert len(found[name]["shape"]) == value.ndim

    def test_inference_with_json_and_with_raw_tensors(self, served: Served, call: Caller) -> None:
        """Requests and answers in both forms; the id comes back."""
        for is_raw in (False, True):
            for wants_raw in (False, True):
                body, headers = inference_request(served, is_raw=is_raw, wants_raw=wants_raw)
                answer = call("POST", f"/v2/models/{served.name}/infer", body, **headers)
                assert answer.status == 200, answer.body
                assert (LENGTH in answer.headers) == wants_raw
                head, found = read_inference(answer)
                assert (head["id"], head["model_name"]) == ("seven", served.name)
                for name, expected in served.outputs.items():
                    assert_equal(found[name], expected)

    def test_inference_refuses_with_an_error(self, served: Served, call: Caller) -> None:
        """What the protocol's clients show is under ``error``, whoever refused."""
        path = f"/v2/models/{served.name}/infer"
        body, headers = inference_request(served, is_raw=True, wants_raw=False)
        for answer, status in (
            (call("POST", path, body[:-1], **headers), 400),
            (call("POST", path, b"{", content_type="application/json"), 400),
            (call("POST", path, body, key="wrong", **headers), 401),
            (call("POST", path, body, key=None, **headers), 401),
            (call("GET", path), 405),
            (call("POST", "/v2/models/nothing/infer", body, **headers), 404),
            (call("POST", f"/v2/models/{served.name}/versions/no-such/infer", body, **headers), 404),
            (call("GET", f"/v2/models/{served.name}/config"), 404),
        ):
            assert answer.status == status
            assert answer.data["error"]

    def test_every_door_wants_a_key(self, call: Caller) -> None:
        """Health and descriptions too; Basic with the key as password is taken as well."""
        for path in ("/", "/ping", "/v2", "/v2/health/live", "/openapi.json", "/swagger.json", "/no-such-path"):
            assert call("GET", path, key=None).status == 401
        login = base64.b64encode(f"anybody:{call.served.key}".encode()).decode()
        assert call("GET", "/ping", key=None, authorization=f"Basic {login}").status == 200

    def test_a_path_that_is_none_says_which_there_are(self, call: Caller) -> None:
        """With each protocol's name."""
        answer = call("POST", "/predict", {})
        assert answer.status == 404
        for protocol in ("Azure ML", "MLflow", "Open Inference Protocol v2"):
            assert protocol in answer.data["hint"]

    def test_every_example_of_the_description_is_answered(self, served: Served, call: Caller) -> None:
        """``/openapi.json`` is 3.1, names the key, and what it shows as a request is one."""
        said = call("GET", "/openapi.json").data
        assert said["openapi"].startswith("3.1")
        assert said["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
        assert said["servers"] == [{"url": urlsplit(served.url).path}]
        asked = 0
        for path, operations in said["paths"].items():
            if "get" in operations:
                assert call("GET", path).status == 200, path
                continue
            for example in (
                operations["post"]["requestBody"]["content"]["application/json"].get("examples", {}).values()
            ):
                answer = call("POST", path, example["value"])
                assert answer.status == 200, (path, answer.body)
                asked += 1
        assert asked

    def test_azures_clients_find_a_swagger(self, served: Served, call: Caller) -> None:
        """Version 2 unless another is asked for, with Azure's names; its example is answered."""
        said = call("GET", "/swagger.json").data
        assert said["swagger"] == "2.0"
        assert said["paths"]["/score"]["post"]["operationId"] == "RunMLService"
        assert call("POST", "/score", said["definitions"]["ServiceInput"]["example"]).status == 200
        assert call("GET", "/swagger.json?version=3").data["openapi"] == "3.0.3"
        assert call("GET", "/swagger.json?version=3.1").data["openapi"] == "3.1.0"
        assert call("GET", "/swagger.json?version=7").status == 404


def assert_equal(found: Any, expected: Any) -> None:
    """Compare two arrays; floats that went through JSON may differ in their last bit."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    else:
        assert found.tolist() == expected.tolist()


def inference_request(served: Served, *, is_raw: bool, wants_raw: bool) -> tuple[bytes, dict[str, str]]:
    """Return the body and headers of an inference request."""
    described: list[dict[str, Any]] = []
    parts = []
    for name, value in served.inputs.items():
        tensor = {"name": name, "shape": list(value.shape), "datatype": DATATYPES[value.dtype.name]}
        if is_raw:
            parts.append(_raw(value))
            described.append({**tensor, "parameters": {"binary_data_size": len(parts[-1])}})
        else:
            described.append({**tensor, "data": value.reshape(-1).tolist()})
    head = json.dumps({"id": "seven", "inputs": described, "parameters": {"binary_data_output": wants_raw}}).encode()
    headers = {"content_type": "application/json"}
    if is_raw:
        headers = {"content_type": "application/octet-stream", LENGTH.replace("-", "_"): str(len(head))}
    return b"".join([head, *parts]), headers


def read_inference(answer: Answer) -> tuple[Any, dict[str, Any]]:
    """Return an inference answer's JSON part, and its outputs by name."""
    length = int(answer.headers.get(LENGTH, len(answer.body)))
    head, rest = json.loads(answer.body[:length]), answer.body[length:]
    dtypes = {datatype: dtype for dtype, datatype in DATATYPES.items()}
    found = {}
    for output in head["outputs"]:
        dtype = np.dtype(dtypes[output["datatype"]])
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            values = np.array(output["data"], dtype=dtype)
        elif dtype.kind == "O":
            values = np.array(_texts(rest[:size]), dtype=object)
        else:
            values = np.frombuffer(rest[:size], dtype)
        rest = rest[size or 0 :]
        found[output["name"]] = values.reshape(output["shape"])
    assert not rest
    return head, found


def _raw(value: Any) -> bytes:
    if value.dtype.kind != "O":
        return bytes(value.tobytes())
    return b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in value.flat)


def _texts(content: bytes) -> list[str]:
    found = []
    while content:
        end = 4 + int.from_bytes(content[:4], "little")
        found.append(content[4:end].decode())
        content = content[end:]
    return found
