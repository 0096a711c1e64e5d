"""Requests through a real gateway to a real ONNX replica."""

from __future__ import annotations

import hashlib
import itertools
import json
import resource
import socket
import threading
from pathlib import Path

import pytest


@pytest.fixture
def sums(bench):
    bench.start_gateway()
    report = bench.deploy("sums", bench.adding(1.0, request_settings={"max_concurrent_requests_per_instance": 4}))
    assert report["state"] == "ready"
    return bench


def test_a_deployed_model_answers(sums):
    answer = sums.ask(body={"data": [[1, 2]]})
    assert answer.status == 200
    assert answer.data == {"outputs": {"y": [[2.0, 3.0]]}}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["azureml-model-deployment"] == "blue"


def test_keys_are_asked_for(sums):
    for key in (None, "wrong", ""):
        answer = sums.ask(body={"data": [[1, 2]]}, key=key)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.data["code"] == "unauthenticated"
    sums.door.change("sums", keys=[hashlib.sha256(name.encode()).hexdigest() for name in ("first", "second")])
    sums.deploy("sums", sums.adding(1.0, revision=2, request_settings={"max_concurrent_requests_per_instance": 4}))
    assert sums.ask(body={"data": [[1, 2]]}).status == 401
    for key in ("first", "second"):
        assert sums.ask(body={"data": [[1, 2]]}, key=key).status == 200


def test_the_platforms_refusal_of_a_request_is_a_400_with_a_sample(sums):
    answer = sums.ask(body={"data": [[1, 2, 3]]})
    assert answer.status == 400
    assert answer.data["hint"] == "The model takes [any, 2]."
    assert sums.ask(body=answer.data["sample_request"]).status == 200


def test_unknown_places_are_404_with_what_there_is(sums):
    answer = sums.ask("/endpoints/nothing/score", {"data": []})
    assert answer.status == 404
    assert "no endpoint 'nothing'" in answer.data["detail"]
    assert sums.ask("/elsewhere").status == 404
    answer = sums.ask(body={"data": [[1, 2]]}, azureml_model_deployment="green")
    assert answer.status == 404
    assert "It has: blue." in answer.data["hint"]
    assert sums.ask("/health", method="GET", key=None).data == {"status": "ok"}


def test_without_traffic_there_is_no_deployment_but_by_name(sums):
    sums.door.change("sums", traffic={})
    sums.deploy_quietly(sums.adding(1.0, revision=2, request_settings={"max_concurrent_requests_per_instance": 4}))
    answer = sums.ask(body={"data": [[1, 2]]})
    assert answer.status == 404
    assert "gets traffic" in answer.data["detail"]
    assert sums.ask(body={"data": [[1, 2]]}, azureml_model_deployment="blue").status == 200


def test_methods(sums):
    assert sums.ask(method="DELETE").status == 405
    answer = sums.ask(method="OPTIONS", key=None)
    assert (answer.status, answer.headers["allow"]) == (200, "GET, POST, OPTIONS")


def test_ids_are_echoed_copied_or_made(sums):
    made = sums.ask(body={"data": [[1, 2]]}).headers
    assert len(made["x-request-id"]) == 36
    assert made["x-ms-request-id"] == made["x-request-id"]
    assert "x-ms-client-request-id" not in made
    echoed = sums.ask(body={"data": [[1, 2]]}, x_request_id="mine", traceid="t").headers
    assert (echoed["x-request-id"], echoed["traceid"]) == ("mine", "t")
    for name in ("x_ms_request_id", "x_ms_client_request_id"):
        copied = sums.ask(body={"data": [[1, 2]]}, **{name: "other"}).headers
        assert (copied["x-ms-request-id"], copied["x-ms-client-request-id"]) == ("other", "other")
    both = sums.ask(body={"data": [[1, 2]]}, x_ms_request_id="old", x_ms_client_request_id="new").headers
    assert (both["x-ms-request-id"], both["x-ms-client-request-id"]) == ("old", "new")
    assert sums.ask(body={"data": [[1, 2]]}, x_request_id="m" * 101).status == 431


def test_a_body_over_the_limit_is_refused(sums):
    answer = sums.ask(body=b" " * ((1 << 20) + 1))
    assert answer.status == 413
    connection = sums.connect()
    connection.putrequest("POST", "/endpoints/sums/score")
    connection.putheader("Authorization", "Bearer key-of-the-tests")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    for _ in range(5):
        connection.send(b"40000\r\n" + b" " * 0x40000 + b"\r\n")
    connection.send(b"0\r\n\r\n")
    assert connection.getresponse().status == 413
    connection.close()


