"""An ONNX file's graph: inputs, outputs, nodes, weights' shapes. Weights themselves are skipped, never read.

The file is mapped, so a hundred megabytes of weights cost nothing. Field numbers: onnx/onnx.proto, IR version 3 and up.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from penstock.entities.errors import NotFoundError
from penstock.inference.inspection.wire import DELIMITED, VARINT, DamagedError, Part, Reader, signed

DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "str",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8e4m3fn",
    18: "float8e4m3fnuz",
    19: "float8e5m2",
    20: "float8e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4e2m1",
}
_BITS = {"bool": 8, "complex64": 64, "complex128": 128, "bfloat16": 16, "uint4": 4, "int4": 4, "float4e2m1": 4}
MAX_DEPTH = 24
_SHOWN_LIST = 8
Length = int | str | None
"""A length of a shape: a number, the name of a free one, or None."""


@dataclass(frozen=True, slots=True)
class Value:
    """An input, an output or what flows between nodes; ``lengths`` is None where nothing is said."""

    name: str
    dtype: str
    lengths: tuple[Length, ...] | None

    @property
    def shape(self) -> tuple[int | None, ...] | None:
        """Return the shape with None for every free length."""
        if self.lengths is None:
            return None
        return tuple(n if isinstance(n, int) and n >= 0 else None for n in self.lengths)


@dataclass(frozen=True, slots=True)
class Weight:
    """A constant tensor of the file; ``size`` in bytes, wherever they are."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int
    is_external: bool = False

    @property
    def count(self) -> int:
        """Return how many values it has."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Node:
    """One operation; ``depth`` is above 0 within the branches of If and Loop, ``constant`` is what it holds itself."""

    name: str
    operator: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, str]
    depth: int
    constant: Weight | None = None


@dataclass(slots=True)
class Graph:
    """A whole file; nodes are in the order they run in."""

    size: int = 0
    ir_version: int = 0
    producer: str = ""
    producer_version: str = ""
    domain: str = ""
    model_version: int = 0
    name: str = ""
    doc: str = ""
    opsets: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    weights: dict[str, Weight] = field(default_factory=dict)
    functions: int = 0


def read_graph(file: Path) -> Graph:
    """Return the graph of an ONNX file.

    Raises
    ------
    NotFoundError
        If there is no such file.
    DamagedError
        If it is no ONNX file, or a damaged one.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NotFoundError(f"{file.name} cannot be read: {error.strerror}") from error
    try:
        size = os.fstat(descriptor).st_size
        if size == 0:
            raise DamagedError(f"{file.name} is empty")
        with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as mapped, memoryview(mapped) as buffer:
            return _read(Reader(buffer), size)
    except DamagedError as error:
        raise DamagedError(f"{file.name} is no ONNX file, or damaged: {error.message}") from error
    finally:
        os.close(descriptor)


def _read(reader: Reader, size: int) -> Graph:
    graph = Graph(size)
    found: list[Part] = []
    for number, kind, first, second in reader.fields((0, size)):
        if kind == VARINT:
            if number == 1:
                graph.ir_version = signed(first)
            elif number == 5:
                graph.model_version = signed(first)
        elif kind == DELIMITED:
            if number == 7:
                found.append((first, second))
            elif number == 8:
                domain, version = _opset(reader, (first, second))
                graph.opsets[domain or "ai.onnx"] = version
            elif number == 14:
                key, text = _pair(reader, (first, second))
                graph.metadata[key] = text
            elif number == 25:
                graph.functions += 1
            elif number in _TEXTS:
                setattr(graph, _TEXTS[number], reader.text(first, second))
    if not found:
        raise DamagedError("it holds no graph")
    for part in found:
        _read_graph(reader, part, graph, depth=0)
    constants = graph.weights.keys()
    graph.inputs = [value for value in graph.inputs if value.name not in constants]
    if not graph.outputs:
        raise DamagedError("its graph has no outputs")
    return graph


_TEXTS = {2: "producer", 3: "producer_version", 4: "domain", 6: "doc"}


