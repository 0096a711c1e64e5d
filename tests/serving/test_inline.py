"""ONNX models that move into the gateway: when, what stays as it was, and what becomes of one that misbehaves there."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import threading
import weakref
from typing import Any

import pytest
from onnx import TensorProto, helper
from tests.serving.conftest import adding_model
from tests.serving.test_rollout import Load

from penstock.serving.desired import DesiredDeployment, FileEntry
from penstock.serving.inline import LOOP_BODY_BYTES, InlineModel, InlineModels, assignment
from penstock.serving.materials import Materials
from penstock.serving.parcels import Call
from penstock.serving.proofs import BARRED_S, Proofs
from penstock.serving.replica import answerer, load_runtime

SETTINGS = {"max_concurrent_requests_per_instance": 8}
ROW = {"data": [[0, 0]]}


def placement(bench, revision=1, name="blue"):
    """Return where the gateway last said that a deployment runs."""
    told = [r for r in bench.door.reports if (r["deployment"], r["revision"]) == (name, revision)]
    return told[-1]["measured"].get("placement", "") if told else ""


@pytest.fixture
def inline(bench, eventually):
    """Return a bench whose model has moved in."""
    bench.gateway = bench.start_gateway()
    bench.deploy("sums", bench.adding(1.0, request_settings=SETTINGS))
    eventually(lambda: placement(bench).startswith("gateway") and bench.replicas() == [])
    return bench


def test_a_small_model_moves_in_and_its_replica_ends(inline):
    assert placement(inline) == "gateway, on the event loop"
    assert inline.ask(body=ROW).data == {"outputs": {"y": [[1.0, 1.0]]}}
    report = inline.door.reports[-1]
    assert report["state"] == "ready"
    assert report["measured"]["run_ms"] < 0.3
    log = (inline.home.logs / "endpoints" / "sums" / "blue.log").read_text()
    assert "runs in the gateway, on the event loop" in log


def test_answers_and_refusals_are_those_of_a_replica(bench, eventually):
    """Each request goes to the same model here and there; ids apart, no byte differs."""
    bench.start_gateway()
    bench.door.change("sums", bench.adding(1.0, name="green", resources={"limits": {"memory": "1Gi"}}))
    bench.deploy("sums", bench.adding(1.0))
    bench.door.wait_report("green", 1)
    eventually(lambda: placement(bench).startswith("gateway"))
    large = json.dumps({"data": [[1, 2]] * 5000})
    for body in (json.dumps(ROW), large, "{", '{"data": [[1]]}', '{"inputs": {"x": [[1, 2]]}}', '{"data": "a"}', ""):
        answers = [bench.ask(body=body, azureml_model_deployment=name, x_request_id="1") for name in ("blue", "green")]
        shown = [{k: v for k, v in a.headers.items() if k != "azureml-model-deployment"} for a in answers]
        assert (answers[0].status, answers[0].body, shown[0]) == (answers[1].status, answers[1].body, shown[1])
    for path in ("/endpoints/sums/swagger.json", "/endpoints/sums/v2/models/blue"):
        assert bench.ask(path, method="GET").status == 200


def test_keys_are_asked_for_on_the_shortest_way_too(inline, eventually):
    assert inline.ask(body=ROW).status == 200
    assert inline.ask(body=ROW, key=None).status == 401
    assert inline.ask(body=ROW, key="another").status == 401
    inline.door.change("sums", keys=[])
    eventually(lambda: inline.ask(body=ROW).status == 401)  # though the key was right once


def test_ids_are_made_echoed_and_limited_on_the_shortest_way(inline):
    answers = [inline.ask(body=ROW) for _ in range(3)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 3
    assert all(answer.headers["x-request-id"] == answer.headers["x-ms-request-id"] for answer in answers)
    assert inline.ask(body=ROW, x_request_id="mine").headers["x-request-id"] == "mine"
    assert inline.ask(body=ROW, x_request_id="m" * 101).status == 431
    answer = inline.ask(body=ROW, x_ms_client_request_id="client")
    assert answer.headers["x-ms-client-request-id"] == answer.headers["x-ms-request-id"] == "client"


def test_pipelined_and_split_requests_are_answered_in_order(inline):
    head = b"POST /endpoints/sums/score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer key-of-the-tests\r\n"
    bodies = [b'{"data": [[%d, 0]]}' % number for number in range(20)]
    sent = b"".join(head + b"content-length: %d\r\n\r\n%b" % (len(body), body) for body in bodies)
    connection = inline.connect()
    connection.connect()
    got = b""
    for start in range(0, len(sent), 331):  # cuts heads and bodies anywhere
        connection.sock.sendall(sent[start : start + 331])
    while got.count(b"HTTP/1.1 200") < 20 or not got.endswith(b"}}"):
        got += connection.sock.recv(65536)
    connection.close()
    values = [json.loads(part.split(b"\r\n\r\n")[1])["outputs"]["y"][0][0] for part in got.split(b"HTTP/1.1 200")[1:]]
    assert values == [number + 1.0 for number in range(20)]


def test_updates_rollbacks_and_a_drain_drop_no_request(inline, eventually):
    with Load(inline) as load:
        for revision, amount in enumerate([2.0, 3.0, 2.0], start=2):
            inline.deploy_quietly(inline.adding(amount, revision=revision, request_settings=SETTINGS))
            load.wait_seen(amount)
            eventually(lambda revision=revision: placement(inline, revision).startswith("gateway"))
            load.wait_more(40)
        many = {"instance_count": 2, "request_settings": SETTINGS}
        inline.deploy_quietly(inline.adding(2.0, revision=5, **many))  # which do not fit into one process
        assert placement(inline, 5) == "replica"
        load.wait_more(40)
        script = "import json\ndef init(): pass\ndef run(raw): return {'outputs': {'y': [[-1.0, 0]]}}"
        inline.deploy_quietly(inline.script(script, revision=6, request_settings=SETTINGS))
        load.wait_seen(-1.0)
        inline.deploy_quietly(inline.adding(7.0, revision=7, request_settings=SETTINGS))
        eventually(lambda: placement(inline, 7).startswith("gateway"))
        load.wait_seen(7.0)
    assert set(load.seen) == {1.0, 2.0, 3.0, -1.0, 7.0}


def test_the_next_gateway_opens_it_at_once(inline):
    inline.gateway.kill()
    inline.gateway.wait()
    inline.home.server_record.unlink()
    inline.start_gateway()
    assert inline.ask(body=ROW).status == 200  # the first connection waits in the socket until all is open
    assert inline.replicas() == []


def test_a_model_that_was_loading_when_the_gateway_died_is_opened_in_a_replica(inline, eventually):
    inline.gateway.kill()
    inline.gateway.wait()
    (proven,) = (inline.home.run / "inline").glob("*.proven")
    proven.with_suffix(".loading").touch()
    inline.start_gateway()
    eventually(lambda: inline.ask(body=ROW).status == 200)
    assert len(inline.replicas()) == 1
    assert "they go on in replicas" in inline.log()


def test_a_model_that_was_running_when_the_gateway_died_is_opened_in_a_replica(inline, eventually):
    inline.gateway.kill()
    inline.gateway.wait()
    (running,) = (inline.home.run / "inline").glob("*.running")
    running.write_bytes(b"\1" + running.read_bytes()[1:])
    inline.start_gateway()
    eventually(lambda: inline.ask(body=ROW).status == 200)
    assert len(inline.replicas()) == 1


def test_a_bar_ends_after_an_hour(tmp_path):
    times = [0.0]
    proofs = Proofs(tmp_path, now=lambda: (tmp_path / "a.barred").stat().st_mtime + times[0])
    proofs.bar("a", "it died")
    assert proofs.why_barred("a") == "it died"
    times[0] = BARRED_S + 1
    assert proofs.why_barred("a") == ""
    assert not (tmp_path / "a.barred").exists()


def looping_model() -> bytes:
    """Return a model that counts up to ``n[0, 0]`` one by one: y = [n, 1]."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["sum", "step"], ["more"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, []),
        ],
        [helper.make_tensor("step", TensorProto.FLOAT, [], [1.0])],
    )
    nodes = [
        helper.make_node("ReduceMax", ["n"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["times"], to=TensorProto.INT64),
        helper.make_node("Loop", ["times", "yes", "zero"], ["total"], body=body),
        helper.make_node("Mul", ["n", "total"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "looping",
        [helper.make_tensor_value_info("n", TensorProto.FLOAT, ["b", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 1])],
        [
            helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def test_a_model_that_hangs_in_the_gateway_goes_back_to_a_replica(bench, eventually):
    """A loop whose length is the client's: never on the event loop, and given up when it does not come back."""
    bench.start_gateway()
    files = bench.files(model_onnx=looping_model())
    deployment = {"name": "blue", "revision": 1, "model_tree": files, "request_settings": {"request_timeout_ms": 999}}
    bench.deploy("sums", deployment)
    eventually(lambda: placement(bench) == "gateway, 1 threads")
    assert bench.ask(body={"data": [[3]]}).data == {"outputs": {"y": [[9.0]]}}
    bench.deploy("others", bench.adding(1.0, name="other"))
    assert bench.ask(body={"data": [[1e12]]}).status == 408
    assert bench.ask("/endpoints/others/score", body=ROW).status == 200  # the loop goes on meanwhile
    eventually(lambda: bench.ask(body={"data": [[2]]}).status == 200)
    eventually(lambda: placement(bench) == "replica")
    assert "goes back to a replica" in bench.log()


def test_models_move_in_as_long_as_they_fit_together(bench, eventually):
    size = len(adding_model(1.0))
    bench.start_gateway(inline_bytes=2 * size + size // 2)
    for number in range(3):
        bench.deploy_quietly(bench.adding(float(number), name=f"blue-{number}"))
        bench.door.wait_report(f"blue-{number}", 1, count=1 + (number < 2))
    assert len(bench.replicas()) == 1
    assert placement(bench, name="blue-2") == "replica"
    with bench.door.changed:
        entry = bench.door.endpoints["sums"]
        kept = [deployment for deployment in entry["deployments"] if deployment["name"] != "blue-0"]
    bench.door.change("sums", deployments=kept)
    eventually(lambda: placement(bench, name="blue-2").startswith("gateway"))  # there is room now


def test_models_that_declare_resources_stay_out(bench):
    bench.start_gateway()
    report = bench.deploy("sums", bench.adding(1.0, resources={"requests": {"memory": "1Gi"}}))
    assert report["measured"]["placement"] == "replica"
    assert len(bench.replicas()) == 1


def test_two_deployments_of_one_model_do_not_share_their_marks(tmp_path):
    proofs = Proofs(tmp_path)
    first, second = proofs.open_marks("model", 4096), proofs.open_marks("model", 2)
    first.bytes[4095] = 1
    assert (len(first.bytes), len(second.bytes), second.bytes[0]) == (4096, 2, 0)
    second.remove()
    assert Proofs(tmp_path).learn() == ["model"]  # the first was running when its gateway died
    assert list(tmp_path.iterdir()) == [tmp_path / "model.barred"]


def test_what_is_large_or_came_compressed_is_not_for_the_event_loop(tmp_path):
    model = InlineModel(
        ("sums", "blue"),
        DesiredDeployment("blue", 1),
        answer=lambda meta, body: (b"", body),
        measured={},
        marks=Proofs(tmp_path).open_marks("model", 1),
        workers=0,
        is_quick=True,
        on_free=print,
    )
    assert model.direct(b"", b"small") == (b"", b"small")
    assert model.direct(b'{"headers":{"content-encoding":"gzip"}}', b"small") is None
    assert model.direct(b"", b" " * (LOOP_BODY_BYTES + 1)) is None


def test_a_stopped_model_is_freed_once_it_has_answered(tmp_path):
    asyncio.run(free_a_model(tmp_path))


async def free_a_model(tmp_path):
    (tmp_path / "model.onnx").write_bytes(adding_model(1.0))
    deployment = DesiredDeployment("blue", 1)
    runtime = load_runtime(assignment(deployment, tmp_path))
    freed = asyncio.Event()
    model = InlineModel(
        ("sums", "blue"),
        deployment,
        answer=answerer(runtime),
        measured={},
        marks=Proofs(tmp_path / "inline").open_marks("model", 2),
        workers=1,
        is_quick=False,
        on_free=lambda model, link: freed.set(),
    )
    name = f"inline-{model.replica_id}-1"
    (thread,) = [one for one in threading.enumerate() if one.name == name]
    known: list[weakref.ref[Any]] = [weakref.ref(runtime), weakref.ref(model)]
    del runtime
    gc.freeze()  # as the gateway does: no look for cycles will find it
    try:
        call = Call(b"", json.dumps(ROW).encode(), asyncio.get_running_loop().create_future())
        model.links[0].send(call)
        model.close()
        assert json.loads((await call.future)[1]) == {"outputs": {"y": [[1.0, 1.0]]}}
        await freed.wait()
        await asyncio.to_thread(thread.join)
        call.link = None
        del model
        assert [one() for one in known] == [None, None]
    finally:
        gc.unfreeze()
    assert list((tmp_path / "inline").iterdir()) == []


def test_a_newer_model_may_load_beside_the_one_before_it(tmp_path):
    asyncio.run(load_two_models(tmp_path))


async def load_two_models(tmp_path):
    deployments = []
    for amount in (1.0, 2.0):
        content = adding_model(amount)
        digest = hashlib.sha256(content).hexdigest()
        blob = tmp_path / "blobs" / digest[:2] / digest
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        entry = FileEntry("model.onnx", digest, len(content))
        deployments.append(DesiredDeployment("blue", int(amount), model_tree=[entry]))
    (tmp_path / "logs").mkdir()
    models = InlineModels(
        tmp_path / "inline",
        Materials(tmp_path / "serving", tmp_path / "blobs"),
        log_of=lambda key: tmp_path / "logs" / "log",
        max_bytes=2**20,
        on_change=lambda: None,
        on_free=lambda model, link: None,
    )
    key = ("sums", "blue")
    for deployment in deployments:
        models.consider(key, deployment, {})
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    try:
        found = models.seen({key: deployments[-1]})
        assert {one.fingerprint for one in found} == {one.fingerprint for one in deployments}
    finally:
        await models.close()
        gc.unfreeze()