def test_a_large_body_and_a_chunked_one_arrive_whole(sums):
    rows = [[float(n), float(n)] for n in range(20_000)]
    answer = sums.ask(body={"data": rows})
    assert answer.data["outputs"]["y"][-1] == [20_000.0, 20_000.0]
    connection = sums.connect()
    text = json.dumps({"data": rows[:100]}).encode()
    pieces = (text[start : start + 100] for start in range(0, len(text), 100))
    connection.request(
        "POST", "/endpoints/sums/score", pieces, {"Authorization": "Bearer key-of-the-tests"}, encode_chunked=True
    )
    assert len(json.loads(connection.getresponse().read())["outputs"]["y"]) == 100
    connection.close()


def test_a_request_that_is_cut_off_is_not_scored(sums):
    connection = sums.connect()
    connection.putrequest("POST", "/endpoints/sums/score")
    connection.putheader("Authorization", "Bearer key-of-the-tests")
    connection.putheader("Content-Length", "1000")
    connection.endheaders()
    connection.send(b'{"data": [[1, 2]]}')
    connection.close()
    assert sums.ask(body={"data": [[1, 2]]}).status == 200
    assert "Traceback" not in sums.log()


NOTES = """
import os
def init(): pass
def run(raw):
    with open(os.environ["NOTES"], "a") as file:
        file.write(raw + "\\n")
    return raw * int(os.environ.get("TIMES", "1"))
"""
HEAD = "{} /endpoints/sums/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-of-the-tests\r\n{}\r\n\r\n"


@pytest.fixture
def notes(bench, tmp_path):
    """Return a function that deploys a script which writes down what it is asked, and returns where it does."""
    file = tmp_path / "notes"

    def deploy(**variables):
        bench.start_gateway()
        environment = {"NOTES": str(file), **variables}
        settings = {"request_timeout_ms": 60_000, "max_concurrent_requests_per_instance": 1}
        script = bench.script(NOTES, environment_variables=environment, request_settings=settings)
        assert bench.deploy("sums", {**script, "instance_count": 3})["state"] == "ready"
        return file

    return deploy


def send(bench, text):
    client = socket.create_connection(("127.0.0.1", bench.port), 60)
    client.sendall(text.encode())
    return client


@pytest.mark.parametrize(
    "headers", ["Content-Length: 100", "Content-Length: 100\r\nConnection: upgrade\r\nUpgrade: h2c"]
)
def test_a_body_that_is_cut_off_never_comes_to_the_script(bench, notes, headers):
    file = notes()
    whole = [(method, headers, '{"data": [1, 2') for method in ("POST", "GET")]
    chunked = [(method, "Transfer-Encoding: chunked", "64\r\n{") for method in ("POST", "GET")]
    for method, sent, body in whole + chunked:
        client = send(bench, HEAD.format(method, sent) + body)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
        client.close()
    assert bench.ask(body="whole").data == "whole"
    assert file.read_text() == "whole\n"


def test_a_request_that_is_cut_off_behind_whole_ones_is_dropped(bench, notes):
    file = notes()
    whole = "".join(HEAD.format("POST", "Content-Length: 1") + str(number) for number in range(5))
    client = send(bench, whole)
    got = b""
    while not got.endswith(b'"4"'):
        got += client.recv(65536)
    places = [got.index(f'\r\n\r\n"{number}"'.encode()) for number in range(5)]
    assert places == sorted(places)
    client.sendall((HEAD.format("POST", "Content-Length: 9") + "cut").encode())
    client.shutdown(socket.SHUT_WR)
    assert client.recv(100) == b""
    client.close()
    assert bench.ask(body="last").status == 200
    assert file.read_text().split() == ["0", "1", "2", "3", "4", "last"]


def test_who_reads_slowly_holds_no_replica(bench, notes):
    notes(TIMES=str(1 << 23))
    slow = [send(bench, HEAD.format("POST", "Content-Length: 1") + "s") for _ in range(3)]
    for client in slow:
        assert client.recv(1) == b"H"  # the answer is there and is not read any further
    assert len(bench.ask(body="f").data) == 1 << 23
    for client in slow:
        client.close()


