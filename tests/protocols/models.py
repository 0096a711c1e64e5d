"""Small ONNX models of every kind of input, and a way to ask them without HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from penstock.inference.protocols.answering import answer
from penstock.inference.runtimes.base import ScoreRequest, ScoreResponse
from penstock.inference.runtimes.onnx import OnnxRuntime

NUMBERS = {
    "BOOL": (TensorProto.BOOL, "bool"),
    "UINT8": (TensorProto.UINT8, "uint8"),
    "UINT16": (TensorProto.UINT16, "uint16"),
    "UINT32": (TensorProto.UINT32, "uint32"),
    "UINT64": (TensorProto.UINT64, "uint64"),
    "INT8": (TensorProto.INT8, "int8"),
    "INT16": (TensorProto.INT16, "int16"),
    "INT32": (TensorProto.INT32, "int32"),
    "INT64": (TensorProto.INT64, "int64"),
    "FP16": (TensorProto.FLOAT16, "float16"),
    "FP32": (TensorProto.FLOAT, "float32"),
    "FP64": (TensorProto.DOUBLE, "float64"),
}


def graph(
    nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], constants: list[Any] | None = None
) -> bytes:
    """Return an ONNX file; inputs and outputs are name → (type, shape)."""
    made = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        constants or [],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def echo(kind: int, shape: list[Any] | None) -> bytes:
    """Return a model that gives back its input ``x`` as ``y``."""
    return graph([helper.make_node("Identity", ["x"], ["y"])], {"x": (kind, shape)}, {"y": (kind, shape)})


def house(*, is_flat: bool = False) -> bytes:
    """Return a model of two columns, [n, 1] or flat: price = 2 · area + 10 · rooms."""
    nodes = [
        helper.make_node("Mul", ["area", "two"], ["a"]),
        helper.make_node("Mul", ["rooms", "ten"], ["r"]),
        helper.make_node("Add", ["a", "r"], ["price"]),
    ]
    column = (TensorProto.FLOAT, ["n"] if is_flat else ["n", 1])
    constants = [
        helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0]),
        helper.make_tensor("ten", TensorProto.FLOAT, [1], [10.0]),
    ]
    return graph(nodes, {"area": column, "rooms": column}, {"price": column}, constants)


def scores() -> bytes:
    """Return a classifier of four numbers: its scores are the numbers, its label the largest one's index."""
    nodes = [
        helper.make_node("Identity", ["x"], ["scores"]),
        helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
    ]
    return graph(
        nodes,
        {"x": (TensorProto.FLOAT, ["n", 4])},
        {"label": (TensorProto.INT64, ["n"]), "scores": (TensorProto.FLOAT, ["n", 4])},
    )


def brightness() -> bytes:
    """Return a model of pictures: the mean of each channel."""
    return graph(
        [helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[2, 3], keepdims=0)],
        {"pixels": (TensorProto.FLOAT, ["n", 3, 8, 8])},
        {"means": (TensorProto.FLOAT, ["n", 3])},
    )


def write(folder: Path, content: bytes, **others: str) -> OnnxRuntime:
    """Load a model from a folder; others are files beside it, ``labels_txt`` meaning ``labels.txt``."""
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(content)
    for name, text in others.items():
        (folder / name.replace("_", ".")).write_text(text)
    return OnnxRuntime(folder)


def ask(runtime: OnnxRuntime, path: str, body: Any = b"", content_type: str = "application/json", **more: Any) -> Any:
    """Return status and answer: JSON types, or the response itself where it is none."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    method = "POST" if content or path.endswith("infer") else "GET"
    response = answer(runtime, ScoreRequest(content, content_type, method, path, **more))
    is_json = response.content_type == "application/json"
    return response.status, json.loads(response.body) if is_json else response


def infer(runtime: OnnxRuntime, request: dict[str, Any], *parts: bytes, name: str = "m") -> ScoreResponse:
    """Send an inference request, with raw tensors behind its JSON where there are some."""
    head = json.dumps(request).encode()
    headers = {"inference-header-content-length": str(len(head))} if parts else {}
    body = b"".join([head, *parts])
    return answer(runtime, ScoreRequest(body, path=f"/v2/models/{name}/infer", headers=headers))


def read_tensors(response: ScoreResponse) -> dict[str, Any]:
    """Return the outputs of an answer by name, read as the specification says and by no code of ours."""
    length = int(response.headers.get("Inference-Header-Content-Length", len(response.body)))
    head, rest = json.loads(response.body[:length]), response.body[length:]
    found: dict[str, Any] = {}
    for output in head["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        dtype = NUMBERS[output["datatype"]][1] if output["datatype"] in NUMBERS else object
        if size is None:
            values: Any = np.array(output["data"], dtype=dtype)
        elif dtype is object:
            values = np.array(_texts(rest[:size]), dtype=object)
        else:
            values = np.frombuffer(rest[:size], dtype)
        rest = rest[size or 0 :]
        found[output["name"]] = values.reshape(output["shape"])
    assert not rest
    return found


def _texts(content: bytes) -> list[str]:
    found = []
    while content:
        end = 4 + int.from_bytes(content[:4], "little")
        found.append(content[4:end].decode())
        content = content[end:]
    return found
