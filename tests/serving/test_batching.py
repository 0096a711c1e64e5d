"""Requests that wait travel together: the same answers, and one that fails harms no other."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from onnx import TensorProto, helper

from penstock.inference.runtimes.base import ScoreRequest
from penstock.inference.runtimes.batching import BatchGain
from penstock.inference.runtimes.onnx import OnnxRuntime
from penstock.serving.batches import batch_size
from penstock.serving.desired import Batching
from penstock.serving.parcels import is_many, pack_many, unpack_many
from penstock.serving.replica import answerer

POSSIBLE = {"batching": {"possible": True, "on_by_default": False}}
GAINING = {"batching": {"possible": True, "on_by_default": True}}


def model_of(tmp_path, *nodes, shape=("n", 2), out=("n", 2)):
    """Return a loaded and measured model x → y of these nodes."""
    graph = helper.make_graph(
        list(nodes),
        "tried",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1.0, 2.0, 3.0, 4.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    runtime = OnnxRuntime(tmp_path)
    runtime.warm_up()
    runtime.measure_batching()
    return runtime


@pytest.fixture
def linear(tmp_path):
    return model_of(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]))


def test_a_batch_is_answered_as_its_requests_alone(linear):
    rng = np.random.default_rng(7)
    bodies = [json.dumps({"data": rng.integers(-9, 9, (n, 2)).tolist()}).encode() for n in (1, 3, 1, 2, 1)]
    bodies += [b'{"data": [[1]]}', b"{", b'{"inputs": {"x": [[5, 6]]}}', b'{"data": [[1, 2]], "outputs": false}']
    answer = answerer(linear)
    alone = [answer(b"", body) for body in bodies]
    meta, content = answer(*pack_many([(b"", body) for body in bodies]))
    assert is_many(meta)
    assert unpack_many(meta, content) == alone


def test_requests_with_a_meta_part_of_their_own_travel_too(linear):
    answer = answerer(linear)
    asked = (b'{"content_type":"text/plain"}', b'{"data": [[1, 2]]}')
    parts = [(b"", b'{"data": [[1, 2]]}'), asked, (b"", b'{"data": [[3, 4]]}')]
    assert unpack_many(*answer(*pack_many(parts))) == [answer(*part) for part in parts]


def test_a_model_that_fails_on_a_batch_answers_its_requests_one_by_one(tmp_path):
    """It looks its number of rows up in a table of nine: of a batch with more, each request runs alone."""
    nodes = [
        helper.make_node("Constant", [], ["table"], value=helper.make_tensor("t", TensorProto.FLOAT, [9], [0.0] * 9)),
        helper.make_node("Shape", ["x"], ["rows"], end=1),
        helper.make_node("Gather", ["table", "rows"], ["zero"]),
        helper.make_node("Add", ["x", "zero"], ["y"]),
    ]
    runtime = model_of(tmp_path, *nodes)
    assert runtime.batching.is_right
    requests = [ScoreRequest(json.dumps({"data": [[n, 0]] * n}).encode()) for n in (4, 5)]
    answers = runtime.score_many(requests)
    assert [answer.body for answer in answers] == [runtime.score(request).body for request in requests]
    answer = answerer(runtime)
    bodies = [json.dumps({"data": [[1, 0]] * n}).encode() for n in (1, 9, 2)]
    parts = unpack_many(*answer(*pack_many([(b"", body) for body in bodies])))
    assert [b"400" in meta for meta, _ in parts] == [False, True, False]
    assert parts == [answer(b"", body) for body in bodies]


def test_a_gain_is_measured_and_shown(linear):
    shown = linear.batching.describe()
    assert shown["possible"]
    assert shown["gain_of_8"] > 0
    assert shown["batch_of_8_ms"] > 0


def test_a_model_whose_rows_see_each_other_takes_no_batches(tmp_path):
    mean = helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1)
    runtime = model_of(tmp_path, mean, helper.make_node("Sub", ["x", "m"], ["y"]))
    assert not runtime.batching.is_right


def test_a_model_of_fixed_length_takes_no_batches(tmp_path):
    runtime = model_of(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), shape=(1, 2), out=(1, 2))
    assert not runtime.batching.is_right


def test_a_long_running_model_is_tried_only_where_batches_are_asked_for(linear):
    linear.batching = BatchGain(is_right=False)
    linear.run_ms = 100.0
    linear.measure_batching()
    assert not linear.batching.is_right
    linear.measure_batching(is_asked_for=True)
    assert linear.batching.is_right


@pytest.mark.parametrize(
    ("wanted", "measured", "size"),
    [
        (Batching(), [GAINING], 16),
        (Batching(), [POSSIBLE], 1),
        (Batching(), [GAINING, POSSIBLE], 1),
        (Batching(), [], 1),
        (Batching(), [{}], 1),
        (Batching(enabled=True, max_batch_size=4), [POSSIBLE], 4),
        (Batching(enabled=True), [{"batching": {"possible": False}}], 1),
        (Batching(enabled=False), [GAINING], 1),
    ],
)
def test_what_is_said_wins_over_what_is_measured(wanted, measured, size):
    assert batch_size(wanted, measured) == size


def test_many_clients_of_a_batching_replica_get_their_own_answers(bench):
    """Eight clients, two workers: many requests wait and travel together, some of them wrong."""
    bench.start_gateway()
    settings = {"max_concurrent_requests_per_instance": 2, "request_timeout_ms": 60_000}
    deployment = bench.adding(1.0, instance_count=2, request_settings=settings, batching={"enabled": True})
    assert bench.deploy("sums", deployment)["measured"]["max_batch_size"] == 16
    wrong = []

    def ask(client):
        connection = bench.connect()
        for number in range(150):
            value = client * 1000 + number
            body = {"data": [[value, 0]] if number % 10 else [[value]]}
            answer = bench.ask(body=body, connection=connection)
            good = answer.status == 200 and answer.data == {"outputs": {"y": [[value + 1.0, 1.0]]}}
            if not good if number % 10 else answer.status != 400:
                wrong.append((value, answer.status, answer.body))
        connection.close()

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
