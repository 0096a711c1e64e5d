"""From a classifier's raw outputs to predictions: label, index, probability.

Works with what exporters write: scikit-learn's ``label`` and ``probabilities`` (a matrix, or a list of mappings
where zipmap was left on), and networks' logits or softmax rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.entities.errors import Problem, SpecError
from penstock.inference.contract import TensorContract

LABELS_FILE = "labels.txt"
Label = str | int
_SCORES_NAME = re.compile(r"prob|logit|softmax|score|class", re.IGNORECASE)
_LABEL_NAME = re.compile(r"label|class|pred", re.IGNORECASE)
_ROW_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row's answer; ``index`` is the class's column, ``probability`` None where the model gives none."""

    label: Label
    index: int
    probability: float | None


@dataclass(frozen=True, slots=True)
class ClassifierOutputs:
    """Which outputs of a model hold the class and its scores; at least one of them is there."""

    label: str | None
    scores: str | None


def read_labels(folder: Path) -> tuple[str, ...]:
    """Return the lines of a model folder's ``labels.txt``, one a class; empty where there is none."""
    file = folder / LABELS_FILE
    if not file.is_file():
        return ()
    lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return tuple(lines)


def find_classifier(outputs: Sequence[TensorContract], labels: Sequence[str]) -> ClassifierOutputs | None:
    """Return where a model's class and scores are, None if it is no classifier.

    Scores are an output of shape [n, classes] (or a list of mappings) that is the only one beside a label output, has
    a telling name (``prob…``, ``logit…``, ``softmax``, ``score…``, ``class…``), or has as many columns as there are
    ``labels``. A label output holds one integer or text a row.

    Raises
    ------
    SpecError
        If the scores have another number of columns than ``labels``.
    """
    label = next((o.name for o in outputs if _is_label(o)), None)
    candidates = [o for o in outputs if _is_scores(o)]
    named = [o for o in candidates if _SCORES_NAME.search(o.name)]
    if not named and (label or labels):
        named = candidates
    if not named:
        return ClassifierOutputs(label, None) if label else None
    scores = named[0]
    width = scores.shape[1] if scores.shape else None
    if labels and width is not None and width != len(labels):
        text = f"{LABELS_FILE} has {len(labels)} lines, but output {scores.name!r} has {width} classes"
        raise SpecError([Problem(text, file=LABELS_FILE, hint="Write one line a class, in the model's order.")])
    return ClassifierOutputs(label, scores.name)


def _is_label(output: TensorContract) -> bool:
    has_rank = output.shape is None or len(output.shape) == 1
    return has_rank and output.dtype in {"int64", "int32", "str"} and bool(_LABEL_NAME.search(output.name))


def _is_scores(output: TensorContract) -> bool:
    if output.dtype == "sequence":
        return True
    is_matrix = output.shape is not None and len(output.shape) == 2 and output.shape[1] != 1
    return is_matrix and output.dtype in {"float32", "float64", "float16"}


def predictions_of(
    found: ClassifierOutputs, outputs: Mapping[str, Any], labels: Sequence[str] = ()
) -> list[Prediction]:
    """Return one prediction a row.

    Rows that are not probabilities already (from 0 to 1, summing to 1 within 1e-3) go through softmax. The label is
    that of ``labels`` where given, else the model's own label output, else the index.
    """
    own = outputs[found.label] if found.label else None
    if found.scores is None:
        assert own is not None
        return [Prediction(_pick(labels, int(i), _plain(v)), int(i), None) for i, v in enumerate_classes(own)]
    scores, classes = to_matrix(outputs[found.scores])
    probabilities = to_probabilities(scores)
    indices = probabilities.argmax(axis=1)
    answers = []
    for row, index in enumerate(indices.tolist()):
        label: Label = _plain(own[row]) if own is not None else (classes[index] if classes else index)
        answers.append(Prediction(_pick(labels, index, label), index, float(probabilities[row, index])))
    return answers


def enumerate_classes(labels: npt.NDArray[Any]) -> list[tuple[int, Any]]:
    """Return (index, label) a row of a model that gives labels alone; a text has index -1."""
    return [(int(v) if isinstance(v, int | np.integer) else -1, v) for v in labels.reshape(-1)]


def to_matrix(scores: Any) -> tuple[npt.NDArray[np.float64], list[Label]]:
    """Return scores of shape (n, classes) and, for a list of mappings, the classes in column order."""
    if isinstance(scores, list):
        classes: list[Label] = list(scores[0]) if scores else []
        rows = [[row[name] for name in classes] for row in scores]
        return np.asarray(rows, dtype=np.float64).reshape(len(rows), len(classes)), classes
    return np.asarray(scores, dtype=np.float64), []


def to_probabilities(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return rows that sum to 1: those that do already as they are, others through softmax."""
    if scores.size == 0:
        return scores
    sums_to_one = np.abs(scores.sum(axis=1) - 1.0) <= _ROW_SUM_TOLERANCE
    is_between = (scores >= 0.0).all(axis=1) & (scores <= 1.0 + _ROW_SUM_TOLERANCE).all(axis=1)
    if bool((sums_to_one & is_between).all()):
        return scores
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    result: npt.NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return result


def _pick(labels: Sequence[str], index: int, otherwise: Label) -> Label:
    return labels[index] if 0 <= index < len(labels) else otherwise


def _plain(value: Any) -> Label:
    return int(value) if isinstance(value, int | np.integer) else str(value)
