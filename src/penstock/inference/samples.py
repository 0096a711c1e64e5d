"""A request that a model would answer, made up from what it declares; no numpy, so a client can ask too."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from penstock.rules.pictures import Declared

MAX_SAMPLE_VALUES = 256
IMAGE_SAMPLE = {"image": "<base64 of a PNG or JPEG file>"}


def columns_of(inputs: Sequence[Declared], named: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of a table's columns: those of inputs [n, 1], or ``named`` where they fit the only input."""
    if len(inputs) == 1:
        shape = inputs[0].shape
        is_table = shape is not None and len(shape) == 2 and shape[1] in (None, len(named))
        return tuple(named) if is_table and named else ()
    is_table = all(tensor.shape is not None and len(tensor.shape) == 2 and tensor.shape[1] == 1 for tensor in inputs)
    return tuple(tensor.name for tensor in inputs) if is_table else ()


def sample_tensors(inputs: Sequence[Declared], columns: Sequence[str] = ()) -> dict[str, Any]:
    """Return a request body with tensors, or rows of named columns."""
    if columns:
        by_name = {tensor.name: tensor for tensor in inputs}
        row = [blank_of(by_name.get(name, inputs[0]).dtype) for name in columns]
        return {"columns": list(columns), "data": [row]}
    if len(inputs) == 1:
        return {"data": sample_tensor(inputs[0])}
    return {"inputs": {tensor.name: sample_tensor(tensor) for tensor in inputs}}


def sample_tensor(tensor: Declared) -> Any:
    """Return a nested list that fits, or a sentence where that would be long."""
    lengths = [1 if n is None else n for n in tensor.shape or ()]
    if prod(lengths) > MAX_SAMPLE_VALUES:
        return f"nested list of {tensor.dtype}, shape {lengths}"
    made = blank_of(tensor.dtype)
    for length in reversed(lengths):
        made = [made] * length
    return made


def blank_of(dtype: str) -> Any:
    """Return a value that fits a dtype."""
    return "" if dtype == "str" else False if dtype == "bool" else 0 if "int" in dtype else 0.0
