"""What a model takes and gives: names, dtypes, shapes; and the check of what a client sent against it.

A mistake of the client becomes a :class:`BadInputError` that names the nearest valid thing and carries a sample
request, so that one look at the answer is enough to mend the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.entities.errors import UsageError
from penstock.inference.samples import IMAGE_SAMPLE, sample_tensors
from penstock.rules.suggest import nearest

Array = npt.NDArray[Any]
MAX_SHOWN = 80


class BadInputError(UsageError):
    """A request that does not fit the model; ``sample`` is one that does."""

    code = "bad_input"

    def __init__(self, message: str, *, hint: str = "", sample: Any = None) -> None:
        super().__init__(message, hint=hint)
        self.sample = sample


@dataclass(frozen=True, slots=True)
class TensorContract:
    """One input or output; ``shape`` has None where any length is taken, and is None where nothing is known.

    ``dtype`` is numpy's name; ``str`` stands for text.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    def describe(self) -> dict[str, Any]:
        """Return JSON types; a free length is -1."""
        shape = None if self.shape is None else [-1 if n is None else n for n in self.shape]
        return {"name": self.name, "dtype": self.dtype, "shape": shape}

    def blank(self) -> Array:
        """Return a zero tensor that fits, free lengths being 1."""
        lengths = [1 if n is None else n for n in self.shape or ()]
        if self.dtype == "str":
            return np.full(lengths, "", dtype=object)
        return np.zeros(lengths, dtype=self.dtype)


@dataclass(frozen=True, slots=True)
class ModelContract:
    """All inputs and outputs of a model, and a sample of a request for it.

    ``columns`` are the names of a table's columns where the model takes one: an input each, or those of its only one.
    """

    inputs: tuple[TensorContract, ...]
    outputs: tuple[TensorContract, ...]
    takes_images: bool = False
    columns: tuple[str, ...] = ()

    def sample_request(self) -> dict[str, Any]:
        """Return a request body that the model answers (texts stand for what would be long)."""
        return dict(IMAGE_SAMPLE) if self.takes_images else self.sample_tensors()

    def sample_tensors(self) -> dict[str, Any]:
        """Return a request body with tensors, also for a model that takes pictures."""
        return sample_tensors(self.inputs, self.columns)

    def describe(self) -> dict[str, Any]:
        """Return JSON types."""
        answer = {
            "inputs": [tensor.describe() for tensor in self.inputs],
            "outputs": [tensor.describe() for tensor in self.outputs],
            "sample_request": self.sample_request(),
        }
        if self.columns:
            answer["columns"] = list(self.columns)
        return answer

    def fail(self, message: str, hint: str = "") -> BadInputError:
        """Return the error to raise for a request that does not fit."""
        return BadInputError(message, hint=hint, sample=self.sample_request())

    def _unfit(self, message: str, hint: str = "") -> BadInputError:
        return BadInputError(message, hint=hint, sample=self.sample_tensors())

    def fit(self, values: Mapping[str, Any]) -> dict[str, Array]:
        """Return the tensors to feed, in the model's dtypes; one sample alone gets a batch of one around it.

        Raises
        ------
        BadInputError
            If a name is unknown or missing, or a value has another dtype or shape.
        """
        wanted = {tensor.name: tensor for tensor in self.inputs}
        for name in values:
            if name not in wanted:
                shown = name[:MAX_SHOWN]
                raise self._unfit(f"the model has no input {shown!r}", suggest(shown, list(wanted)))
        missing = [name for name in wanted if name not in values]
        if missing:
            raise self._unfit(f"input {missing[0]!r} is missing", f"The model's inputs are: {', '.join(wanted)}.")
        return {name: self._fit_one(wanted[name], value) for name, value in values.items()}

    def _fit_one(self, tensor: TensorContract, value: Any) -> Array:
        array = self._cast(tensor, value)
        if tensor.shape is None:
            return array
        if array.ndim == len(tensor.shape) - 1 and tensor.shape[0] in (None, 1):
            array = array[np.newaxis]
        fits = array.ndim == len(tensor.shape) and all(
            wanted is None or wanted == got for wanted, got in zip(tensor.shape, array.shape, strict=True)
        )
        if not fits:
            wanted_text = ", ".join("any" if n is None else str(n) for n in tensor.shape)
            raise self._unfit(
                f"input {tensor.name!r} has shape [{', '.join(map(str, array.shape))}]",
                f"The model takes [{wanted_text}].",
            )
        return array

    def _cast(self, tensor: TensorContract, value: Any) -> Array:
        try:
            array = np.asarray(value)
        except (ValueError, RecursionError) as error:
            raise self._unfit(f"input {tensor.name!r} has rows of different lengths, or too many levels") from error
        if array.dtype == object and tensor.dtype != "str":
            raise self._unfit(
                f"input {tensor.name!r} holds something that is not a number (null or an object), or a larger one "
                f"than {tensor.dtype} takes"
            )
        if tensor.dtype == "str":
            if not _is_text(array):
                raise self._unfit(f"input {tensor.name!r} holds something that is no text", "The model takes text.")
            return array.astype(object)
        target = np.dtype(tensor.dtype)
        if array.dtype == target:
            return np.require(array, requirements="C")
        if array.size and not _is_castable(array, target):
            raise self._unfit(f"input {tensor.name!r} holds {_kind(array)}", f"The model takes {target.name}.")
        with np.errstate(over="ignore"):
            fitted = np.require(array, target, "C")
        if target.kind == "f" and np.isinf(fitted).sum() != (np.isinf(array).sum() if array.dtype.kind == "f" else 0):
            raise self._unfit(f"input {tensor.name!r} holds {_kind(array)}", f"That is more than {target.name} takes.")
        return fitted


def suggest(name: str, candidates: Sequence[str]) -> str:
    """Return a hint that names the nearest candidates, all of them if none is near."""
    near = nearest(name, candidates)
    if near:
        return "Did you mean " + " or ".join(repr(candidate) for candidate in near) + "?"
    return f"Known: {', '.join(candidates)}." if candidates else ""


def _is_text(array: Array) -> bool:
    return array.dtype.kind == "U" or not array.size or all(isinstance(item, str) for item in array.flat)


def _is_castable(array: Array, target: np.dtype[Any]) -> bool:
    kind = array.dtype.kind
    if target.kind == "f":
        return kind in "iufb"
    if target.kind == "b":
        return kind == "b"
    if kind == "b":
        return True
    if kind == "f":
        whole = np.isfinite(array).all() and (array == np.floor(array)).all()
        if not whole:
            return False
    elif kind not in "iu":
        return False
    limits = np.iinfo(target)
    return bool(array.min() >= limits.min and array.max() <= limits.max)


def _kind(array: Array) -> str:
    if array.dtype.kind in "US":
        return "text"
    if array.dtype.kind in "iuf":
        return f"numbers ({array.dtype.name}) from {array.min():g} to {array.max():g}"
    return array.dtype.name