def test_silent_connections_leave_room_for_requests_and_replicas(bench):
    bench.start_gateway(open_files=256)
    assert bench.deploy("sums", bench.adding(1.0))["state"] == "ready"
    silent = [send(bench, "POST /endpoints/sums/sc") for _ in range(300)]
    assert bench.ask(body={"data": [[0, 0]]}).status == 200
    report = bench.deploy("sums", bench.adding(2.0, revision=2))
    assert report["state"] == "ready"
    assert bench.ask(body={"data": [[0, 0]]}).data["outputs"]["y"] == [[2.0, 2.0]]
    for client in silent:
        client.close()


def test_a_shortage_of_files_at_a_start_passes(bench, eventually):
    gateway = bench.start_gateway()
    assert bench.deploy("sums", bench.adding(1.0))["state"] == "ready"
    before = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
    used = {int(path.name) for path in Path(f"/proc/{gateway.pid}/fd").iterdir()}
    first_free = next(number for number in itertools.count() if number not in used)
    # The limit is one of numbers, not of how many: above the first free one, gaps would leave room for a replica.
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (first_free + 1, before[1]))
    bench.door.change("sums", bench.adding(2.0, revision=2))
    eventually(lambda: "Too many open files" in bench.log())
    assert [report for report in bench.door.reports if report["state"] == "failed"] == []
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, before)
    assert bench.door.wait_report("blue", 2)["state"] == "ready"
    assert bench.ask(body={"data": [[0, 0]]}).data["outputs"]["y"] == [[2.0, 2.0]]


def test_many_requests_on_many_connections_get_their_own_answers(sums):
    wrong = []

    def client(number):
        connection = sums.connect()
        for count in range(40):
            value = number * 1000 + count
            answer = sums.ask(body={"data": [[value, 0]]}, connection=connection)
            if answer.status == 429:  # four at once are taken, four wait
                continue
            if answer.status != 200 or answer.data["outputs"]["y"] != [[value + 1.0, 1.0]]:
                wrong.append((value, answer.status, answer.body))
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_traffic_is_split_as_written_and_evenly(sums):
    settings = {"max_concurrent_requests_per_instance": 4}
    sums.deploy("sums", sums.adding(10.0, name="green", request_settings=settings))
    sums.door.change("sums", traffic={"blue": 75, "green": 25})
    sums.deploy_quietly(sums.adding(10.0, name="green", revision=2, request_settings=settings))
    connection = sums.connect()
    found = [sums.ask(body={"data": [[0, 0]]}, connection=connection) for _ in range(100)]
    connection.close()
    names = [answer.headers["azureml-model-deployment"] for answer in found]
    assert 73 <= names.count("blue") <= 77
    assert all(
        answer.data["outputs"]["y"][0][0] == {"blue": 1.0, "green": 10.0}[name]
        for answer, name in zip(found, names, strict=True)
    )


def test_a_model_that_cannot_be_loaded_fails_with_the_reason(bench):
    bench.start_gateway()
    deployment = {"name": "blue", "revision": 1, "model_tree": bench.files(model_onnx=b"no model")}
    report = bench.deploy("sums", deployment)
    assert report["state"] == "failed"
    assert "onnxruntime cannot load model.onnx" in report["message"]
    assert bench.ask(body={"data": [[1, 2]]}).status == 503
    repaired = bench.deploy("sums", bench.adding(1.0, revision=2))
    assert repaired["state"] == "ready"
    assert bench.ask(body={"data": [[1, 2]]}).status == 200


def test_preprocessing_that_does_not_fit_fails_with_the_reason(bench):
    bench.start_gateway()
    report = bench.deploy("sums", bench.adding(1.0, preprocessing={"width": 8, "height": 8}))
    assert report["state"] == "failed"
    assert "input 'x' takes [any, 2]" in report["message"]


def test_missing_content_is_said(bench):
    bench.start_gateway()
    entry = {"path": "model.onnx", "digest": "0" * 64, "size": 3}
    report = bench.deploy("sums", {"name": "blue", "revision": 1, "model_tree": [entry]})
    assert report["state"] == "failed"
    assert "model.onnx is not in the blob store" in report["message"]


def test_a_deleted_endpoint_is_gone_with_its_replicas(sums, eventually):
    assert len(sums.replicas()) == 1
    sums.door.remove("sums")
    eventually(lambda: sums.ask(body={"data": [[1, 2]]}).status == 404)
    eventually(lambda: sums.replicas() == [])
    assert sums.sockets() == []
