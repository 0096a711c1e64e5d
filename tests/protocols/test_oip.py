"""The Open Inference Protocol without HTTP: forms, datatypes, refusals."""

from __future__ import annotations

import base64
import gzip
import json
import zlib

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from tests.protocols.models import NUMBERS, ask, brightness, echo, house, infer, read_tensors, scores, write
from tests.protocols.triton_cases import RECORDED, ask_client

from penstock.inference.protocols.answering import answer
from penstock.inference.runtimes.base import ScoreRequest
from penstock.shim.png import encode_png

OFTEN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def echoes(tmp_path_factory):
    """One model a datatype, of any shape with two axes."""
    root = tmp_path_factory.mktemp("echoes")
    made = {name: write(root / name, echo(kind, ["n", "m"])) for name, (kind, _) in NUMBERS.items()}
    return {**made, "BYTES": write(root / "BYTES", echo(TensorProto.STRING, ["n", "m"]))}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return write(tmp_path_factory.mktemp("scores"), scores(), labels_txt="ant\nbee\ncat\ndog\n")


def described(datatype, array, **more):
    return {"name": "x", "datatype": datatype, "shape": list(array.shape), **more}


def binary(datatype, array):
    if datatype == "BYTES":
        encoded = [text.encode() for text in array.flat]
        content = b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
    else:
        content = array.tobytes()
    return described(datatype, array, parameters={"binary_data_size": len(content)}), content


def make_tensors():
    shapes = arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=5)
    return st.sampled_from(sorted(NUMBERS)).flatmap(
        lambda name: st.tuples(st.just(name), arrays.arrays(NUMBERS[name][1], shapes))
    )


@OFTEN
@given(make_tensors(), st.booleans())
def test_any_raw_tensor_comes_back_bit_for_bit(echoes, tensor, is_listed):
    datatype, array = tensor
    described_input, content = binary(datatype, array)
    request = {"inputs": [described_input], "parameters": {"binary_data_output": True}}
    if is_listed:
        request = {"inputs": [described_input], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}
    response = infer(echoes[datatype], request, content)
    assert response.status == 200, response.body
    answered = read_tensors(response)["y"]
    assert answered.tobytes() == array.tobytes()
    assert (answered.dtype, answered.shape) == (array.dtype, array.shape)


@OFTEN
@given(make_tensors(), st.booleans())
def test_any_json_tensor_comes_back(echoes, tensor, is_nested):
    datatype, array = tensor
    if array.dtype.kind == "f":
        array = np.nan_to_num(array)
    data = array.tolist() if is_nested else array.reshape(-1).tolist()
    response = infer(echoes[datatype], {"inputs": [described(datatype, array, data=data)]})
    assert response.status == 200, response.body
    assert np.array_equal(read_tensors(response)["y"], array)


@OFTEN
@given(st.lists(st.text(max_size=8), min_size=1, max_size=6), st.booleans(), st.booleans())
def test_any_text_comes_back(echoes, texts, is_raw, wants_raw):
    texts = [text.replace("\0", "") for text in texts]  # onnxruntime ends a text at its first zero
    array = np.array(texts, dtype=object).reshape(1, -1)
    described_input, content = binary("BYTES", array)
    if not is_raw:
        described_input, content = described("BYTES", array, data=texts), b""
    request = {"inputs": [described_input], "parameters": {"binary_data_output": wants_raw}}
    response = infer(echoes["BYTES"], request, *([content] if content else []))
    assert response.status == 200, response.body
    assert read_tensors(response)["y"].tolist() == [texts]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("name", "shape", "datatype", "data", "parameters")


