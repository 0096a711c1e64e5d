"""Everything a model folder says of itself, as JSON types: contract, sample request, layers, metadata, signature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from penstock.entities.errors import NotFoundError, PenstockError
from penstock.inference.declared import default_preprocessing, read_preprocessing
from penstock.inference.files import find_model_file
from penstock.inference.inspection.graph import Graph, Length, Node, Value, Weight, read_graph
from penstock.inference.labels import read_labels
from penstock.inference.samples import IMAGE_SAMPLE, columns_of, sample_tensors
from penstock.inference.signature import MlModel, read_column_names, read_example, read_mlmodel

Json = dict[str, Any]


def inspect_folder(path: Path) -> Json:
    """Return the report of a model folder or an ONNX file.

    Raises
    ------
    NotFoundError
        If there is neither an ONNX file nor an ``MLmodel``.
    DamagedError
        If the ONNX file is damaged.
    """
    mlmodel = read_mlmodel(path) if path.is_dir() else None
    try:
        file = find_model_file(path)
    except NotFoundError:
        if mlmodel is None:
            raise
        return {"kind": "mlflow", "file": path.name, **_described(path, mlmodel)}
    report = _of_graph(read_graph(file), file)
    return report if mlmodel is None else {**report, "mlmodel": _described(path, mlmodel)}


def contract_of(file: Path) -> Json:
    """Return inputs and outputs of an ONNX file alone: names, dtypes, shapes with None for free lengths."""
    graph = read_graph(file)
    return {
        part: [{"name": v.name, "dtype": v.dtype, "shape": v.shape} for v in values]
        for part, values in (("inputs", graph.inputs), ("outputs", graph.outputs))
    }


def _of_graph(graph: Graph, file: Path) -> Json:
    report: Json = {
        "kind": "onnx",
        "file": file.name,
        "size": graph.size,
        "name": graph.name,
        "producer": " ".join(text for text in (graph.producer, graph.producer_version) if text),
        "ir_version": graph.ir_version,
        "opsets": graph.opsets,
        "inputs": [_shown(value) for value in graph.inputs],
        "outputs": [_shown(value) for value in graph.outputs],
        **_extras(graph.inputs, file.parent),
        "parameters": sum(weight.count for weight in graph.weights.values())
        + sum(node.constant.count for node in graph.nodes if node.constant),
        "weights_size": sum(weight.size for weight in graph.weights.values())
        + sum(node.constant.size for node in graph.nodes if node.constant),
        "operators": dict(Counter(node.operator for node in graph.nodes).most_common()),
        "layers": _layers(graph),
    }
    for key, value in (("metadata", graph.metadata), ("doc", graph.doc), ("domain", graph.domain)):
        if value:
            report[key] = value
    if graph.functions:
        report["functions"] = graph.functions
    if any(weight.is_external for weight in graph.weights.values()):
        report["has_external_weights"] = True
    return report


def _extras(inputs: Sequence[Value], folder: Path) -> Json:
    """Return the sample request, and what stands beside the model; a mistake there is named, not raised."""
    answer: Json = {}
    preprocessing = None
    try:
        preprocessing = read_preprocessing(folder)
        labels = read_labels(folder)
        if labels:
            answer["labels"] = list(labels)
    except PenstockError as error:
        answer["problem"] = error.message
    if preprocessing is None and len(inputs) == 1:
        preprocessing = default_preprocessing(inputs[0])
    columns = columns_of(inputs, read_column_names(folder))
    answer["sample_request"] = dict(IMAGE_SAMPLE) if preprocessing else sample_tensors(inputs, columns)
    if preprocessing is not None:
        answer["preprocessing"] = preprocessing.model_dump(mode="json", exclude_defaults=True)
    if columns:
        answer["columns"] = list(columns)
    return answer


def _shown(value: Value) -> Json:
    lengths = None if value.lengths is None else list(value.lengths)
    return {"name": value.name, "dtype": value.dtype, "shape": lengths}


def _layers(graph: Graph) -> list[Json]:
    known = {value.name: value for value in (*graph.inputs, *graph.outputs)} | graph.values
    return [_layer(number, node, graph, known) for number, node in enumerate(graph.nodes)]


def _layer(number: int, node: Node, graph: Graph, known: dict[str, Value]) -> Json:
    weights = [graph.weights[name] for name in node.inputs if name in graph.weights]
    if node.constant is not None:
        weights.append(node.constant)
    layer: Json = {
        "index": number,
        "name": node.name or (node.outputs[0] if node.outputs else ""),
        "operator": f"{node.domain}.{node.operator}" if node.domain not in {"", "ai.onnx"} else node.operator,
        "inputs": [name for name in node.inputs if name and name not in graph.weights],
        "outputs": list(node.outputs),
        "weights": [_weight(weight) for weight in weights],
        "parameters": sum(weight.count for weight in weights),
        "size": sum(weight.size for weight in weights),
    }
    shapes = [known[name].lengths for name in node.outputs if name in known]
    if shapes and shapes[0] is not None:
        layer["shape"] = list(shapes[0])
    if node.attributes:
        layer["attributes"] = dict(node.attributes)
    if node.depth:
        layer["depth"] = node.depth
    return layer


def _weight(weight: Weight) -> Json:
    return {"name": weight.name, "dtype": weight.dtype, "shape": list(weight.shape)}


def shape_text(lengths: Sequence[Length] | None) -> str:
    """Return a shape as people write it: ``[N, 3, 224, 224]``."""
    return "any" if lengths is None else f"[{', '.join('?' if n is None else str(n) for n in lengths)}]"


def _described(folder: Path, model: MlModel) -> Json:
    report: Json = {"flavors": list(model.flavors)}
    if model.signature is not None:
        report["inputs"] = [column.describe() for column in model.signature.inputs]
        report["outputs"] = [column.describe() for column in model.signature.outputs]
        if model.signature.params:
            report["params"] = [dict(param) for param in model.signature.params]
    example = read_example(folder, model)
    if example is not None:
        report["input_example"] = example
    sample = _mlflow_sample(model) if example is None else example
    if sample is not None:
        report["sample_request"] = sample
    report["fields"] = {key: str(value) for key, value in model.fields.items() if isinstance(value, str | int | float)}
    return report


def _mlflow_sample(model: MlModel) -> Json | None:
    """Return a request made of the signature alone."""
    inputs = model.signature.inputs if model.signature else ()
    if not inputs:
        return None
    if inputs[0].shape is None:
        row = [_blank(column.dtype) for column in inputs]
        return {"dataframe_split": {"columns": [column.name for column in inputs], "data": [row]}}
    made = {}
    for tensor in inputs:
        lengths = [max(n, 1) for n in tensor.shape or ()]
        value: Any = _blank(tensor.dtype)
        for length in reversed(lengths) if prod(lengths) <= 256 else ():
            value = [value] * length
        made[tensor.name] = value if prod(lengths) <= 256 else f"nested list, shape {lengths}"
    return {"inputs": made["" if "" in made else next(iter(made))] if len(made) == 1 else made}


def _blank(dtype: str) -> Any:
    if dtype == "string" or dtype in {"datetime", "binary"}:
        return "2026-01-01T00:00:00" if dtype == "datetime" else ""
    if dtype == "boolean" or dtype == "bool":
        return False
    return 0 if dtype in {"integer", "long"} or "int" in dtype else 0.0
