"""A model's inputs, outputs and sample requests as JSON Schema, for its OpenAPI."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from math import prod
from typing import Any

from penstock.inference.contract import ModelContract, TensorContract
from penstock.inference.protocols import tensors
from penstock.inference.protocols.base import Model
from penstock.inference.samples import MAX_SAMPLE_VALUES, sample_tensor
from penstock.shim.png import encode_png

Json = dict[str, Any]
_SMALL_SIDE, _LARGE_SIDE = 32, 512


def tensor_schema(tensor: TensorContract) -> Json:
    """Return the schema of nested lists that fit; anything where the shape is not known."""
    if tensor.shape is None or tensor.dtype == "sequence":
        return {"description": f"{tensor.name}: {tensor.dtype}"}
    schema: Json = _item(tensor.dtype)
    for length in reversed(tensor.shape):
        schema = {"type": "array", "items": schema}
        if length is not None:
            schema.update(minItems=length, maxItems=length)
    shape = ", ".join("any" if n is None else str(n) for n in tensor.shape)
    return {**schema, "description": f"{tensor.dtype}, shape [{shape}]"}


def _item(dtype: str) -> Json:
    if dtype == "str":
        return {"type": "string"}
    if dtype == "bool":
        return {"type": "boolean"}
    return {"type": "integer"} if "int" in dtype else {"type": "number"}


def score_bodies(contract: ModelContract) -> tuple[list[Json], Json]:
    """Return the forms of a JSON body for ``/score``, and examples by name that the model answers."""
    forms: list[Json] = []
    examples: Json = {}
    named = {tensor.name: tensor_schema(tensor) for tensor in contract.inputs}
    if contract.takes_images:
        text = {"type": "string", "contentEncoding": "base64", "description": "A PNG or JPEG file."}
        forms += [_object({"image": text}), _object({"images": {"type": "array", "items": text, "minItems": 1}})]
        examples["image"] = {"image": sample_picture(contract)}
    if len(named) == 1:
        forms.append(_object({"data": next(iter(named.values()))}))
    forms.append(_object({"inputs": _object(named)}))
    if contract.columns:
        names = {"type": "array", "items": {"enum": list(contract.columns)}}
        forms.append(_object({"columns": names, "data": {"type": "array", "items": {"type": "array"}}}))
        record = _object({name: {} for name in contract.columns})
        forms.append(_object({"records": {"type": "array", "items": record}}))
    if is_short(contract):
        examples["values"] = contract.sample_tensors()
    return forms, examples


def invocation_examples(contract: ModelContract) -> Json:
    """Return bodies for ``/invocations`` by form."""
    if contract.takes_images:
        return {"pictures": {"inputs": [sample_picture(contract)]}}
    if not is_short(contract):
        return {}
    named = {tensor.name: sample_tensor(tensor) for tensor in contract.inputs}
    examples: Json = {"inputs": {"inputs": next(iter(named.values())) if len(named) == 1 else named}}
    if contract.columns:
        sample = contract.sample_tensors()
        examples["dataframe_split"] = {"dataframe_split": sample}
        records = [dict(zip(sample["columns"], row, strict=True)) for row in sample["data"]]
        examples["dataframe_records"] = {"dataframe_records": records}
    return examples


def inference_example(contract: ModelContract) -> Json | None:
    """Return a body for ``/v2/models/<name>/infer``, None where it would be long."""
    if contract.takes_images:
        name = contract.inputs[0].name
        picture = {"name": name, "shape": [1], "datatype": tensors.BYTES, "data": [sample_picture(contract)]}
        return {"inputs": [picture]}
    if not is_short(contract):
        return None
    return {"inputs": [_inference_input(tensor) for tensor in contract.inputs]}


def _inference_input(tensor: TensorContract) -> Json:
    blank = tensor.blank()
    datatype = tensors.datatype_of(tensor.dtype)
    return {"name": tensor.name, "shape": list(blank.shape), "datatype": datatype, "data": blank.reshape(-1).tolist()}


def is_short(contract: ModelContract) -> bool:
    """Return whether a sample of every input is short enough to be shown."""
    return all(
        t.dtype != "sequence" and prod(1 if n is None else n for n in t.shape or ()) <= MAX_SAMPLE_VALUES
        for t in contract.inputs
    )


def sample_picture(contract: ModelContract) -> str:
    """Return a plain grey picture that is large enough for the model, in base64."""
    lengths = [n for tensor in contract.inputs for n in tensor.shape or () if n is not None]
    side = min(max([_SMALL_SIDE, *lengths]), _LARGE_SIDE)
    return base64.b64encode(encode_png(side, side, 1, b"\x80" * (side * side))).decode("ascii")


def problem_schema() -> Json:
    """Return the schema of what is said of a refused request, in any protocol."""
    texts = ("message", "detail", "error", "error_code", "hint")
    return {"type": "object", "properties": {name: {"type": "string"} for name in texts}}


def answer_schema(model: Model) -> Json:
    """Return the schema of an answer of ``/score``."""
    outputs = {tensor.name: tensor_schema(tensor) for tensor in model.contract.outputs}
    prediction = {
        "type": "object",
        "properties": {
            "label": {"enum": [*model.labels, None]} if model.labels else {},
            "index": {"type": "integer"},
            "probability": {"type": ["number", "null"]},
        },
    }
    return {
        "type": "object",
        "properties": {
            "predictions": {"type": "array", "items": prediction},
            "outputs": {"type": "object", "properties": outputs},
        },
    }


def _object(properties: Mapping[str, Any]) -> Json:
    return {"type": "object", "required": list(properties), "properties": dict(properties)}
