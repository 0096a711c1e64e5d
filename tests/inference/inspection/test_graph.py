from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from penstock.entities.errors import NotFoundError
from penstock.inference.inspection.graph import read_graph
from penstock.inference.inspection.report import contract_of
from penstock.inference.inspection.wire import DamagedError
from penstock.inference.runtimes.onnx import OnnxRuntime


def save(tmp_path: Path, nodes, inputs, outputs, weights=(), **options) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights), doc_string="inner")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, **options)
    file = tmp_path / "model.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def info(name, kind=TensorProto.FLOAT, shape=("n", 4)):
    return helper.make_tensor_value_info(name, kind, shape)


def network(count: int = 3) -> onnx.ModelProto:
    weights = [numpy_helper.from_array(np.ones((4, 4), np.float32), f"w{i}") for i in range(count)]
    nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"], name=f"layer{i}") for i in range(count)]
    graph = helper.make_graph(nodes, "net", [info("x0")], [info(f"x{count}")], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_the_graph_is_what_onnx_reads(tmp_path):
    model = network(5)
    model.producer_name, model.producer_version, model.model_version, model.doc_string = "maker", "1.2", 7, "about it"
    onnx.helper.set_model_props(model, {"author": "Åsa", "empty": ""})
    file = tmp_path / "model.onnx"
    file.write_bytes(model.SerializeToString())
    graph = read_graph(file)
    assert (graph.ir_version, graph.producer, graph.producer_version, graph.model_version) == (9, "maker", "1.2", 7)
    assert (graph.doc, graph.name, graph.opsets) == ("about it", "net", {"ai.onnx": 17})
    assert graph.metadata == {"author": "Åsa", "empty": ""}
    assert [(n.name, n.operator, n.inputs, n.outputs) for n in graph.nodes] == [
        (n.name, n.op_type, tuple(n.input), tuple(n.output)) for n in model.graph.node
    ]
    assert [(w.name, w.shape, w.dtype, w.size) for w in graph.weights.values()] == [
        (w.name, tuple(w.dims), "float32", 64) for w in model.graph.initializer
    ]
    (only,) = graph.inputs
    assert (only.name, only.dtype, only.lengths, only.shape) == ("x0", "float32", ("n", 4), (None, 4))


def test_every_attribute_is_shown(tmp_path):
    branch = helper.make_graph([helper.make_node("Neg", ["a"], ["b"])], "branch", [], [info("b")])
    node = helper.make_node(
        "Custom", ["a"], ["c"], domain="my.ops", i=-3, f=0.5, s="text", ints=[1, -2], floats=[0.25, 2.0],
        strings=["p", "q"], t=numpy_helper.from_array(np.zeros((2, 3), np.int8)), many=list(range(20)), g=branch,
    )  # fmt: skip
    graph = read_graph(save(tmp_path, [node], [info("a")], [info("c")]))
    custom, inner = graph.nodes
    assert custom.attributes == {
        "i": "-3", "f": "0.5", "s": "text", "ints": "[1, -2]", "floats": "[0.25, 2]", "strings": "[p, q]",
        "t": "int8[2, 3]", "many": "[0, 1, 2, 3, 4, 5, 6, 7, …]", "g": "graph",
    }  # fmt: skip
    assert custom.constant is not None
    assert (custom.domain, custom.constant.count, inner.operator, inner.depth) == ("my.ops", 6, "Neg", 1)


@pytest.mark.parametrize(
    ("kind", "dtype", "size"),
    [
        (TensorProto.FLOAT16, "float16", 12),
        (TensorProto.DOUBLE, "float64", 48),
        (TensorProto.UINT8, "uint8", 6),
        (TensorProto.INT64, "int64", 48),
        (TensorProto.BOOL, "bool", 6),
    ],
)
def test_weights_are_counted_in_their_own_size(tmp_path, kind, dtype, size):
    weight = helper.make_tensor("w", kind, (2, 3), [0] * 6)
    graph = read_graph(save(tmp_path, [helper.make_node("Identity", ["w"], ["y"])], [], [info("y")], [weight]))
    assert (graph.weights["w"].dtype, graph.weights["w"].size, graph.weights["w"].count) == (dtype, size, 6)


def test_inputs_with_a_constant_of_their_name_are_none(tmp_path):
    weight = numpy_helper.from_array(np.ones(4, np.float32), "w")
    node = helper.make_node("Add", ["x", "w"], ["y"])
    graph = read_graph(save(tmp_path, [node], [info("x"), info("w", shape=(4,))], [info("y")], [weight]))
    assert [value.name for value in graph.inputs] == ["x"]


def test_the_contract_is_the_one_onnxruntime_gives(digits_folder, pixel_means):
    for folder in (digits_folder, pixel_means):
        own = contract_of(folder / "model.onnx")
        runtime = OnnxRuntime(folder)
        for part, tensors in (("inputs", runtime.contract.inputs), ("outputs", runtime.contract.outputs)):
            assert [(t["name"], t["dtype"], t["shape"]) for t in own[part]] == [
                (t.name, t.dtype, t.shape) for t in tensors
            ]


def test_large_weights_are_not_read(tmp_path):
    model = network(1)
    file = tmp_path / "model.onnx"
    weight = model.graph.initializer.add()
    weight.name, weight.data_type = "big", TensorProto.FLOAT
    weight.dims.extend([25_000_000])
    weight.raw_data = bytes(100_000_000)
    file.write_bytes(model.SerializeToString())
    del model, weight
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from penstock.inference.inspection.graph import read_graph\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "graph = read_graph(Path(sys.argv[1]))\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "import json; print(json.dumps([graph.weights['big'].count, grown, 'numpy' in sys.modules]))\n"
    )
    source = str(Path(sys.modules["penstock"].__file__ or "").parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], check=True, capture_output=True, env={"PYTHONPATH": source}
    )
    count, grown_kib, has_numpy = json.loads(done.stdout)
    assert (count, has_numpy) == (25_000_000, False)
    assert grown_kib < 20_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"not a model", "no ONNX file, or damaged"),
        (b"\x08\x08", "holds no graph"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "damaged"),
        (b"\x3a\x7f", "goes beyond its end"),
        (b"\x3a\x00", "no outputs"),
        (b"<!DOCTYPE html><html>", "damaged"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path, content, words):
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    with pytest.raises(DamagedError, match=words):
        read_graph(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(NotFoundError, match=r"gone\.onnx"):
        read_graph(tmp_path / "gone.onnx")


WHOLE = network(4).SerializeToString()


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=4), st.integers(0, len(WHOLE)))
def test_a_damaged_file_is_read_or_refused_never_worse(tmp_path_factory, place, piece, length):
    file = tmp_path_factory.getbasetemp() / "damaged.onnx"
    file.write_bytes((WHOLE[:place] + piece + WHOLE[place + len(piece) :])[:length])
    with contextlib.suppress(DamagedError):
        read_graph(file)


def part(number: int, content: bytes) -> bytes:
    """Return a length-delimited field."""
    length, size = len(content), b""
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def test_graphs_nested_without_end_are_refused(tmp_path):
    graph = b""
    for _ in range(2000):
        graph = part(1, part(5, part(6, graph)))  # a node whose attribute is a graph
    file = tmp_path / "model.onnx"
    file.write_bytes(part(7, graph))
    with pytest.raises(DamagedError, match="nested"):
        read_graph(file)