@OFTEN
@given(st.sampled_from([*sorted(NUMBERS), "BYTES"]), st.sampled_from(FIELDS), JSON)
@example("FP32", "shape", [-1, -2])
@example("FP32", "shape", [1] * 200)
@example("FP32", "shape", [2**62, 2**62])
@example("FP32", "shape", [2**62, 0])
@example("FP32", "shape", [2**80, 0])
@example("FP32", "shape", [0, 10**6])
@example("FP32", "shape", [1] * 20_000)
@example("UINT8", "data", [300, 1])
@example("FP32", "data", [1e300, 1])
@example("FP32", "parameters", {"binary_data_size": True})
@example("FP32", "parameters", {"binary_data_size": -1})
def test_no_json_makes_it_fail(echoes, datatype, field, value):
    tensor = {"name": "x", "datatype": datatype, "shape": [1, 2], "data": [0, 1], field: value}
    response = infer(echoes[datatype], {"inputs": [tensor]})
    assert response.status in (200, 400)
    assert response.status == 200 or json.loads(response.body)["error"]


@OFTEN
@given(JSON)
def test_no_body_makes_it_fail(echoes, value):
    for path in ("/v2/models/m/infer", "/invocations", "/score"):
        status, said = ask(echoes["FP32"], path, json.dumps(value).encode())
        assert status in (200, 400)
        assert status == 200 or said.get("error") or said.get("message")


@OFTEN
@given(make_tensors(), st.data())
def test_a_damaged_raw_request_is_a_400(echoes, tensor, data):
    datatype, array = tensor
    described_input, content = binary(datatype, array)
    head = json.dumps({"inputs": [described_input]}).encode()
    body, length = head + content, len(head)
    kind = data.draw(st.sampled_from(["cut", "longer", "header", "shape", "size"]))
    if kind == "cut":
        body = body[: data.draw(st.integers(0, len(body) - 1))]
    elif kind == "longer":
        body += data.draw(st.binary(min_size=1, max_size=9))
    elif kind == "header":
        length = data.draw(st.integers(1, 3 * len(body)).filter(lambda n: n != len(head)))
    elif kind == "shape":
        described_input["shape"][0] += 1
        head = json.dumps({"inputs": [described_input]}).encode()
        body, length = head + content, len(head)
    else:
        described_input["parameters"]["binary_data_size"] += data.draw(st.sampled_from([-1, 1, 2**40]))
        head = json.dumps({"inputs": [described_input]}).encode()
        body, length = head + content, len(head)
    headers = {"inference-header-content-length": str(length)}
    response = answer(echoes[datatype], ScoreRequest(body, path="/v2/models/m/infer", headers=headers))
    assert response.status == 400
    assert json.loads(response.body)["error"]


@OFTEN
@given(st.binary(max_size=40), st.sampled_from(["text/csv", "application/json", "application/octet-stream", "a;b=c"]))
def test_no_bytes_make_it_fail(echoes, body, content_type):
    for path, header in (("/v2/models/m/infer", "0"), ("/v2/models/m/infer", "7"), ("/invocations", "")):
        headers = {"inference-header-content-length": header} if header else {}
        request = ScoreRequest(body, content_type, path=path, headers=headers)
        assert answer(echoes["FP32"], request).status in (200, 400, 415)
        assert answer(echoes["BYTES"], request).status in (200, 400, 415)


@pytest.mark.parametrize("length", ["-1", "1e3", "٣", "9" * 5000, "1 ", "0x1"])
def test_a_header_length_that_is_none_is_a_400(classifier, length):
    headers = {"inference-header-content-length": length}
    assert answer(classifier, ScoreRequest(b"{}", path="/v2/models/m/infer", headers=headers)).status == 400


def test_an_empty_raw_tensor_cannot_make_a_large_answer(classifier):
    tensor = {"name": "x", "datatype": "FP32", "shape": [2**40, 0], "parameters": {"binary_data_size": 0}}
    response = infer(classifier, {"inputs": [tensor]})
    assert "an empty tensor has no axis longer" in json.loads(response.body)["error"]


