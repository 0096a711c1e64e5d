"""MLflow's ``/invocations`` for a model without code, answered as MLflow's own server answers for an ONNX model.

Tables give a record a row, tensors an object of outputs. ``params`` are for models whose signature has some; an ONNX
model has none, and as in MLflow they are then not looked at.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from penstock.inference.codecs import to_lists
from penstock.inference.contract import Array, BadInputError, ModelContract, TensorContract, suggest
from penstock.inference.protocols.base import Model, say
from penstock.inference.protocols.invocations import Invocation, Table, UnsupportedTypeError, parse
from penstock.inference.runtimes.base import ScoreRequest, ScoreResponse

_encode = msgspec.json.Encoder().encode
_TRUTHS = {"true": True, "false": False, "1": True, "0": False}


def invoke(model: Model, request: ScoreRequest) -> ScoreResponse:
    """Answer ``/invocations``: 400 in MLflow's shape for a mistake, 415 for another content type."""
    try:
        sent = parse(request.body, request.content_type)
        pictures = _pictures(sent, model.contract)
        outputs = model.run_images(pictures) if pictures else model.run(to_tensors(sent, model.contract))
    except UnsupportedTypeError as error:
        return ScoreResponse(str(error).encode(), "text/plain; charset=utf-8", 415)
    except BadInputError as error:
        return failure(say(error))
    return write(to_records(outputs) if sent.kind == "table" else {n: to_lists(v) for n, v in outputs.items()})


def failure(message: str, code: str = "BAD_REQUEST") -> ScoreResponse:
    """Return a 400 as MLflow writes it."""
    return ScoreResponse(_encode({"error_code": code, "message": message}), status=400)


def write(predictions: Any) -> ScoreResponse:
    """Return predictions, JSON types, as MLflow writes them; NaN, which JSON lacks, becomes null."""
    return ScoreResponse(_encode({"predictions": predictions}))


