"""Tables and bins that say how well a model predicts, in the schemas of Azure ML, computed without any library.

Pairs in which a number is NaN or infinite are left out.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any, Sequence

THRESHOLDS = [round(0.01 * number, 2) for number in range(101)]
Counts = tuple[int, int, int, int]


def as_list(values: Any, what: str) -> list[Any]:
    """Return a sequence, array or Series as a list; raises TypeError for anything else."""
    listed = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(listed, (list, tuple)):
        raise TypeError("%s is a list or an array, not %s" % (what, type(values).__name__))
    return list(listed)


def numbers(y_true: Any, y_pred: Any) -> tuple[list[float], list[float]]:
    """Return true and predicted numbers as lists of equal length without what is not finite."""
    first, second = as_list(y_true, "y_true"), as_list(y_pred, "y_pred")
    if len(first) != len(second):
        raise ValueError("y_true has %d values and y_pred %d" % (len(first), len(second)))
    pairs = [(float(_only(true)), float(_only(predicted))) for true, predicted in zip(first, second)]
    kept = [pair for pair in pairs if math.isfinite(pair[0]) and math.isfinite(pair[1])]
    if not kept:
        raise ValueError("y_true and y_pred have no pair of numbers")
    return [true for true, _ in kept], [predicted for _, predicted in kept]


def residual_bins(y_true: Any, y_pred: Any, bins: int = 20) -> dict[str, list[float]]:
    """Return how often which residual (true minus predicted) occurs: ``bin_edges`` and ``bin_counts``."""
    true, predicted = numbers(y_true, y_pred)
    residuals = [t - p for t, p in zip(true, predicted)]
    edges = _edges(residuals, bins)
    counts = [0] * bins
    for residual in residuals:
        counts[_bin(edges, residual)] += 1
    return {"bin_edges": edges, "bin_counts": [float(count) for count in counts]}


def prediction_bins(y_true: Any, y_pred: Any, bins: int = 10) -> dict[str, list[float]]:
    """Return the predictions in bins of the true value: average, standard deviation, count; and the bins' edges.

    An empty bin has the average and error 0.
    """
    true, predicted = numbers(y_true, y_pred)
    edges = _edges(true, bins)
    members: list[list[float]] = [[] for _ in range(bins)]
    for t, p in zip(true, predicted):
        members[_bin(edges, t)].append(p)
    averages = [math.fsum(values) / len(values) if values else 0.0 for values in members]
    errors = [
        math.sqrt(math.fsum((value - average) ** 2 for value in values) / len(values)) if values else 0.0
        for values, average in zip(members, averages)
    ]
    counts = [float(len(values)) for values in members]
    return {"bin_averages": averages, "bin_errors": errors, "bin_counts": counts, "bin_edges": edges}


def accuracy_table(y_true: Any, y_score: Any, labels: Sequence[Any] | None = None) -> dict[str, Any]:
    """Return what becomes of each class at each threshold of its probability, and of its share of the samples.

    Parameters
    ----------
    y_true : sequence, length n
        The true classes.
    y_score : sequence, shape (n, n_classes), or (n,) for the second of two classes
        Probabilities; a sample counts for a class where its probability is at least the threshold.
    labels : sequence, optional
        The classes in the order of the scores; by default those in ``y_true``, sorted.

    Returns
    -------
    dict
        ``probability_tables`` and ``percentile_tables``: per class and threshold [true positives, false positives,
        true negatives, false negatives]; at the percentile p the share p of the samples with the lowest probabilities
        counts as negative. And ``probability_thresholds``, ``percentile_thresholds``, ``class_labels``.
    """
    true = as_list(y_true, "y_true")
    scores = _score_rows(as_list(y_score, "y_score"))
    if len(true) != len(scores) or not true:
        raise ValueError("y_true has %d values and y_score %d rows" % (len(true), len(scores)))
    classes = list(labels) if labels is not None else sorted(set(true))
    if len(classes) != len(scores[0]):
        raise ValueError("%d classes and scores for %d; give labels" % (len(classes), len(scores[0])))
    unknown = set(true) - set(classes)
    if unknown:
        raise ValueError("the class %r has no label" % next(iter(unknown)))
    by_probability, by_percentile = [], []
    for column, label in enumerate(classes):
        pairs = sorted((row[column], known == label) for row, known in zip(scores, true))
        values = [value for value, _ in pairs]
        below = [0]
        for _, is_positive in pairs:
            below.append(below[-1] + is_positive)
        by_probability.append([_counts(below, bisect_left(values, threshold)) for threshold in THRESHOLDS])
        by_percentile.append([_counts(below, round(share * len(values))) for share in THRESHOLDS])
    return {
        "probability_tables": by_probability,
        "percentile_tables": by_percentile,
        "probability_thresholds": THRESHOLDS,
        "percentile_thresholds": THRESHOLDS,
        "class_labels": [str(label) for label in classes],
    }


def confusion(y_true: Any, y_pred: Any, labels: Sequence[Any] | None = None) -> tuple[list[list[int]], list[Any]]:
    """Return how often which class (row) was taken for which (column), and the classes."""
    true, predicted = as_list(y_true, "y_true"), as_list(y_pred, "y_pred")
    if len(true) != len(predicted) or not true:
        raise ValueError("y_true has %d values and y_pred %d" % (len(true), len(predicted)))
    classes = list(labels) if labels is not None else sorted({*true, *predicted})
    place = {label: number for number, label in enumerate(classes)}
    matrix = [[0] * len(classes) for _ in classes]
    for t, p in zip(true, predicted):
        if t not in place or p not in place:
            raise ValueError("the class %r has no label" % (t if t not in place else p))
        matrix[place[t]][place[p]] += 1
    return matrix, classes


def roc_points(table: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Return (false positive rate, true positive rate) at each threshold of one class's table."""
    return [(_share(fp, fp + tn), _share(tp, tp + fn)) for tp, fp, tn, fn in table]


def recall_points(table: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Return (recall, precision) at each threshold at which anything counts as positive."""
    return [(_share(tp, tp + fn), _share(tp, tp + fp)) for tp, fp, tn, fn in table if tp + fp > 0]


def _counts(below: Sequence[int], negatives: int) -> Counts:
    """Return the four counts where the lowest ``negatives`` samples count as negative."""
    positives, missed = below[-1], below[negatives]
    found = positives - missed
    samples = len(below) - 1
    return found, samples - negatives - found, negatives - missed, missed


def _score_rows(scores: list[Any]) -> list[list[float]]:
    rows = [list(row) if isinstance(row, (list, tuple)) else [1.0 - float(row), float(row)] for row in scores]
    if any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("every row of y_score has one probability a class")
    return [[float(value) for value in row] for row in rows]


def _edges(values: Sequence[float], bins: int) -> list[float]:
    if bins < 1:
        raise ValueError("there is at least one bin, not %r" % bins)
    low, high = min(values), max(values)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return [low + (high - low) * number / bins for number in range(bins)] + [high]


def _bin(edges: Sequence[float], value: float) -> int:
    place = bisect_left(edges, value)
    return min(max(place if place < len(edges) and edges[place] == value else place - 1, 0), len(edges) - 2)


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
