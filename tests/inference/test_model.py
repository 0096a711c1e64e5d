from __future__ import annotations

import json

import numpy as np
import pytest

from penstock.entities.errors import UsageError
from penstock.inference.contract import BadInputError
from penstock.inference.model import load_model
from penstock.inference.runtimes.base import ScoreRequest
from penstock.inference.runtimes.onnx import OnnxRuntime
from penstock.plugins import MissingPartError, load, load_module, names


def test_predictions_are_the_endpoints_own(digits_folder, digits):
    pictures, _, labels = digits
    answer = load_model(digits_folder).predict(pictures)
    runtime = OnnxRuntime(digits_folder)
    served = [
        json.loads(runtime.score(ScoreRequest(picture, "image/png")).body)["predictions"][0] for picture in pictures
    ]
    assert answer.labels == [prediction["label"] for prediction in served]
    assert [p.label for p in answer] == answer.labels
    assert np.mean(np.array(answer.labels) == labels) > 0.9
    assert len(answer) == len(pictures)


def test_batches_do_not_change_the_answer(digits_folder, digits):
    pictures, _, _ = digits
    model = load_model(digits_folder)
    whole, parts = model.predict(pictures[:50]), model.predict(pictures[:50], batch_size=7)
    assert whole.indices == parts.indices
    np.testing.assert_allclose(whole.outputs["probabilities"], parts.outputs["probabilities"], atol=1e-6)


def test_one_picture_or_a_tensor_or_a_mapping(digits_folder, digits):
    pictures, rows, _ = digits
    model = load_model(digits_folder)
    expected = model.predict(pictures[:1]).labels
    assert model.predict(pictures[0]).labels == expected
    assert model.predict(rows[:1]).labels == expected
    assert model.predict({"X": rows[:1]}).labels == expected
    assert model.predict([]).labels == []
    with pytest.raises(BadInputError, match="shape"):
        model.predict(np.zeros((1, 3), np.float32))
    assert model.describe()["inputs"][0]["name"] == "X"


def test_several_inputs_want_a_mapping(make_model):
    from onnx import TensorProto, helper

    folder = make_model(
        [helper.make_node("Add", ["a", "b"], ["c"])],
        {"a": (TensorProto.FLOAT, ["n"]), "b": (TensorProto.FLOAT, ["n"])},
        {"c": (TensorProto.FLOAT, ["n"])},
    )
    model = load_model(folder / "model.onnx")
    with pytest.raises(UsageError, match="2 inputs"):
        model.predict(np.zeros(1, np.float32))
    answer = model.predict({"a": [1.0], "b": [2.0]})
    assert answer.outputs["c"].tolist() == [3.0]
    assert len(answer) == 0


def test_parts_are_loaded_by_name():
    assert load("runtime.onnx") is OnnxRuntime
    assert load("inference.load_model") is load_model
    assert "onnx" in names("runtime")
    with pytest.raises(UsageError, match=r"no part called 'runtime\.tensorflow'") as caught:
        load("runtime.tensorflow")
    assert "runtime.onnx" in str(caught.value)
    with pytest.raises(UsageError, match="no group of parts called 'nothing'"):
        load("nothing.at_all")


def test_a_missing_library_names_the_extra():
    with pytest.raises(MissingPartError, match=r"^the module 'penstock_has_no_such_module' is not installed"):
        load_module("penstock_has_no_such_module", extra="ray")
    with pytest.raises(MissingPartError, match=r"^a fleet needs the module"):
        load_module("penstock_has_no_such_module", needed_by="a fleet")
    with pytest.raises(MissingPartError, match=r"pip install 'penstock\[ray\]'"):
        load_module("penstock_has_no_such_module", extra="ray")
