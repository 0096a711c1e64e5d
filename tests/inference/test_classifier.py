from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from penstock.entities.errors import SpecError
from penstock.inference.classifier import (
    Prediction,
    predictions_of,
    to_probabilities,
)
from penstock.inference.contract import TensorContract
from penstock.inference.labels import read_labels
from penstock.inference.outputs import ClassifierOutputs, find_classifier


def output(name, dtype="float32", shape: tuple[int | None, ...] | None = (None, 3)):
    return TensorContract(name, dtype, shape)


@pytest.mark.parametrize(
    ("outputs", "labels", "expected"),
    [
        ([output("label", "int64", (None,)), output("probabilities")], (), ("label", "probabilities")),
        ([output("output_label", "str", (None,)), output("output_probability", "sequence", None)], (),
         ("output_label", "output_probability")),
        ([output("logits")], (), (None, "logits")),
        ([output("y")], ("a", "b", "c"), (None, "y")),
        ([output("label", "int64", (None,))], (), ("label", None)),
    ],
)  # fmt: skip
def test_classifiers_are_known_by_their_outputs(outputs, labels, expected):
    assert find_classifier(outputs, labels) == ClassifierOutputs(*expected)


@pytest.mark.parametrize(
    "outputs",
    [
        [output("y")],
        [output("variable", shape=(None, 1))],
        [output("boxes", shape=(None, 4, 2))],
        [output("n", "int64")],
    ],
)
def test_other_models_are_no_classifiers(outputs):
    assert find_classifier(outputs, ()) is None


def test_labels_must_fit_the_scores():
    with pytest.raises(SpecError, match="2 lines, but output 'logits' has 3 classes"):
        find_classifier([output("logits")], ("a", "b"))


def test_logits_become_probabilities_with_labels():
    found = ClassifierOutputs(None, "logits")
    outputs = {"logits": np.array([[0.0, np.log(3.0)], [5.0, -5.0]], np.float32)}
    first, second = predictions_of(found, outputs, ("cat", "dog"))
    assert (first.label, first.index) == ("dog", 1)
    assert first.probability == pytest.approx(0.75)
    assert (second.label, second.index) == ("cat", 0)


def test_probabilities_stay_exactly_what_the_model_said():
    rows = np.array([[0.25, 0.75]], np.float32)
    assert predictions_of(ClassifierOutputs(None, "p"), {"p": rows}) == [Prediction(1, 1, 0.75)]


def test_the_models_own_label_wins_over_the_index():
    outputs = {"label": np.array([7]), "p": np.array([[0.1, 0.9]])}
    assert predictions_of(ClassifierOutputs("label", "p"), outputs) == [Prediction(7, 1, 0.9)]
    assert predictions_of(ClassifierOutputs("label", "p"), outputs, ("a", "b")) == [Prediction("b", 1, 0.9)]


def test_zipmap_is_understood():
    outputs = {"label": np.array(["no"], object), "p": [{"no": 0.75, "yes": 0.25}]}
    assert predictions_of(ClassifierOutputs("label", "p"), outputs) == [Prediction("no", 0, 0.75)]
    assert predictions_of(ClassifierOutputs(None, "p"), outputs) == [Prediction("no", 0, 0.75)]


def test_a_label_alone_has_no_probability():
    answer = predictions_of(ClassifierOutputs("label", None), {"label": np.array([2, 0])}, ("a", "b", "c"))
    assert answer == [Prediction("c", 2, None), Prediction("a", 0, None)]
    answer = predictions_of(ClassifierOutputs("label", None), {"label": np.array(["x"], object)})
    assert answer == [Prediction("x", -1, None)]


def test_an_empty_batch_has_no_predictions():
    assert predictions_of(ClassifierOutputs(None, "p"), {"p": np.zeros((0, 3), np.float32)}) == []


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(2, 6)), elements=st.floats(-700, 700)))
def test_softmax_sums_to_one_and_keeps_the_order(scores):
    probabilities = to_probabilities(scores)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=2e-3)
    rows = np.arange(len(scores))
    np.testing.assert_array_equal(
        scores[rows, probabilities.argmax(axis=1)] >= scores.max(axis=1) - 1e-9, np.ones(len(scores), bool)
    )


def test_labels_are_lines(tmp_path):
    assert read_labels(tmp_path) == ()
    (tmp_path / "labels.txt").write_text("cat\ndog \n\n")
    assert read_labels(tmp_path) == ("cat", "dog")
