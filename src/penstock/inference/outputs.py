"""Which outputs of a model hold a class and its scores, told from what it declares; no numpy, so the server can ask."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.entities.errors import Problem, SpecError
from penstock.rules.pictures import Declared

_SCORES_NAME = re.compile(r"prob|logit|softmax|score|class", re.IGNORECASE)
_LABEL_NAME = re.compile(r"label|class|pred", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ClassifierOutputs:
    """Which outputs of a model hold the class and its scores; at least one of them is there."""

    label: str | None
    scores: str | None


def classes_of(outputs: Sequence[Declared], found: ClassifierOutputs) -> int | None:
    """Return how many classes a classifier tells apart, None where its outputs do not say it."""
    scores = next((output for output in outputs if output.name == found.scores), None)
    return scores.shape[1] if scores is not None and scores.shape is not None and len(scores.shape) == 2 else None


def find_classifier(
    outputs: Sequence[Declared], labels: Sequence[str], file: str = "labels.txt", *, is_wanted: bool = False
) -> ClassifierOutputs | None:
    """Return where a model's class and scores are, None if it is no classifier.

    Scores are an output of shape [n, classes] (or a list of mappings) that is the only one beside a label output, has
    a telling name (``prob…``, ``logit…``, ``softmax``, ``score…``, ``class…``), or has as many columns as there are
    ``labels``. Where somebody asks for the best classes (``is_wanted``), the only such output is taken whatever its
    name. A label output holds one integer or text a row.

    Raises
    ------
    SpecError
        If the scores have another number of columns than ``labels``, which come from ``file``.
    """
    label = next((o.name for o in outputs if _is_label(o)), None)
    candidates = [o for o in outputs if _is_scores(o)]
    named = [o for o in candidates if _SCORES_NAME.search(o.name)]
    if not named and (label or labels or (is_wanted and len(candidates) == 1)):
        named = candidates
    if not named:
        return ClassifierOutputs(label, None) if label else None
    scores = named[0]
    width = scores.shape[1] if scores.shape else None
    if labels and width is not None and width != len(labels):
        text = f"{file} has {len(labels)} lines, but output {scores.name!r} has {width} classes"
        raise SpecError([Problem(text, file=file, hint="Write one line a class, in the model's order.")])
    return ClassifierOutputs(label, scores.name)


def _is_label(output: Declared) -> bool:
    has_rank = output.shape is None or len(output.shape) == 1
    return has_rank and output.dtype in {"int64", "int32", "str"} and bool(_LABEL_NAME.search(output.name))


def _is_scores(output: Declared) -> bool:
    if output.dtype == "sequence":
        return True
    is_matrix = output.shape is not None and len(output.shape) == 2 and output.shape[1] != 1
    return is_matrix and output.dtype in {"float32", "float64", "float16"}
