"""The extension ``classification`` of the Open Inference Protocol: the best k classes as ``score:index[:label]``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from penstock.inference.contract import Array, BadInputError


def top_classes(name: str, scores: Array, wanted: Any, labels: Sequence[str]) -> Array:
    """Return the best classes of each row, best first; of equal scores the first wins.

    Parameters
    ----------
    scores : ndarray, shape (n, classes) or (classes,)
        Any numbers.
    wanted : int
        How many; more than there are is all of them.

    Raises
    ------
    BadInputError
        If ``wanted`` is no positive number, or the output has another rank or is text.
    """
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        raise BadInputError(f"output {name!r}: classification is no number of classes")
    if scores.ndim not in (1, 2) or scores.dtype.kind == "O":
        raise BadInputError(f"output {name!r} holds no scores of classes: {list(scores.shape)}")
    best = np.argsort(-scores.astype(np.float64), axis=-1, kind="stable")[..., :wanted]
    values = np.take_along_axis(scores, best, axis=-1)
    shown = [_text(value, int(index), labels) for value, index in zip(values.flat, best.flat, strict=True)]
    return np.array(shown, dtype=object).reshape(best.shape)


def _text(value: Any, index: int, labels: Sequence[str]) -> str:
    label = f":{labels[index]}" if index < len(labels) else ""
    return f"{float(value):f}:{index}{label}"