def test_id_names_and_versions_are_answered(classifier):
    request = {"id": "seven", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 4, 3, 2]}]}
    body = json.dumps(request).encode()
    response = answer(classifier, ScoreRequest(body, path="/v2/models/animals/versions/3/infer", version="3"))
    said = json.loads(response.body)
    assert (said["id"], said["model_name"], said["model_version"]) == ("seven", "animals", "3")
    assert said["outputs"] == [
        {"name": "label", "datatype": "INT64", "shape": [1], "data": [1]},
        {"name": "scores", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 4.0, 3.0, 2.0]},
    ]


def test_requested_outputs_come_alone_and_in_their_order(classifier):
    given_input = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 4, 3, 2]}
    asked = [{"name": "scores", "parameters": {"binary_data": True}}, {"name": "label"}]
    response = infer(classifier, {"inputs": [given_input], "outputs": asked})
    found = read_tensors(response)
    assert list(found) == ["scores", "label"]
    assert found["label"].tolist() == [1]
    assert response.content_type == "application/octet-stream"
    one = infer(classifier, {"inputs": [given_input], "outputs": asked[1:]})
    assert list(read_tensors(one)) == ["label"]


def test_classes_come_with_scores_and_labels(classifier):
    given_input = {"name": "x", "datatype": "FP32", "shape": [2, 4], "data": [1, 4, 3, 2, 9, 9, 0, 1]}
    asked = [{"name": "scores", "parameters": {"classification": 2}}]
    found = read_tensors(infer(classifier, {"inputs": [given_input], "outputs": asked}))["scores"]
    assert found.tolist() == [["4.000000:1:bee", "3.000000:2:cat"], ["9.000000:0:ant", "9.000000:1:bee"]]
    for wrong in (0, -1, True, "two", 1.5):
        asked = [{"name": "scores", "parameters": {"classification": wrong}}]
        assert infer(classifier, {"inputs": [given_input], "outputs": asked}).status == 400


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "X1"}, "no input 'X1'"),
        ({"datatype": "FP64"}, "The model takes FP32"),
        ({"datatype": "BF16"}, "Send it as FP32"),
        ({"datatype": "FLOAT32"}, "is no datatype"),
        ({"datatype": "fp32"}, "Did you mean 'FP32'"),
        ({"shape": [1, 5]}, "[1, 5]"),
        ({"shape": [1, 5], "data": [1, 2, 3, 4, 5]}, "The model takes [any, 4]"),
        ({"data": [[1, 2], [3, 4]]}, "nested as the shape says"),
        ({"data": [1, 2, None, 4]}, "null"),
        ({"data": None, "parameters": {"shared_memory_region": "a"}}, "shared memory is not offered"),
        ({"parameters": {"binary_data_size": 16}}, "both data and binary_data_size"),
    ],
)
def test_a_refusal_says_what_would_be_right(classifier, change, said):
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 4, 3, 2], **change}
    response = infer(classifier, {"inputs": [tensor]})
    assert response.status == 400
    assert said in json.loads(response.body)["error"]


def test_names_of_outputs_and_inputs_are_checked(classifier, tmp_path):
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 4, 3, 2]}
    wrong = infer(classifier, {"inputs": [tensor], "outputs": [{"name": "score"}]})
    assert "Did you mean 'scores'?" in json.loads(wrong.body)["error"]
    assert "twice" in json.loads(infer(classifier, {"inputs": [tensor, tensor]}).body)["error"]
    two = write(tmp_path / "house", house())
    area = {"name": "area", "datatype": "FP32", "shape": [1, 1], "data": [1]}
    assert "'rooms' is missing" in json.loads(infer(two, {"inputs": [area]}).body)["error"]
    assert infer(classifier, {"inputs": []}).status == 400


def test_a_models_metadata(classifier, echoes, tmp_path):
    status, said = ask(classifier, "/v2/models/animals", version="3")
    assert status == 200
    assert said == {
        "name": "animals",
        "versions": ["3"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, 4]},
        ],
    }
    for datatype, runtime in echoes.items():
        assert ask(runtime, "/v2/models/m")[1]["inputs"][0]["datatype"] == datatype


