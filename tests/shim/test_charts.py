"""Azure ML's tables of how well a model predicts: their schemas, the arithmetic, and the pictures beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.shim import evaluation, log

AZURE_TABLE = {
    "schema_type": "accuracy_table",
    "schema_version": "v1",
    "data": {
        "probability_tables": [[[82, 118, 0, 0], [75, 31, 87, 7], [46, 2, 116, 36], [0, 0, 118, 82]]] * 2,
        "percentile_tables": [[[82, 118, 0, 0], [82, 67, 51, 0], [46, 2, 116, 36], [0, 0, 118, 82]]] * 2,
        "probability_thresholds": [0.0, 0.25, 0.75, 1.0],
        "percentile_thresholds": [0.0, 0.25, 0.75, 1.0],
        "class_labels": ["cat", "dog"],
    },
}
AZURE_PREDICTIONS = {
    "schema_type": "predictions",
    "schema_version": "v1",
    "data": {
        "bin_averages": [0.25, 0.75],
        "bin_errors": [0.013, 0.042],
        "bin_counts": [56, 34],
        "bin_edges": [0.0, 0.5, 1.0],
    },
}
AZURE_RESIDUALS = {
    "schema_type": "residuals",
    "schema_version": "v1",
    "data": {"bin_edges": [50, 100, 200, 300, 350], "bin_counts": [0.88, 20, 30, 50.99]},
}
WRITERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "accuracy_table": (log.log_accuracy_table, AZURE_TABLE),
    "predictions": (log.log_predictions, AZURE_PREDICTIONS),
    "residuals": (log.log_residuals, AZURE_RESIDUALS),
}
finite = st.floats(-1e9, 1e9)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("is_whole", [True, False])
def test_azures_dictionary_is_kept_as_it_is_with_a_picture(job, kind, is_whole):
    write, document = WRITERS[kind]
    write("mine", document if is_whole else document["data"])
    assert job.document(f"{kind}/mine.json") == document
    mode, pixels = job.picture(f"{kind}/mine.png")
    assert mode == "RGB"
    assert (pixels != 255).any()


@pytest.mark.parametrize("kind", WRITERS)
def test_what_lacks_a_part_or_does_not_fit_is_refused(strict, job, kind):
    write, document = WRITERS[kind]
    for key in document["data"]:
        with pytest.raises(ValueError, match=key):
            write("mine", {"data": {k: v for k, v in document["data"].items() if k != key}})
    with pytest.raises(TypeError, match="dictionary"):
        write("mine", 3)
    edges = "class_labels" if kind == "accuracy_table" else "bin_edges"
    with pytest.raises(ValueError, match=r"four counts|one edge more"):
        write("mine", {**document["data"], edges: document["data"][edges][:-1]})
    with pytest.raises(TypeError):
        write("mine", y_true=3, **{"y_score" if kind == "accuracy_table" else "y_pred": 3})
    assert job.events == []


def test_the_accuracy_table_counts_each_class_at_each_threshold(job):
    true = ["a", "b", "a", "c"]
    scores = [[0.7, 0.2, 0.1], [0.3, 0.5, 0.2], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]]
    log.log_accuracy_table("t", y_true=true, y_score=np.array(scores))
    data = job.document("accuracy_table/t.json")["data"]
    assert data["class_labels"] == ["a", "b", "c"]
    thresholds = data["probability_thresholds"]
    assert (len(thresholds), thresholds[0], thresholds[50], thresholds[-1]) == (101, 0.0, 0.5, 1.0)
    table = np.array(data["probability_tables"])
    assert table.shape == (3, 101, 4)
    assert table[0][0].tolist() == [2, 2, 0, 0]
    assert table[0][35].tolist() == [2, 0, 2, 0]
    assert table[1][50].tolist() == [1, 0, 3, 0]
    assert table[2][100].tolist() == [0, 0, 3, 1]
    shares = np.array(data["percentile_tables"])
    assert shares[0][0].tolist() == [2, 2, 0, 0]
    assert shares[0][50].tolist() == [2, 0, 2, 0]
    assert shares[0][100].tolist() == [0, 0, 2, 2]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=50))
@settings(max_examples=50)
def test_the_table_agrees_with_counting_one_by_one(pairs):
    true, scores = [int(t) for t, _ in pairs], [score for _, score in pairs]
    data = evaluation.accuracy_table(true, scores, [0, 1])
    for threshold, (tp, fp, tn, fn) in zip(data["probability_thresholds"], data["probability_tables"][1], strict=True):
        said = [score >= threshold for score in scores]
        assert tp == sum(s and t for s, t in zip(said, true, strict=True))
        assert fp == sum(s and not t for s, t in zip(said, true, strict=True))
        assert (tp + fn, fp + tn) == (sum(true), len(true) - sum(true))
    negatives = [tn + fn for _, _, tn, fn in data["percentile_tables"][1]]
    assert (negatives[0], negatives[-1]) == (0, len(true))
    assert negatives == sorted(negatives)


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=60), st.integers(1, 30))
@settings(max_examples=80)
def test_every_sample_lies_in_one_bin(pairs, bins):
    true, predicted = [t for t, _ in pairs], [p for _, p in pairs]
    residuals = evaluation.residual_bins(true, predicted, bins)
    assert sum(residuals["bin_counts"]) == len(pairs)
    assert len(residuals["bin_edges"]) == bins + 1 == len(residuals["bin_counts"]) + 1
    binned = evaluation.prediction_bins(true, predicted, bins)
    assert sum(binned["bin_counts"]) == len(pairs)
    assert binned["bin_edges"] == sorted(binned["bin_edges"])
    total = sum(a * c for a, c in zip(binned["bin_averages"], binned["bin_counts"], strict=True))
    assert total == pytest.approx(sum(predicted), rel=1e-9, abs=1e-3)


def test_bins_are_numpys(job):
    rng = np.random.default_rng(7)
    true = rng.normal(50, 10, 1000)
    predicted = true + rng.normal(0, 3, 1000)
    log.log_residuals("r", y_true=true, y_pred=predicted)
    log.log_predictions("p", y_true=true, y_pred=predicted.reshape(-1, 1))
    counts, edges = np.histogram(true - predicted, bins=20)
    data = job.document("residuals/r.json")["data"]
    np.testing.assert_allclose(data["bin_edges"], edges)
    assert data["bin_counts"] == counts.tolist()
    data = job.document("predictions/p.json")["data"]
    counts, edges = np.histogram(true, bins=10)
    assert data["bin_counts"] == counts.tolist()
    inside = (true >= edges[4]) & (true < edges[5])
    assert data["bin_averages"][4] == pytest.approx(predicted[inside].mean())
    assert data["bin_errors"][4] == pytest.approx(predicted[inside].std())


def test_a_confusion_matrix_is_counted_from_classes(strict, job):
    log.log_confusion_matrix("cm", y_true=["a", "b", "a"], y_pred=np.array(["a", "a", "b"]))
    assert job.document("confusion_matrix/cm.json")["data"] == {"class_labels": ["a", "b"], "matrix": [[1, 1], [1, 0]]}
    with pytest.raises(ValueError, match="no label"):
        log.log_confusion_matrix("cm", y_true=["a"], y_pred=["z"], labels=["a", "b"])


def test_pairs_without_a_number_are_left_out_and_none_at_all_is_refused(strict, job):
    nan = float("nan")
    assert sum(evaluation.residual_bins([1.0, nan, 3.0], [1.0, 2.0, float("inf")])["bin_counts"]) == 1
    with pytest.raises(ValueError, match="no pair"):
        log.log_residuals("r", y_true=[nan], y_pred=[1])
    with pytest.raises(ValueError, match="2 values"):
        log.log_predictions("r", y_true=[1, 2], y_pred=[1])
    cases: list[dict[str, Any]] = [
        {"y_true": [0], "y_score": [0.5, 0.5]},
        {"y_true": [0, 1, 2], "y_score": [0.1, 0.2, 0.3]},
    ]
    for wrong in cases:
        with pytest.raises(ValueError, match=r"rows|labels"):
            log.log_accuracy_table("t", **wrong)
