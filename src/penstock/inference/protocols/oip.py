"""The Open Inference Protocol v2 over HTTP: a model's metadata and inference, with the binary tensor extension.

Specification: https://github.com/kserve/open-inference-protocol and, for the extensions ``binary_tensor_data`` and
``classification``, Triton's. Health and the server's own metadata are ``health``'s.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from penstock.inference.contract import MAX_SHOWN, Array, BadInputError, TensorContract, suggest
from penstock.inference.protocols import tensors
from penstock.inference.protocols.base import Model, say
from penstock.inference.protocols.classification import top_classes
from penstock.inference.protocols.paths import Asked
from penstock.inference.runtimes.base import ScoreRequest, ScoreResponse

LENGTH_HEADER = "Inference-Header-Content-Length"
PLATFORM = "onnxruntime_onnx"
_LENGTH = re.compile(r"[0-9]{1,12}")
_SHARED_MEMORY = "shared_memory_region"
_encode = msgspec.json.Encoder().encode


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: msgspec.Raw = msgspec.Raw(b"")


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Request(msgspec.Struct):
    inputs: list[_Tensor]
    id: str = ""
    parameters: dict[str, Any] | None = None
    outputs: list[_Output] | None = None


_decode_request = msgspec.json.Decoder(_Request).decode


@dataclass(frozen=True, slots=True)
class _Given:
    """Inputs of one request: tensors by name, or encoded pictures."""

    tensors: Mapping[str, Any]
    pictures: list[bytes] | None = None


def metadata(model: Model, request: ScoreRequest, asked: Asked) -> ScoreResponse:
    """Return a model's inputs and outputs."""
    contract = model.contract
    body: dict[str, Any] = {
        "name": asked.model,
        "versions": [request.version],
        "platform": PLATFORM,
        "inputs": [_described(tensor) for tensor in contract.inputs],
        "outputs": [_described(tensor) for tensor in contract.outputs],
    }
    if contract.takes_images:
        body["parameters"] = {"encoded_pictures": f"{contract.inputs[0].name}: BYTES of shape [-1]"}
    return ScoreResponse(_encode(body))


def infer(model: Model, request: ScoreRequest, asked: Asked) -> ScoreResponse:
    """Answer an inference request; a mistake of the client is a 400 with ``error``."""
    try:
        sent, given = _read(model, request)
        chosen = _choose_outputs(model, sent)
        outputs = model.run_images(given.pictures) if given.pictures is not None else model.run(given.tensors)
        return _write(model, request, asked, sent, [(name, outputs[name], options) for name, options in chosen])
    except BadInputError as error:
        return ScoreResponse(_encode({"error": say(error)}), status=400)


def _described(tensor: TensorContract) -> dict[str, Any]:
    rank_unknown = [-1, -1] if tensor.dtype == "sequence" else [-1]
    shape = rank_unknown if tensor.shape is None else [-1 if n is None else n for n in tensor.shape]
    return {"name": tensor.name, "datatype": tensors.datatype_of(tensor.dtype), "shape": shape}