def _read_graph(reader: Reader, part: Part, graph: Graph, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise DamagedError(f"its graphs are nested more than {MAX_DEPTH} deep")
    for number, kind, first, second in reader.fields(part):
        if kind != DELIMITED:
            continue
        inner = (first, second)
        if number == 1:
            _read_node(reader, inner, graph, depth)
        elif number == 5:
            weight = _weight(reader, inner)
            graph.weights[weight.name] = weight
        elif number == 13:
            value = _value(reader, inner)
            graph.values[value.name] = value
        elif depth == 0 and number == 2:
            graph.name = reader.text(first, second)
        elif depth == 0 and number in (11, 12):
            (graph.inputs if number == 11 else graph.outputs).append(_value(reader, inner))


def _read_node(reader: Reader, part: Part, graph: Graph, depth: int) -> None:
    inputs: list[str] = []
    outputs: list[str] = []
    texts = {3: "", 4: "", 7: ""}
    attributes: dict[str, str] = {}
    branches: list[Part] = []
    constant = None
    for number, kind, first, second in reader.fields(part):
        if kind != DELIMITED:
            continue
        if number == 1:
            inputs.append(reader.text(first, second))
        elif number == 2:
            outputs.append(reader.text(first, second))
        elif number == 5:
            name, text, weight = _attribute(reader, (first, second), branches)
            attributes[name] = text
            constant = weight or constant
        elif number in texts:
            texts[number] = reader.text(first, second)
    graph.nodes.append(Node(texts[3], texts[4], texts[7], tuple(inputs), tuple(outputs), attributes, depth, constant))
    for branch in branches:
        _read_graph(reader, branch, graph, depth=depth + 1)


def _attribute(reader: Reader, part: Part, branches: list[Part]) -> tuple[str, str, Weight | None]:
    """Return an attribute's name, its value as text, and the tensor it holds; its graphs go to ``branches``."""
    name, text, weight = "", "", None
    listed: list[str] = []
    for number, kind, first, second in reader.fields(part):
        if number == 1 and kind == DELIMITED:
            name = reader.text(first, second)
        elif number == 2 and kind == 5:
            text = f"{reader.number(first, second):g}"
        elif number == 3 and kind == VARINT:
            text = str(signed(first))
        elif number == 4 and kind == DELIMITED:
            text = reader.text(first, second, 200)
        elif number == 5 and kind == DELIMITED:
            weight = _weight(reader, (first, second))
            text = f"{weight.dtype}{list(weight.shape)}"
        elif number in (6, 11) and kind == DELIMITED:
            branches.append((first, second))
            text = "graph"
        elif number == 7 and kind == DELIMITED:
            listed += [f"{reader.number(at, at + 4):g}" for at in range(first, min(second - 3, first + 64), 4)]
        elif number == 7 and kind == 5:
            listed.append(f"{reader.number(first, second):g}")
        elif number == 8:
            listed += map(str, reader.numbers(kind, first, second, 16))
        elif number == 9 and kind == DELIMITED:
            listed.append(reader.text(first, second, 64))
    if listed:
        text = f"[{', '.join(listed[:_SHOWN_LIST])}{', …' if len(listed) > _SHOWN_LIST else ''}]"
    return name, text, weight


def _weight(reader: Reader, part: Part) -> Weight:
    name, dtype, shape, is_external = "", "float32", [], False
    held = 0
    for number, kind, first, second in reader.fields(part):
        if number == 1:
            shape += reader.numbers(kind, first, second)
        elif number == 2 and kind == VARINT:
            dtype = DTYPES.get(first, f"type {first}")
        elif number == 8 and kind == DELIMITED:
            name = reader.text(first, second)
        elif number == 14 and kind == VARINT:
            is_external = first == 1
        elif number == 6 and kind == DELIMITED:
            held += second - first
    if any(length < 0 for length in shape):
        raise DamagedError(f"weight {name!r} has a negative length")
    size = held if dtype == "str" else (prod(shape) * _bits(dtype) + 7) // 8
    return Weight(name, dtype, tuple(shape), size, is_external)


def _bits(dtype: str) -> int:
    if dtype in _BITS:
        return _BITS[dtype]
    digits = dtype.removeprefix("u").removeprefix("int").removeprefix("float")
    return int(digits) if digits.isdigit() else 8


def _value(reader: Reader, part: Part) -> Value:
    name, dtype = "", "unknown"
    lengths: tuple[Length, ...] | None = None
    for number, kind, first, second in reader.fields(part):
        if number == 1 and kind == DELIMITED:
            name = reader.text(first, second)
        elif number == 2 and kind == DELIMITED:
            dtype, lengths = _type(reader, (first, second))
    return Value(name, dtype, lengths)


def _type(reader: Reader, part: Part) -> tuple[str, tuple[Length, ...] | None]:
    for number, kind, first, second in reader.fields(part):
        if kind == DELIMITED and number == 1:
            return _tensor_type(reader, (first, second))
        if kind == DELIMITED and number in (4, 5, 9):
            return "sequence", None
    return "unknown", None


def _tensor_type(reader: Reader, part: Part) -> tuple[str, tuple[Length, ...] | None]:
    dtype = "unknown"
    lengths: tuple[Length, ...] | None = None
    for number, kind, first, second in reader.fields(part):
        if number == 1 and kind == VARINT:
            dtype = DTYPES.get(first, f"type {first}")
        elif number == 2 and kind == DELIMITED:
            dimensions = [(a, b) for n, k, a, b in reader.fields((first, second)) if n == 1 and k == DELIMITED]
            lengths = tuple(_length(reader, dimension) for dimension in dimensions)
    return dtype, lengths


def _length(reader: Reader, part: Part) -> Length:
    for number, kind, first, second in reader.fields(part):
        if number == 1 and kind == VARINT:
            return signed(first)
        if number == 2 and kind == DELIMITED:
            return reader.text(first, second, 80) or None
    return None


def _opset(reader: Reader, part: Part) -> tuple[str, int]:
    domain, version = "", 0
    for number, kind, first, second in reader.fields(part):
        if number == 1 and kind == DELIMITED:
            domain = reader.text(first, second)
        elif number == 2 and kind == VARINT:
            version = signed(first)
    return domain, version


def _pair(reader: Reader, part: Part) -> tuple[str, str]:
    texts = {1: "", 2: ""}
    for number, kind, first, second in reader.fields(part):
        if number in texts and kind == DELIMITED:
            texts[number] = reader.text(first, second)
    return texts[1], texts[2]