def to_records(outputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a record a row: a value where an output has one a row, else a list."""
    columns = []
    for value in outputs.values():
        is_single = isinstance(value, np.ndarray) and value.ndim > 1 and value[:1].size == 1
        columns.append(value.reshape(-1).tolist() if is_single else to_lists(value))
    if not all(isinstance(column, list) for column in columns) or len({len(column) for column in columns}) > 1:
        return [{name: to_lists(value) for name, value in outputs.items()}]
    return [dict(zip(outputs, row, strict=True)) for row in zip(*columns, strict=True)]


def to_tensors(sent: Invocation, contract: ModelContract) -> Mapping[str, Any]:
    """Return what to feed by name, still to be fitted.

    Raises
    ------
    BadInputError
        If a name is missing, or rows have no meaning for the model's inputs.
    """
    if sent.kind == "table":
        return _of_table(sent.table, contract)
    value = sent.tensors
    if isinstance(value, dict):
        names = [tensor.name for tensor in contract.inputs]
        if contract.columns and len(names) == 1 and names[0] not in value:
            return _of_columns({str(name): column for name, column in value.items()}, contract)
        by_name = {tensor.name: tensor for tensor in contract.inputs}
        return {n: _as_column(by_name[n], v) if n in by_name else v for n, v in value.items()}
    if len(contract.inputs) != 1:
        raise BadInputError("one tensor for several inputs", hint=f"Send an object with: {_names(contract)}.")
    return {contract.inputs[0].name: value}


def _of_table(table: Table, contract: ModelContract) -> Mapping[str, Any]:
    is_one = len(contract.inputs) == 1
    if table.columns is not None and (contract.columns or not is_one):
        if len(set(table.columns)) != len(table.columns):
            raise BadInputError("a column is there twice", hint=f"The model's columns are: {_names(contract)}.")
        cells_of = zip(*table.rows, strict=True) if table.rows else ((),) * len(table.columns)
        columns: dict[str, Any] = dict(zip(table.columns, cells_of, strict=True))
        dtypes = {tensor.name: tensor.dtype for tensor in contract.inputs}
        if table.is_text:
            default = contract.inputs[0].dtype if is_one else "str"
            columns = {name: _of_text(name, cells, dtypes.get(name, default)) for name, cells in columns.items()}
        return _of_columns({name: list(cells) for name, cells in columns.items()}, contract)
    if not is_one:
        raise BadInputError("the columns have no names", hint=f"The model's columns are: {_names(contract)}.")
    tensor = contract.inputs[0]
    if not table.is_text:
        return {tensor.name: table.rows}
    flat = [cell for row in table.rows for cell in row]
    width = len(table.columns or ())
    return {tensor.name: np.asarray(_of_text("the CSV", flat, tensor.dtype)).reshape(len(table.rows), width)}


def _of_columns(columns: Mapping[str, Any], contract: ModelContract) -> Mapping[str, Any]:
    """Return tensors from whole columns; columns that the model does not have are left out, as MLflow does."""
    wanted = contract.columns or tuple(tensor.name for tensor in contract.inputs)
    for name in wanted:
        if name not in columns:
            unknown = [other[:80] for other in columns if other not in wanted]
            near = suggest(name, unknown) if unknown else ""
            hint = f"The model's columns are: {_names(contract)}." + (f" {near}" if near.startswith("Did") else "")
            raise BadInputError(f"column {name!r} is missing", hint=hint)
    if len(contract.inputs) == 1 and contract.columns:
        return {contract.inputs[0].name: _stack(columns, wanted)}
    return {tensor.name: _as_column(tensor, columns[tensor.name]) for tensor in contract.inputs}


def _stack(columns: Mapping[str, Any], wanted: tuple[str, ...]) -> list[list[Any]]:
    chosen = [columns[name] for name in wanted]
    if not all(isinstance(column, list) for column in chosen) or len({len(column) for column in chosen}) != 1:
        raise BadInputError("the columns have different lengths, or are no lists")
    return [list(row) for row in zip(*chosen, strict=True)]


def _as_column(tensor: TensorContract, value: Any) -> Any:
    """Return a flat list as a column where the model takes one."""
    is_column = tensor.shape is not None and len(tensor.shape) == 2 and tensor.shape[1] == 1
    if is_column and isinstance(value, list) and not any(isinstance(item, list) for item in value[:1]):
        return [[item] for item in value]
    return value


def _of_text(name: str, cells: Any, dtype: str) -> list[Any]:
    """Return a CSV column as values of a dtype; an empty cell of a float column is NaN."""
    if dtype == "str":
        return list(cells)
    texts = np.char.strip(np.array(cells, dtype=np.str_))
    try:
        if dtype == "bool":
            return [_TRUTHS[text.lower()] for text in texts.tolist()]
        if np.dtype(dtype).kind in "iu":
            return _whole(texts).tolist()  # type: ignore[no-any-return]  # numpy's tolist is Any
        numbers: list[Any] = np.where(texts == "", "nan", texts).astype(np.float64).tolist()
        return numbers
    except (ValueError, KeyError, OverflowError) as error:
        raise BadInputError(f"column {name[:80]!r} holds something that is no {dtype}: {str(error)[:120]}") from error


def _whole(texts: Array) -> Array:
    try:
        return texts.astype(np.int64)
    except (ValueError, OverflowError):
        return texts.astype(np.float64)


def _pictures(sent: Invocation, contract: ModelContract) -> list[bytes]:
    """Return encoded pictures where a model that takes pictures was sent base64 texts, else none."""
    if not contract.takes_images:
        return []
    value = sent.tensors
    if sent.kind == "table":
        value = [row[0] if len(row) == 1 else row for row in sent.table.rows]
    elif isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(text, str) for text in value):
        return []
    try:
        return [base64.b64decode(text, validate=True) for text in value]
    except (binascii.Error, ValueError) as error:
        raise BadInputError(f"a picture is no base64 text: {error}") from error


def _names(contract: ModelContract) -> str:
    names = contract.columns or tuple(tensor.name for tensor in contract.inputs)
    return ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