def _read(model: Model, request: ScoreRequest) -> tuple[_Request, _Given]:
    body = request.body
    header_length = request.headers.get(LENGTH_HEADER.lower(), "")
    if not header_length:
        length = len(body)
    elif _LENGTH.fullmatch(header_length) and int(header_length) <= len(body):
        length = int(header_length)
    else:
        raise BadInputError(f"{LENGTH_HEADER} is {header_length[:20]!r}, the body has {len(body)} bytes")
    if length == 0 and header_length:
        return _Request([]), _read_raw(model, memoryview(body))
    try:
        sent = _decode_request(body[:length] if length < len(body) else body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(f"the request is no inference request: {str(error)[:300]}") from error
    return sent, _read_inputs(model, sent.inputs, memoryview(body)[length:])


def _read_raw(model: Model, content: memoryview) -> _Given:
    """Return the only input of a body without JSON: its raw values, or one encoded picture."""
    contract = model.contract
    if contract.takes_images:
        return _Given({}, [bytes(content)])
    if len(contract.inputs) != 1 or contract.inputs[0].dtype in {"str", "sequence"}:
        raise BadInputError(f"{LENGTH_HEADER}: 0 is for models with one input of numbers", hint="Send a JSON part.")
    tensor = contract.inputs[0]
    dtype = np.dtype(tensor.dtype)
    lengths = list(tensor.shape or (None,))
    if lengths.count(None) > 1:
        raise BadInputError("the shape of a body without a JSON part can not be told", hint="Send a JSON part.")
    if None in lengths:
        row = int(np.prod([n for n in lengths if n is not None], dtype=np.int64)) * dtype.itemsize
        lengths[lengths.index(None)] = len(content) // row if row else 0
    shape = [n or 0 for n in lengths]
    return _Given({tensor.name: tensors.from_bytes(tensor.name, tensors.datatype_of(tensor.dtype), shape, content)})


def _read_inputs(model: Model, inputs: list[_Tensor], binary: memoryview) -> _Given:
    wanted = {tensor.name: tensor for tensor in model.contract.inputs}
    found: dict[str, Array] = {}
    pictures: list[bytes] | None = None
    position = 0
    for given in inputs:
        tensor = wanted.get(given.name)
        if tensor is None:
            shown = given.name[:MAX_SHOWN]
            raise BadInputError(f"the model has no input {shown!r}", hint=suggest(shown, list(wanted)))
        if given.name in found or pictures is not None:
            raise BadInputError(f"input {given.name!r} is there twice")
        size = _binary_size(given)
        part = None
        if size is not None:
            part, position = binary[position : position + size], position + size
            if position > len(binary):
                raise BadInputError(f"input {given.name!r} says {size} bytes, the body has not so many after its JSON")
        tensors.check_datatype(given.name, given.datatype)
        if given.datatype == tensors.BYTES and model.contract.takes_images and tensor.dtype != "str":
            pictures = _pictures(given, part)
            continue
        _check_type(model, tensor, given)
        found[given.name] = _value(given, part)
    if position != len(binary):
        raise BadInputError(f"{len(binary) - position} bytes at the body's end are no input's")
    return _Given(found, pictures)


def _binary_size(given: _Tensor) -> int | None:
    """Return how many raw bytes an input has, None where its values are JSON."""
    parameters = given.parameters or {}
    if _SHARED_MEMORY in parameters:
        raise BadInputError(f"input {given.name!r}: shared memory is not offered", hint="Send the values in the body.")
    size = parameters.get("binary_data_size")
    data = memoryview(given.data)
    has_json = data.nbytes > 4 or bytes(data) not in (b"", b"null")
    if size is None:
        if not has_json:
            raise BadInputError(f"input {given.name!r} has neither data nor binary_data_size")
        return None
    if has_json:
        raise BadInputError(f"input {given.name!r} has both data and binary_data_size", hint="Send one of them.")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise BadInputError(f"input {given.name!r}: binary_data_size is no number of bytes")
    return size


def _check_type(model: Model, tensor: TensorContract, given: _Tensor) -> None:
    wanted = tensors.datatype_of(tensor.dtype)
    if given.datatype != wanted:
        also = " (or BYTES, encoded pictures)" if model.contract.takes_images else ""
        raise BadInputError(f"input {given.name!r} is {given.datatype}", hint=f"The model takes {wanted}{also}.")


def _value(given: _Tensor, part: memoryview | None) -> Array:
    if part is None:
        return tensors.from_json(given.name, given.datatype, given.shape, given.data)
    if given.datatype == tensors.BYTES:
        elements = tensors.split_bytes(given.name, given.shape, part)
        return tensors.to_texts(given.name, given.shape, elements)
    return tensors.from_bytes(given.name, given.datatype, given.shape, part)


def _pictures(given: _Tensor, part: memoryview | None) -> list[bytes]:
    """Return encoded pictures: raw, or base64 in JSON."""
    if part is not None:
        pictures = tensors.split_bytes(given.name, given.shape, part)
    else:
        texts = tensors.from_json(given.name, given.datatype, given.shape, given.data)
        try:
            pictures = [base64.b64decode(text, validate=True) for text in texts.flat]
        except (binascii.Error, ValueError) as error:
            raise BadInputError(f"input {given.name!r}: a picture in JSON is base64 text; {error}") from error
    if not pictures:
        raise BadInputError(f"input {given.name!r} holds no picture")
    return pictures


def _choose_outputs(model: Model, sent: _Request) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the outputs asked for with their parameters; all where none is named."""
    known = [tensor.name for tensor in model.contract.outputs]
    is_binary = (sent.parameters or {}).get("binary_data_output", False)
    if not isinstance(is_binary, bool):
        raise BadInputError("binary_data_output is neither true nor false")
    if not sent.outputs:
        return [(name, {"binary_data": is_binary}) for name in known]
    chosen: dict[str, Mapping[str, Any]] = {}
    for output in sent.outputs:
        if output.name not in known:
            shown = output.name[:MAX_SHOWN]
            raise BadInputError(f"the model has no output {shown!r}", hint=suggest(shown, known))
        options = {"binary_data": is_binary, **(output.parameters or {})}
        if not isinstance(options["binary_data"], bool):
            raise BadInputError(f"output {output.name!r}: binary_data is neither true nor false")
        if _SHARED_MEMORY in options:
            raise BadInputError(f"output {output.name!r}: shared memory is not offered")
        chosen[output.name] = options
    return list(chosen.items())


def _write(
    model: Model,
    request: ScoreRequest,
    asked: Asked,
    sent: _Request,
    chosen: list[tuple[str, Any, Mapping[str, Any]]],
) -> ScoreResponse:
    described: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, value, options in chosen:
        array = tensors.to_array(value)
        if options.get("classification") is not None:
            array = top_classes(name, array, options["classification"], model.labels)
        datatype = tensors.BYTES if array.dtype.kind == "O" else tensors.datatype_of(array.dtype.name)
        output: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if options["binary_data"]:
            content = tensors.to_bytes(array)
            output["parameters"] = {"binary_data_size": len(content)}
            parts.append(content)
        else:
            output["data"] = array.reshape(-1).tolist()
        described.append(output)
    answer: dict[str, Any] = {"model_name": asked.model, "model_version": request.version}
    if sent.id:
        answer["id"] = sent.id
    head = _encode({**answer, "outputs": described})
    if not parts:
        return ScoreResponse(head)
    headers = {LENGTH_HEADER: str(len(head))}
    return ScoreResponse(b"".join([head, *parts]), "application/octet-stream", headers=headers)
