"""From a classifier's raw outputs to predictions: label, index, probability; the best k, none below a threshold.

Works with what exporters write: scikit-learn's ``label`` and ``probabilities`` (a matrix, or a list of mappings
where zipmap was left on), and networks' logits or softmax rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.entities.image import Postprocessing
from penstock.inference.outputs import ClassifierOutputs

Label = str | int
_ROW_SUM_TOLERANCE = 1e-3
_SMALL = 512  # up to here Python's floats are faster than numpy's calls
_PLAIN = Postprocessing()


class Ranked(msgspec.Struct, frozen=True):
    """One class of a row's best k."""

    label: Label
    index: int
    probability: float


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row's answer; ``index`` is the class's column, ``probability`` None where the model gives none.

    ``label`` is None where the probability is below the threshold; ``top`` holds the best k where k was asked for.
    """

    label: Label | None
    index: int
    probability: float | None
    top: tuple[Ranked, ...] | None = None


def predictions_of(
    found: ClassifierOutputs,
    outputs: Mapping[str, Any],
    labels: Sequence[str] = (),
    wanted: Postprocessing = _PLAIN,
) -> list[Prediction]:
    """Return one prediction a row.

    Rows that are not probabilities already (from 0 to 1, summing to 1 within 1e-3) go through softmax. The label is
    that of ``labels`` where given, else the model's own label output, else the index. Of equal scores the first wins.
    """
    own = outputs[found.label].tolist() if found.label else None
    if found.scores is None:
        return [_of_label(value, labels) for value in outputs[found.label or ""].reshape(-1).tolist()]
    scores, classes = to_matrix(outputs[found.scores])
    answers = []
    for number, row in enumerate(_probable(scores)):
        index, probability = _best(row)
        names: Sequence[Label] = labels or classes
        label = names[index] if index < len(names) else index
        if own is not None and not labels:
            label = own[number]
        top = None
        if wanted.top_k is not None:
            top = tuple(
                Ranked(names[i] if i < len(names) else (label if i == index else i), i, p)
                for i, p in _best_few(row, wanted.top_k)
                if wanted.threshold is None or p >= wanted.threshold
            )
        is_shown = wanted.threshold is None or probability >= wanted.threshold
        answers.append(Prediction(label if is_shown else None, index, probability, top))
    return answers


def _of_label(value: Any, labels: Sequence[str]) -> Prediction:
    """Return what a model that gives labels alone says; a text has index -1."""
    index = value if isinstance(value, int) else -1
    return Prediction(labels[index] if 0 <= index < len(labels) else value, index, None)


def to_matrix(scores: Any) -> tuple[npt.NDArray[Any], list[Label]]:
    """Return scores of shape (n, classes) and, for a list of mappings, the classes in column order."""
    if isinstance(scores, list):
        classes: list[Label] = list(scores[0]) if scores else []
        rows = [[row[name] for name in classes] for row in scores]
        return np.asarray(rows, dtype=np.float64).reshape(len(rows), len(classes)), classes
    return np.asarray(scores), []


def _probable(scores: npt.NDArray[Any]) -> Sequence[Sequence[float] | npt.NDArray[np.float64]]:
    """Return rows that sum to 1; few values are handled as Python's own, which takes a third of the time."""
    if scores.size > _SMALL:
        return list(to_probabilities(scores.astype(np.float64)))
    rows: list[list[float]] = scores.tolist()
    for row in rows:
        if not (abs(sum(row) - 1.0) <= _ROW_SUM_TOLERANCE and min(row) >= 0.0):  # so none is above 1 by more
            return [_softmax(row) for row in rows]
    return rows


def _softmax(row: list[float]) -> list[float]:
    largest = max(row)
    if not math.isfinite(largest):
        return to_probabilities(np.asarray([row]))[0].tolist()  # type: ignore[no-any-return]  # numpy's tolist is Any
    powers = [math.exp(value - largest) for value in row]
    total = sum(powers)
    return [power / total for power in powers]


def to_probabilities(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return rows that sum to 1: those that do already as they are, others through softmax."""
    if scores.size == 0:
        return scores
    sums_to_one = np.abs(scores.sum(axis=1) - 1.0) <= _ROW_SUM_TOLERANCE
    is_between = (scores >= 0.0).all(axis=1) & (scores <= 1.0 + _ROW_SUM_TOLERANCE).all(axis=1)
    if bool((sums_to_one & is_between).all()):
        return scores
    with np.errstate(invalid="ignore"):  # infinities give NaN
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
        result: npt.NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return result


def _best(row: Sequence[float] | npt.NDArray[np.float64]) -> tuple[int, float]:
    if isinstance(row, np.ndarray):
        index = int(row.argmax())
        return index, float(row[index])
    largest = max(row)
    return row.index(largest), largest


def _best_few(row: Sequence[float] | npt.NDArray[np.float64], count: int) -> list[tuple[int, float]]:
    """Return index and probability of the best ``count``; of equal ones the first comes first."""
    values = np.asarray(row)
    candidates = np.arange(len(values))
    if count < len(values):
        least = np.partition(values, len(values) - count)[len(values) - count]
        candidates = np.flatnonzero(values >= least)
    order = candidates[np.argsort(-values[candidates], kind="stable")][:count]
    return list(zip(order.tolist(), values[order].tolist(), strict=True))