def test_pictures_are_decoded_here(tmp_path):
    runtime = write(tmp_path / "pixels", brightness())
    grey, black = encode_png(8, 8, 1, b"\xff" * 64), encode_png(20, 9, 1, b"\0" * 180)
    packed = b"".join(len(one).to_bytes(4, "little") + one for one in (grey, black))
    raw = {"name": "pixels", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(packed)}}
    texts = [base64.b64encode(one).decode() for one in (grey, black)]
    listed = {"name": "pixels", "datatype": "BYTES", "shape": [2], "data": texts}
    for response in (infer(runtime, {"inputs": [raw]}, packed), infer(runtime, {"inputs": [listed]})):
        assert read_tensors(response)["means"].tolist() == [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    damaged = infer(runtime, {"inputs": [{**listed, "data": [texts[0], "nothing"]}]})
    assert damaged.status == 400
    assert "base64" in json.loads(damaged.body)["error"]
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [1, 3, 8, 8], "data": [0.5] * 192}
    assert read_tensors(infer(runtime, {"inputs": [tensor]}))["means"].tolist() == [[0.5, 0.5, 0.5]]
    assert ask(runtime, "/v2/models/m")[1]["parameters"] == {"encoded_pictures": "pixels: BYTES of shape [-1]"}


def test_a_body_without_json_is_the_only_input(classifier, echoes, tmp_path):
    rows = np.array([[1, 4, 3, 2], [5, 0, 0, 0]], np.float32)
    path, headers = "/v2/models/m/infer", {"inference-header-content-length": "0"}
    response = answer(classifier, ScoreRequest(rows.tobytes(), path=path, headers=headers))
    assert read_tensors(response)["label"].tolist() == [1, 0]
    assert answer(classifier, ScoreRequest(rows.tobytes()[:-1], path=path, headers=headers)).status == 400
    assert answer(echoes["FP32"], ScoreRequest(rows.tobytes(), path=path, headers=headers)).status == 400
    picture = write(tmp_path / "pixels", brightness())
    response = answer(picture, ScoreRequest(encode_png(8, 8, 1, b"\xff" * 64), path=path, headers=headers))
    assert read_tensors(response)["means"].tolist() == [[1.0, 1.0, 1.0]]


def test_compressed_requests_are_taken_and_bombs_are_not(classifier):
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 4, 3, 2]}]}).encode()
    path = "/v2/models/m/infer"
    for encoding, packed in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body)), ("identity", body)):
        request = ScoreRequest(packed, path=path, headers={"content-encoding": encoding})
        assert answer(classifier, request).status == 200
    bomb = gzip.compress(b"\0" * (40 * 2**20))
    for encoding, packed, status in (
        ("gzip", bomb, 400),
        ("gzip", body, 400),
        ("gzip", gzip.compress(body)[:-9], 400),
        ("br", body, 415),
    ):
        request = ScoreRequest(packed, path=path, headers={"content-encoding": encoding})
        response = answer(classifier, request)
        assert response.status == status
        assert json.loads(response.body)["error"]


@pytest.mark.parametrize("case", json.loads(RECORDED.read_text()), ids=lambda case: case["datatype"])
def test_what_tritons_client_writes_is_understood(echoes, case):
    headers = {} if case["length"] is None else {"inference-header-content-length": str(case["length"])}
    request = ScoreRequest(base64.b64decode(case["body"]), path="/v2/models/m/infer", headers=headers)
    response = answer(echoes[case["datatype"]], request)
    assert response.status == 200, response.body
    found = read_tensors(response)["y"]
    assert (list(found.shape), found.reshape(-1).tolist()) == (case["shape"], case["data"])


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_records_are_what_tritons_client_writes():
    assert ask_client() == json.loads(RECORDED.read_text())
