"""Bytes to values and back: the request bodies a model without code understands, and its answers.

Requests: ``{"image": "<base64>"}``, ``{"images": [...]}``, ``{"inputs": {name: nested list}}``,
``{"data": nested list}``, ``{"columns": [...], "data": [...]}``, ``{"records": [{column: value}, ...]}``, or a
picture's own bytes with an ``image/*`` content type. Beside any of them ``top_k``, ``threshold`` and ``outputs``; for a
picture's own bytes they stand in the query. Answers: ``{"predictions": [...], "outputs": {...}}``.
"""

from __future__ import annotations

import binascii
from array import array as array_of
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec
import numpy as np

from penstock.inference.classifier import Prediction
from penstock.inference.contract import Array, BadInputError, ModelContract, suggest
from penstock.inference.tables import from_records, from_split

KEYS = ("image", "images", "inputs", "data", "columns", "records")
OPTIONS = ("top_k", "threshold", "outputs")
MAX_SHOWN = 80
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_NUMBERS: Mapping[str, type] = {"f": float, "i": int, "u": int}
_NONE: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Decoded:
    """One request: pictures (list of bytes), named tensors to be checked, or tensors that fit already.

    ``options`` holds what the request says of ``top_k``, ``threshold`` and ``outputs``.
    """

    kind: Literal["images", "tensors", "fitted"]
    value: Any
    options: Mapping[str, Any]


class RequestDecoder:
    """Decodes the requests of one model; safe to call from several threads.

    Rows of numbers for a model's only input, ``{"data": [[...], ...]}``, are decoded by their type, straight to what an
    array is made of; anything else, and whatever is wrong, goes the long way, which knows what to say.
    """

    def __init__(self, contract: ModelContract) -> None:
        self._contract = contract
        self._rows: msgspec.json.Decoder[Any] | None = None
        if len(contract.inputs) != 1:
            return
        tensor = contract.inputs[0]
        number = None if tensor.dtype in {"str", "sequence"} else _NUMBERS.get(np.dtype(tensor.dtype).kind)
        if number is not None and tensor.shape is not None and len(tensor.shape) == 2:
            self._name, self._dtype, self._shape = tensor.name, np.dtype(tensor.dtype), tensor.shape
            self._is_single = self._dtype == np.float32
            rows = msgspec.defstruct("Rows", [("data", list[list[number]])], forbid_unknown_fields=True)  # type: ignore[valid-type]  # a type chosen at run time
            self._rows = msgspec.json.Decoder(rows)

    def decode(self, body: bytes, content_type: str = "application/json", query: str = "") -> Decoded:
        """Return what a request asks.

        Raises
        ------
        BadInputError
            If the body is none of the forms above.
        """
        if self._rows is not None and body.startswith(b'{"data"'):
            array = self._fast(body)
            if array is not None:
                return Decoded("fitted", {self._name: array}, _NONE)
        return decode_request(body, content_type, self._contract, query)

    def _fast(self, body: bytes) -> Array | None:
        """Return rows that fit, None where the long way has to look."""
        assert self._rows is not None
        try:
            rows = self._rows.decode(body).data
            # One row is the common case, and the standard library's array takes half of numpy's time for it.
            array: Array = (
                np.frombuffer(array_of("f", rows[0]), np.float32).reshape(1, -1)
                if self._is_single and len(rows) == 1
                else np.array(rows, dtype=self._dtype)
            )
        except (msgspec.DecodeError, ValueError, OverflowError, RecursionError, RuntimeWarning):
            return None
        if array.ndim != 2 or self._shape[1] not in (None, array.shape[1]):
            return None
        if self._shape[0] not in (None, array.shape[0]):
            return None
        # A sum that is no number is that of values beyond the dtype, or nearly: let the long way see.
        return array if self._dtype.kind != "f" or isfinite(np.add.reduce(array, axis=None)) else None


