"""Rows with named columns, as a data frame gives them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from onnx import TensorProto, helper

from penstock.inference.model import load_model
from penstock.inference.runtimes.base import ScoreRequest
from penstock.inference.runtimes.onnx import OnnxRuntime


@pytest.fixture
def frame_model(make_model):
    """Return a model with an input per column, as skl2onnx makes from a data frame."""
    return make_model(
        [helper.make_node("Sub", ["income", "age"], ["score"]), helper.make_node("Identity", ["city"], ["place"])],
        {
            "age": (TensorProto.FLOAT, ["n", 1]),
            "income": (TensorProto.FLOAT, ["n", 1]),
            "city": (TensorProto.STRING, ["n", 1]),
        },
        {"score": (TensorProto.FLOAT, ["n", 1]), "place": (TensorProto.STRING, ["n", 1])},
    )


@pytest.fixture
def matrix_model(make_model):
    """Return a model with one input of three columns, whose names are in a signature beside it."""
    folder = make_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": (TensorProto.FLOAT, ["n", 3])},
        {"y": (TensorProto.FLOAT, ["n", 1])},
        {"w": np.array([[1.0], [10.0], [100.0]], np.float32)},
        folder="matrix",
    )
    columns = [{"type": "double", "name": name} for name in "abc"]
    (folder / "MLmodel").write_text(f"flavors: {{onnx: {{}}}}\nsignature:\n  inputs: '{json.dumps(columns)}'\n")
    return folder


def ask(runtime, body):
    response = runtime.score(ScoreRequest(json.dumps(body).encode()))
    return response.status, json.loads(response.body)


def test_columns_are_taken_by_name_in_any_order(frame_model):
    runtime = OnnxRuntime(frame_model)
    forms = [
        {"columns": ["age", "income", "city"], "data": [[1, 10, "x"], [2, 20, "y"]]},
        {"columns": ["city", "age", "income"], "data": [["x", 1, 10], ["y", 2, 20]]},
        {"records": [{"income": 10, "age": 1, "city": "x"}, {"age": 2, "city": "y", "income": 20}]},
        {"data": [{"income": 10, "age": 1, "city": "x"}, {"age": 2, "city": "y", "income": 20}]},
        {"inputs": {"age": [[1], [2]], "income": [[10], [20]], "city": [["x"], ["y"]]}},
    ]
    for form in forms:
        assert ask(runtime, form) == (200, {"outputs": {"score": [[9.0], [18.0]], "place": [["x"], ["y"]]}})
    model = load_model(frame_model)
    assert model.predict(forms[1]).outputs["score"].tolist() == [[9.0], [18.0]]
    assert model.predict(forms[2]).outputs["score"].tolist() == [[9.0], [18.0]]


def test_a_signature_names_the_columns_of_a_matrix(matrix_model):
    runtime = OnnxRuntime(matrix_model)
    for form in (
        {"columns": ["c", "a", "b"], "data": [[3, 1, 2]]},
        {"records": [{"a": 1, "b": 2, "c": 3}]},
        {"data": [[1, 2, 3]]},
    ):
        assert ask(runtime, form) == (200, {"outputs": {"y": [[321.0]]}})


@pytest.mark.parametrize(
    ("body", "message", "hint"),
    [
        ({"columns": ["age", "incme", "city"], "data": [[1, 2, "x"]]}, "no column 'incme'", "'income'"),
        ({"columns": ["age", "income"], "data": [[1, 2]]}, "missing: city", "age, income, city"),
        ({"columns": ["age", "age", "city", "income"], "data": []}, "there twice", "age"),
        ({"columns": ["age", "income", "city"], "data": [[1, 2]]}, "data[0] has 2 values for 3 columns", ""),
        ({"columns": ["age", "income", "city"], "data": 3}, "no list of rows", ""),
        ({"columns": "age", "data": []}, "no list of names", "age, income, city"),
        ({"columns": ["age", "income", "city"], "data": [["x", 2, "x"]]}, "input 'age' holds", "float32"),
        ({"records": [{"age": 1, "income": 2, "city": "x"}, {"age": 1}]}, "records[1]: missing: income, city", ""),
        ({"records": [3]}, "no list of objects", ""),
        ({"records": {"age": 1}}, "no list of objects", ""),
    ],
)
def test_a_wrong_table_is_told_what_is_wrong(frame_model, body, message, hint):
    status, answer = ask(OnnxRuntime(frame_model), body)
    assert status == 400
    assert message in answer["message"]
    assert hint in answer.get("hint", "")


def test_the_sample_is_a_table_and_is_answered(frame_model, matrix_model):
    for folder in (frame_model, matrix_model):
        runtime = OnnxRuntime(folder)
        sample = runtime.describe()["sample_request"]
        assert set(sample) == {"columns", "data"}
        assert ask(runtime, sample)[0] == 200


def test_a_model_without_names_says_so(digits_folder):
    status, answer = ask(OnnxRuntime(digits_folder), {"records": [{"a": 1}]})
    assert status == 400
    assert "no names" in answer["message"]
