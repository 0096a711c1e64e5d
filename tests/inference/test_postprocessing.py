"""top_k, threshold and outputs: of a deployment, of a request, of ``predict``; they mean the same everywhere."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from penstock.entities.image import Postprocessing
from penstock.inference.classifier import Ranked, predictions_of
from penstock.inference.model import load_model
from penstock.inference.outputs import ClassifierOutputs
from penstock.inference.runtimes.base import ScoreRequest
from penstock.inference.runtimes.onnx import OnnxRuntime

SCORES = ClassifierOutputs(None, "p")


def ask(runtime, body, query=""):
    is_picture = isinstance(body, bytes)
    content = body if is_picture else json.dumps(body).encode()
    response = runtime.score(ScoreRequest(content, "image/png" if is_picture else "application/json", query=query))
    return response.status, json.loads(response.body)


def test_the_best_k_are_in_order_and_ties_keep_the_models_order():
    rows = np.array([[0.2, 0.3, 0.3, 0.2]], np.float32)
    (found,) = predictions_of(SCORES, {"p": rows}, ("a", "b", "c", "d"), Postprocessing(top_k=3))
    assert found.top is not None
    assert [one.label for one in found.top] == ["b", "c", "a"]
    assert found.top[0] == Ranked("b", 1, found.probability or 0.0)


def test_below_the_threshold_there_is_no_label():
    rows = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
    first, second = predictions_of(SCORES, {"p": rows}, ("a", "b"), Postprocessing(threshold=0.6, top_k=2))
    assert (first.label, first.top) == ("b", (Ranked("b", 1, 0.75),))
    assert (second.label, second.index, second.probability, second.top) == (None, 0, 0.5, ())


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(2, 700)), elements=st.floats(-50, 50, width=32)),
    st.integers(1, 12),
)
def test_top_k_is_a_stable_sort_whatever_the_size(rows, k):
    for row, found in zip(rows, predictions_of(SCORES, {"p": rows}, (), Postprocessing(top_k=k)), strict=True):
        assert found.top is not None
        expected = [p.index for p in found.top]
        assert len(expected) == min(k, len(row))
        probabilities = [one.probability for one in found.top]
        assert probabilities == sorted(probabilities, reverse=True)
        assert found.index == expected[0] == int(np.argmax(row)) or probabilities[0] == found.probability
        left_out = np.delete(row, expected)
        assert not left_out.size or left_out.max() <= row[expected].min() + 1e-4


def test_a_request_and_its_deployment_agree(digits_folder, digits):
    pictures, _, _ = digits
    asked = OnnxRuntime(digits_folder)
    fixed = OnnxRuntime(digits_folder, None, Postprocessing(top_k=3, threshold=0.01, outputs=False))
    text = base64.b64encode(pictures[3]).decode()
    options = {"top_k": 3, "threshold": 0.01, "outputs": False}
    forms = [
        ask(asked, {"image": text, **options}),
        ask(asked, {"images": [text], **options}),
        ask(asked, pictures[3], "top_k=3&threshold=0.01&outputs=false&other=x"),
        ask(fixed, {"image": text}),
        ask(fixed, pictures[3]),
    ]
    assert all(form == forms[0] for form in forms)
    status, answer = forms[0]
    assert status == 200
    assert list(answer) == ["predictions"]
    assert len(answer["predictions"][0]["top"]) <= 3
    assert ask(fixed, {"image": text, "top_k": 1, "outputs": True})[1]["outputs"]
    predicted = load_model(digits_folder, postprocessing=Postprocessing(threshold=0.01)).predict(pictures[3], top_k=3)
    assert [one.index for one in predicted.predictions[0].top or ()] == [
        one["index"] for one in answer["predictions"][0]["top"]
    ]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"data": [[0.0] * 64], "top_k": 0}, "top_k"),
        ({"data": [[0.0] * 64], "top_k": "x"}, "top_k"),
        ({"data": [[0.0] * 64], "threshold": 2}, "threshold"),
        ({"data": [[0.0] * 64], "treshold": 0.5}, "unknown key 'treshold'"),
        ({"top_k": 3}, "options alone"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(digits_folder, body, words):
    status, answer = ask(OnnxRuntime(digits_folder), body)
    assert status == 400
    assert words in answer["message"]


def test_scores_without_a_telling_name_are_chosen_from_when_asked(make_model):
    from onnx import TensorProto, helper

    folder = make_model(
        [helper.make_node("Identity", ["x"], ["y"])],
        {"x": (TensorProto.FLOAT, ["n", 2])},
        {"y": (TensorProto.FLOAT, ["n", 2])},
    )
    runtime = OnnxRuntime(folder)
    assert ask(runtime, {"data": [[0.25, 0.75]]}) == (200, {"outputs": {"y": [[0.25, 0.75]]}})
    status, answer = ask(runtime, {"data": [[0.25, 0.75]], "top_k": 1, "outputs": False})
    assert (status, answer["predictions"][0]["top"]) == (200, [{"label": 1, "index": 1, "probability": 0.75}])
    model = load_model(folder)
    assert [p.index for p in model.predict(np.array([[0.25, 0.75]], np.float32), threshold=0.5)] == [1]


def test_a_model_without_scores_says_so_when_asked(make_model):
    from onnx import TensorProto, helper

    folder = make_model(
        [helper.make_node("Identity", ["x"], ["y"])],
        {"x": (TensorProto.FLOAT, ["n"])},
        {"y": (TensorProto.FLOAT, ["n"])},
        folder="plain",
    )
    status, answer = ask(OnnxRuntime(folder), {"data": [0.25], "top_k": 1})
    assert status == 400
    assert "no scores" in answer["message"]


def test_a_bad_query_is_refused(digits_folder, digits):
    status, answer = ask(OnnxRuntime(digits_folder), digits[0][0], "top_k=five")
    assert status == 400
    assert "top_k in the query" in answer["message"]


def test_rows_decoded_by_type_are_those_decoded_at_length(digits_folder, digits):
    _, rows, _ = digits
    runtime = OnnxRuntime(digits_folder)
    for count in (1, 2, 7):
        plain = {"data": rows[:count].tolist()}
        assert ask(runtime, plain) == ask(runtime, {"inputs": {"X": plain["data"]}})
    assert ask(runtime, {"data": [[1] * 64]}) == ask(runtime, {"inputs": [[1.0] * 64]})
    assert ask(runtime, {"data": [[True] * 64]}) == ask(runtime, {"inputs": [[1.0] * 64]})
    assert ask(runtime, {"data": []})[0] == ask(runtime, {"inputs": []})[0]