def decode_request(body: bytes, content_type: str, contract: ModelContract, query: str = "") -> Decoded:
    """Return what a request asks.

    Raises
    ------
    BadInputError
        If the body is none of the forms above.
    """
    if content_type.startswith("image/") or content_type == "application/octet-stream":
        return Decoded("images", [body], _query_options(query, contract) if query else _NONE)
    try:
        data = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise contract.fail(f"the body is no JSON: {error}") from error
    except RecursionError as error:
        raise contract.fail("the body is nested too deeply") from error
    if not isinstance(data, dict) or not data:
        raise contract.fail("the body is no JSON object", f"Send one of the keys {', '.join(KEYS)}.")
    for key in data:
        if key not in KEYS and key not in OPTIONS:
            shown = key[:MAX_SHOWN]
            raise contract.fail(f"unknown key {shown!r}", suggest(shown, (*KEYS, *OPTIONS)))
    options = {key: data.pop(key) for key in OPTIONS if key in data}
    if not data:
        raise contract.fail("the body holds options alone", f"Send one of the keys {', '.join(KEYS)}.")
    if "columns" in data and set(data) <= {"columns", "data"}:
        return Decoded("tensors", from_split(data["columns"], data.get("data"), contract), options)
    if len(data) > 1:
        raise contract.fail(f"the keys {' and '.join(data)} exclude each other", "Send one of them.")
    ((key, value),) = data.items()
    return _decode_one(key, value, contract, options)


def _decode_one(key: str, value: Any, contract: ModelContract, options: Mapping[str, Any]) -> Decoded:
    if key == "image":
        return Decoded("images", [_decode_image(value, key, contract)], options)
    if key == "images":
        if not isinstance(value, list) or not value:
            raise contract.fail("images is no list of base64 texts")
        pictures = [_decode_image(text, f"images[{i}]", contract) for i, text in enumerate(value)]
        return Decoded("images", pictures, options)
    is_records = key == "data" and isinstance(value, list) and bool(value) and isinstance(value[0], dict)
    if key == "records" or (is_records and contract.columns):
        return Decoded("tensors", from_records(value, contract), options)
    return Decoded("tensors", _named_tensors(key, value, contract), options)


def _query_options(query: str, contract: ModelContract) -> Mapping[str, Any]:
    """Return the options that a query holds; its other keys are not ours."""
    options = {}
    for key, text in parse_qsl(query):
        if key in OPTIONS:
            try:
                options[key] = _decode(text)
            except msgspec.DecodeError as error:
                raise contract.fail(
                    f"{key} in the query is {text[:MAX_SHOWN]!r}", "Write ?top_k=5 for example."
                ) from error
    return options


def _named_tensors(key: str, value: Any, contract: ModelContract) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    if len(contract.inputs) == 1:
        return {contract.inputs[0].name: value}
    names = ", ".join(tensor.name for tensor in contract.inputs)
    raise contract.fail(f"{key} does not say which value is for which input", f"The model's inputs are: {names}.")


def _decode_image(text: Any, where: str, contract: ModelContract) -> bytes:
    if not isinstance(text, str):
        raise contract.fail(f"{where} is no base64 text")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        try:  # base64 command lines wrap lines
            return binascii.a2b_base64("".join(text.split()), strict_mode=True)
        except (binascii.Error, ValueError) as error:
            raise contract.fail(f"{where} is no base64 text: {error}") from error


def encode_answer(predictions: Sequence[Prediction] | None, outputs: Mapping[str, Any] | None) -> bytes:
    """Return the answer's JSON; NaN and infinities, which JSON lacks, become null."""
    answer: dict[str, Any] = {}
    if predictions is not None:
        answer["predictions"] = predictions
    if outputs is not None:
        answer["outputs"] = {name: to_lists(value) for name, value in outputs.items()}
    return _encode(answer)


def to_lists(value: Any) -> Any:
    """Return an output as JSON types; keys of mappings become text."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list):
        return [to_lists(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_lists(item) for key, item in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def encode_error(error: BadInputError) -> bytes:
    """Return a refused request's JSON: what is wrong, what to do, and a sample that would be answered."""
    body = {"message": error.message, "hint": error.hint, "sample_request": error.sample}
    return msgspec.json.encode({key: value for key, value in body.items() if value})
