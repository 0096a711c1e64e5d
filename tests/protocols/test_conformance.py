"""ONNX models behind a real gateway: the protocols' promise, and what the gateway adds to it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.protocols.models import brightness, echo, graph, house, scores

from penstock.shim.png import encode_png
from penstock.testing.protocols import Caller, ProtocolConformance, Served


class TestNumbers(ProtocolConformance):
    @pytest.fixture
    def served(self, serve, key):
        rows = np.array([[1, 4, 3, 2], [9, 0, 0, 1]], np.float32)
        url = serve("scores", scores(), version="7", labels_txt="ant\nbee\ncat\ndog\n")
        return Served(url, key, {"x": rows}, {"scores": rows, "label": np.array([1, 0], np.int64)})

    def test_the_version_is_that_of_the_model(self, served):
        assert Caller(served)("GET", "/v2/models/scores").data["versions"] == ["7"]


class TestColumns(ProtocolConformance):
    @pytest.fixture
    def served(self, serve, key):
        area, rooms = np.array([[50], [60.5]], np.float32), np.array([[3], [2]], np.float32)
        url = serve("house", house())
        return Served(url, key, {"area": area, "rooms": rooms}, {"price": 2 * area + 10 * rooms})

    def test_a_table_is_answered_in_rows(self, served):
        call = Caller(served)
        answer = call("POST", "/invocations", b"rooms,area\n3,50\n", content_type="text/csv")
        assert answer.data == {"predictions": [{"price": 130.0}]}


class TestText(ProtocolConformance):
    @pytest.fixture
    def served(self, serve, key):
        words = np.array([["a", "grün"]], dtype=object)
        return Served(serve("words", echo(TensorProto.STRING, ["n", 2])), key, {"x": words}, {"y": words})


class TestPictures(ProtocolConformance):
    @pytest.fixture
    def served(self, serve, key):
        pixels = np.full((2, 3, 8, 8), 0.5, np.float32)
        means = np.full((2, 3), 0.5, np.float32)
        return Served(serve("pixels", brightness()), key, {"pixels": pixels}, {"means": means})

    def test_a_pictures_own_bytes_are_decoded(self, served):
        call = Caller(served)
        white = encode_png(8, 8, 1, b"\xff" * 64)
        for content_type in ("image/png", "application/octet-stream"):
            answer = call("POST", "/score", white, content_type=content_type)
            assert answer.data["outputs"]["means"] == [[1.0, 1.0, 1.0]]
        packed = len(white).to_bytes(4, "little") + white
        head = (
            b'{"inputs":[{"name":"pixels","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":%d}}]}'
            % len(packed)
        )
        answer = call("POST", "/v2/models/pixels/infer", head + packed, inference_header_content_length=str(len(head)))
        assert answer.data["outputs"][0]["data"] == [1.0, 1.0, 1.0]
        answer = call("POST", "/v2/models/pixels/infer", white, inference_header_content_length="0")
        assert answer.data["outputs"][0]["data"] == [1.0, 1.0, 1.0]


SCRIPT = """
def init(): pass
def run(data): return data
"""


def test_an_endpoints_own_address_and_head_are_answered(serve, key):
    url = serve("scores", scores(), version="7", labels_txt="ant\nbee\ncat\ndog\n")
    for address in (url, f"{url}/", f"{url}/v2/health/live/"):
        place = Caller(Served(address, key, {}, {}))
        assert place("GET", "").status == 200
        answer = place("HEAD", "")
        assert (answer.status, answer.body) == (200, b"")
        options = place("OPTIONS", "", key=None)
        assert (options.status, options.headers["allow"]) == (200, "GET, HEAD, OPTIONS")


def test_a_script_speaks_azures_protocol_and_says_so(bench, key):
    bench.deploy("spoken", bench.script(SCRIPT, name="script"))
    call = Caller(Served(f"http://127.0.0.1:{bench.port}/endpoints/spoken", key, {}, {}))
    sent = {"azureml_model_deployment": "script"}
    assert call("POST", "/score", {"a": 1}, **sent).data == '{"a": 1}'
    assert call("GET", "/", **sent).body == b"Healthy"
    assert call("GET", "/swagger.json", **sent).data["swagger"] == "2.0"
    assert call("GET", "/openapi.json", **sent).data["openapi"] == "3.1.0"
    assert call("GET", "/swagger.json?version=9", **sent).status == 404
    for method, path in (
        ("POST", "/invocations"),
        ("GET", "/v2"),
        ("POST", "/v2/models/spoken/infer"),
        ("GET", "/ping"),
    ):
        answer = call(method, path, **sent)
        assert answer.status == 404
        assert "It runs a score.py, which speaks Azure ML" in answer.data["hint"]


def test_health_checks_do_not_shift_the_traffic_split(bench, key):
    for name, amount in (("one", 1.0), ("two", 2.0)):
        bench.deploy_quietly(bench.adding(amount, name=name), "split")
    bench.door.change("split", traffic={"one": 50, "two": 50})
    call = Caller(Served(f"http://127.0.0.1:{bench.port}/endpoints/split", key, {}, {}))
    seen: Counter[str] = Counter()
    while not seen:  # until the gateway has heard of the split
        answer = call("POST", "/score", {"data": [[1, 2]]})
        seen.update([answer.headers["azureml-model-deployment"]] if answer.status == 200 else [])
    for number in range(40):
        path = ("/ping", "/v2/models/split", "/openapi.json", "/v2/health/ready")[number % 4]
        assert call("GET", path).status == 200
        seen[call("POST", "/score", {"data": [[1, 2]]}).headers["azureml-model-deployment"]] += 1
    assert min(seen.values()) >= 20


def test_a_path_names_a_deployment_or_a_version(bench, key):
    for name, amount in (("one", 1.0), ("two", 2.0)):
        bench.door.change("named", bench.adding(amount, name=name, revision=2), traffic={"one": 100})
        bench.door.wait_report(name, 2)
    call = Caller(Served(f"http://127.0.0.1:{bench.port}/endpoints/named", key, {}, {}))
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
    for path, expected in (
        ("named", "one"),
        ("one", "one"),
        ("two", "two"),
        ("named/versions/1", "one"),
        ("named/versions/2", "two"),
        ("two/versions/2", "two"),
    ):
        answer = call("POST", f"/v2/models/{path}/infer", body)
        assert answer.status == 200, answer.body
        assert answer.headers["azureml-model-deployment"] == expected
        assert answer.data["model_name"] == path.partition("/")[0]
        assert answer.data["outputs"][0]["data"] == ([2.0, 3.0] if expected == "one" else [3.0, 4.0])
    missing = call("POST", "/v2/models/two/versions/1/infer", body)
    assert (missing.status, missing.data["error"]) == (
        404,
        "endpoint named has no model of version '1'. It has: 2 (two).",
    )
    wrong = call("POST", "/v2/models/tow/infer", body)
    assert "Did you mean" in wrong.data["error"]


def test_a_model_that_fails_is_424_in_the_words_of_the_protocol(serve, key):
    four_alone = graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        {"x": (TensorProto.FLOAT, ["n"])},
        {"y": (TensorProto.FLOAT, [2, 2])},
        [helper.make_tensor("shape", TensorProto.INT64, [2], [2, 2])],
    )
    call = Caller(Served(serve("four", four_alone), key, {}, {}))
    tensor = {"name": "x", "datatype": "FP32", "shape": [3], "data": [1, 2, 3]}
    answer = call("POST", "/v2/models/four/infer", {"inputs": [tensor]})
    assert (answer.status, "error" in answer.data) == (424, True)
    assert answer.headers["ms-azureml-model-error-statuscode"] == "500"
    answer = call("POST", "/invocations", {"inputs": [1, 2, 3]})
    assert (answer.status, answer.data["error_code"]) == (424, "BAD_REQUEST")
    assert call("POST", "/invocations", {"inputs": [1, 2, 3, 4]}).status == 200
