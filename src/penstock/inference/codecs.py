"""Bytes to values and back: the request bodies a model without code understands, and its answers.

Requests: ``{"image": "<base64>"}``, ``{"images": [...]}``, ``{"inputs": {name: nested list}}``,
``{"data": nested list}``, or a picture's own bytes with an ``image/*`` content type. Answers:
``{"predictions": [...], "outputs": {...}}``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from penstock.inference.classifier import Prediction
from penstock.inference.contract import BadInputError, ModelContract, suggest

KEYS = ("image", "images", "inputs", "data")
MAX_SHOWN = 80
_decode = msgspec.json.Decoder().decode


class _Encoded(msgspec.Struct, frozen=True):
    label: str | int
    index: int
    probability: float | None


def decode_request(body: bytes, content_type: str, contract: ModelContract) -> tuple[str, Any]:
    """Return (``"images"``, list of bytes) or (``"tensors"``, mapping of names to nested lists).

    Raises
    ------
    BadInputError
        If the body is none of the forms above.
    """
    if content_type.startswith("image/") or content_type == "application/octet-stream":
        return "images", [body]
    try:
        data = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise contract.fail(f"the body is no JSON: {error}") from error
    except RecursionError as error:
        raise contract.fail("the body is nested too deeply") from error
    if not isinstance(data, dict) or not data:
        raise contract.fail("the body is no JSON object", f"Send one of the keys {', '.join(KEYS)}.")
    for key in data:
        if key not in KEYS:
            shown = key[:MAX_SHOWN]
            raise contract.fail(f"unknown key {shown!r}", suggest(shown, KEYS))
    if len(data) > 1:
        raise contract.fail(f"the keys {' and '.join(data)} exclude each other", "Send one of them.")
    ((key, value),) = data.items()
    if key == "image":
        return "images", [_decode_image(value, key, contract)]
    if key == "images":
        if not isinstance(value, list) or not value:
            raise contract.fail("images is no list of base64 texts")
        return "images", [_decode_image(text, f"images[{i}]", contract) for i, text in enumerate(value)]
    return "tensors", _named_tensors(key, value, contract)


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
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        try:  # base64 command lines wrap lines
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise contract.fail(f"{where} is no base64 text: {error}") from error


def encode_answer(predictions: Sequence[Prediction] | None, outputs: Mapping[str, Any]) -> bytes:
    """Return the answer's JSON; NaN and infinities, which JSON lacks, become null."""
    answer: dict[str, Any] = {}
    if predictions is not None:
        answer["predictions"] = [_Encoded(p.label, p.index, p.probability) for p in predictions]
    answer["outputs"] = {name: to_lists(value) for name, value in outputs.items()}
    return msgspec.json.encode(answer)


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
