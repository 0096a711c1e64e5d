"""The relay between a job's MLflow client and a real server: as if it were not there, and better when that is away."""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.agent.gate import Gate
from tests.server.harness import House, open_house

from penstock.agent.assignment import Assignment
from penstock.agent.handover import _deliver_relayed
from penstock.agent.record import SpoolRecord
from penstock.agent.relay import switch
from penstock.agent.relay.listener import Listener

API = "/api/2.0/mlflow"
FILES = f"{API}-artifacts/artifacts"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with open_house(tmp_path_factory.mktemp("house")) as made:
        yield made


class Relayed:
    """A job's run, its relay, and the gate between that and the server."""

    def __init__(self, house: House, folder: Path, number: int = 0) -> None:
        self.house = house
        self.folder = folder
        self.job = house.submit(experiment_name="relay").name
        attempt, self.token = house.begin(house.services.jobs.get(self.job))
        self.experiment = house.ok("GET", f"{API}/runs/get?run_id={self.job}")["run"]["info"]["experiment_id"]
        self.gate = Gate(house.port)
        self.gate.open()
        self.notes: list[str] = []
        (folder / "server.json").write_text(json.dumps({"url": self.gate.url}))
        environment = {
            "MLFLOW_TRACKING_URI": self.gate.url,
            "MLFLOW_EXPERIMENT_ID": self.experiment,
            "AZUREML_EXPERIMENT_NAME": "relay",
        }
        data = {"attempt": attempt.attempt_id, "job": self.job, "token": self.token, "environment": environment}
        paths = {name: str(folder / name) for name in ("folder", "spool", "blobs")}
        record = {"server_record": str(folder / "server.json"), "server_url": self.gate.url, "command": "true"}
        self.assignment = Assignment({**data, **paths, **record, "number": number})
        (folder / "spool").mkdir()
        self.listener = Listener(self.assignment, self.notes.append)
        self.listener.open()
        self.port = int(self.assignment.environment["MLFLOW_TRACKING_URI"].rpartition(":")[2])
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def send(self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Any:
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        kind = {"Content-Type": "application/json"} if isinstance(body, dict) else {}
        sent = {"Authorization": f"Bearer {self.token}", **kind, **(headers or {})}
        self.connection.request(method, path, content, sent)
        response = self.connection.getresponse()
        return response.status, response.read()

    def post(self, what: str, *, expects: int = 200, **message: Any) -> Any:
        answer = self.send("POST", f"{API}/runs/{what}", {"run_id": self.job, **message})
        assert answer[0] == expects, answer
        return json.loads(answer[1])

    def log(self, step: int, key: str = "loss") -> None:
        self.post("log-metric", key=key, value=step / 2, timestamp=1000 + step, step=step)

    def end_outage(self) -> None:
        """Open the gate, and wait until the relay has noticed."""
        self.gate.open()
        self.wait_until_back()

    def wait_until_back(self) -> None:
        deadline = time.monotonic() + 60
        while (
            self.send("POST", f"{API}/runs/search", {"experiment_ids": [self.experiment], "max_results": 1})[0] != 200
        ):
            assert time.monotonic() < deadline, "the relay does not come back"

    def run(self, run_id: str = "") -> Any:
        status, body = self.send("GET", f"{API}/runs/get?run_id={run_id or self.job}")
        assert status == 200, body
        return json.loads(body)["run"]

    def history(self, key: str = "loss", run_id: str = "") -> list[int]:
        path = f"{API}/metrics/get-history?run_id={run_id or self.job}&metric_key={key}"
        return [point["step"] for point in self.house.ok("GET", path).get("metrics", [])]

    def file(self, path: str, run_id: str = "") -> str:
        return f"{FILES}/{self.experiment}/{run_id or self.job}/artifacts/{path}"

    def deliver(self) -> None:
        """Do what an agent does once its command has ended."""
        self.listener.close()
        _deliver_relayed(self.assignment, SpoolRecord(self.assignment.spool), self.notes.append)

    def close(self) -> None:
        self.connection.close()
        self.listener.close()
        self.gate.close()


@pytest.fixture
def relayed(house, tmp_path):
    made = Relayed(house, tmp_path)
    yield made
    made.close()


def values(pairs: list[dict[str, str]]) -> dict[str, str]:
    return {pair["key"]: pair["value"] for pair in pairs}


def test_calls_and_their_answers_pass_as_they_are(relayed):
    relayed.log(0)
    relayed.post("log-parameter", key="a", value="1")
    assert relayed.run() == relayed.house.ok("GET", f"{API}/runs/get?run_id={relayed.job}")["run"]
    direct = relayed.house.ask("GET", f"{API}/runs/get?run_id=none", token=relayed.token)
    assert relayed.send("GET", f"{API}/runs/get?run_id=none") == (direct.status, direct.body)
    assert relayed.post("log-parameter", expects=400, key="a", value="2")["error_code"] == "INVALID_PARAMETER_VALUE"
    assert relayed.send("GET", "/version")[1] == relayed.house.ask("GET", "/version").body
    assert relayed.send("HEAD", relayed.file("none"))[0] == 404
    assert relayed.history() == [0]


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 9_000_000])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_files_of_any_size_pass_in_both_directions(relayed, size, is_chunked):
    content = os.urandom(size)
    pieces = (content[start : start + 70_001] for start in range(0, size, 70_001))
    status, answer = relayed.send(
        "PUT", relayed.file("a b/ü.bin".replace("ü", "%C3%BC").replace(" ", "%20")), pieces if is_chunked else content
    )
    assert (status, answer) == (200, b"")
    path = relayed.file("a%20b/%C3%BC.bin")
    assert relayed.send("GET", path) == (200, content)
    if size > 10:
        assert relayed.send("GET", path, headers={"Range": "bytes=3-9"}) == (206, content[3:10])


def test_an_outage_keeps_what_is_written_and_a_read_after_it_sees_it(relayed):
    relayed.log(0)
    before = relayed.run()
    relayed.gate.close()
    for step in range(1, 50):
        relayed.log(step)
    metrics = [{"key": "a", "value": 1, "timestamp": 5, "step": step} for step in range(3)]
    relayed.post("log-batch", metrics=metrics, params=[{"key": "p", "value": "x"}], tags=[{"key": "t", "value": "1"}])
    relayed.post("set-tag", key="t", value="2")
    relayed.post("update", status="FINISHED", end_time=77, run_name="renamed")
    seen = relayed.run()
    assert seen["info"]["status"] == "FINISHED"
    assert (seen["info"]["run_name"], seen["info"]["end_time"]) == ("renamed", 77)
    assert {m["key"]: m["step"] for m in seen["data"]["metrics"]} == {"loss": 49, "a": 2}
    assert values(seen["data"]["params"]) == {"p": "x"}
    assert seen["info"]["artifact_uri"] == before["info"]["artifact_uri"]
    assert relayed.history() == [0]
    relayed.end_outage()
    after = relayed.run()
    assert after == relayed.house.ok("GET", f"{API}/runs/get?run_id={relayed.job}")["run"]
    assert {m["key"]: m["step"] for m in after["data"]["metrics"]} == {"loss": 49, "a": 2}
    assert values(after["data"]["tags"])["t"] == "2"
    assert relayed.history() == list(range(50))
    assert relayed.notes == []


def test_other_calls_are_503_at_once_and_known_answers_stay(relayed):
    known = [f"{API}/experiments/get-by-name?experiment_name=relay", "/version", "/api/3.0/mlflow/server-info"]
    answers = [relayed.send("GET", path) for path in known]
    relayed.gate.close()
    assert [relayed.send("GET", path) for path in known] == answers
    shown = json.loads(relayed.send("GET", f"{API}/experiments/get?experiment_id={relayed.experiment}")[1])
    assert shown["experiment"]["name"] == "relay"
    for method, path, body in (
        ("POST", f"{API}/runs/search", {"experiment_ids": [relayed.experiment]}),
        ("GET", f"{API}/runs/get?run_id=other", None),
        ("POST", f"{API}/runs/log-metric", {"run_id": "other", "key": "a", "value": 1, "timestamp": 1}),
        ("POST", f"{API}/registered-models/create", {"name": "m"}),
        ("POST", f"{API}/runs/create", {"experiment_id": "0"}),
        ("PUT", f"{FILES}/0/other/artifacts/a.txt", b"x"),
        ("PUT", f"{FILES}/0/other/artifacts/a.txt", b"x" * 3_000_000),
        ("GET", f"{API}/experiments/get?experiment_id=0", None),
    ):
        status, answer = relayed.send(method, path, body)
        assert (status, json.loads(answer)["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE"), path


def test_a_run_that_the_server_never_answered_for_is_known_all_the_same(relayed):
    relayed.gate.close()
    info = relayed.run()["info"]
    real = relayed.house.ok("GET", f"{API}/runs/get?run_id={relayed.job}")["run"]["info"]
    assert {key: info[key] for key in ("run_id", "experiment_id", "artifact_uri", "lifecycle_stage")} == {
        key: real[key] for key in ("run_id", "experiment_id", "artifact_uri", "lifecycle_stage")
    }
    assert relayed.send("GET", "/version")[0] == 200


def test_runs_created_in_an_outage_are_there_with_the_id_that_was_promised(relayed):
    relayed.gate.close()
    message = {"experiment_id": relayed.experiment, "run_name": "inner", "tags": [{"key": "k", "value": "v"}]}
    created = json.loads(relayed.send("POST", f"{API}/runs/create", message)[1])["run"]["info"]
    child = created["run_id"]
    relayed.post("log-metric", run_id=child, key="loss", value=1, timestamp=5, step=3)
    assert relayed.send("PUT", relayed.file("a.txt", child), b"of the child")[0] == 200
    assert relayed.run(child)["info"]["run_name"] == "inner"
    relayed.end_outage()
    run = relayed.run(child)
    assert run["info"]["artifact_uri"] == created["artifact_uri"]
    assert (run["info"]["start_time"], values(run["data"]["tags"])["k"]) == (created["start_time"], "v")
    assert relayed.history(run_id=child) == [3]
    assert relayed.send("GET", relayed.file("a.txt", child)) == (200, b"of the child")


def test_a_run_created_before_the_outage_goes_on(relayed):
    message = {"experiment_id": relayed.experiment, "run_name": "inner"}
    child = json.loads(relayed.send("POST", f"{API}/runs/create", message)[1])["run"]["info"]["run_id"]
    relayed.gate.close()
    relayed.post("log-metric", run_id=child, key="loss", value=1, timestamp=5, step=3)
    relayed.end_outage()
    assert values(relayed.run(child)["data"]["tags"])["mlflow.runName"] == "inner"
    assert relayed.history(run_id=child) == [3]


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("size", [0, 7, 3_000_000])
def test_files_of_an_outage_arrive(relayed, size, is_chunked):
    content = os.urandom(size)
    relayed.gate.close()
    body = iter([content]) if is_chunked and size else content
    assert relayed.send("PUT", relayed.file("folder/a.bin"), body) == (200, b"")
    assert relayed.send("PUT", relayed.file("folder/b.bin"), content) == (200, b"")
    relayed.end_outage()
    assert relayed.send("GET", relayed.file("folder/a.bin")) == (200, content)
    assert relayed.send("GET", relayed.file("folder/b.bin")) == (200, content)
    assert list((relayed.folder / "spool" / "relay" / "files").iterdir()) == []


def test_a_lost_answer_to_a_write_changes_nothing(relayed):
    lost: list[bytes] = []

    def loses(asked: bytes) -> bool:
        if b"log-metric" in asked.partition(b"\r\n")[0] and len(lost) < 3:
            lost.append(asked)
            return True
        return False

    relayed.gate.loses = loses
    for step in range(10):
        relayed.log(step)
    assert relayed.run()["data"]["metrics"][0]["step"] == 9
    assert lost
    relayed.deliver()
    assert relayed.history() == list(range(10))


def answers(what: bytes, number: int, lost: list[bytes]) -> Callable[[bytes], bool]:
    """Return what loses the first so many answers to requests of a kind."""

    def loses(asked: bytes) -> bool:
        if what in asked.partition(b"\r\n")[0] and len(lost) < number:
            lost.append(asked)
            return True
        return False

    return loses


@pytest.mark.parametrize("is_silent", [False, True])
def test_a_run_whose_creation_was_answered_too_late_is_one_run(relayed, monkeypatch, is_silent):
    lost: list[bytes] = []
    monkeypatch.setattr(switch, "WRITE_S", 1.0)
    cut = answers(b"runs/create", 1, lost)

    def falls_silent(asked: bytes) -> bool:
        relayed.gate.is_mute |= cut(asked)
        return False

    relayed.gate.loses = falls_silent if is_silent else cut
    name = f"once-{is_silent}"
    message = {"experiment_id": relayed.experiment, "run_name": name}
    created = json.loads(relayed.send("POST", f"{API}/runs/create", message)[1])["run"]["info"]["run_id"]
    relayed.post("log-metric", run_id=created, key="loss", value=1, timestamp=5, step=3)
    assert len(lost) == 1
    relayed.gate.is_mute = False
    relayed.gate.close()
    relayed.end_outage()
    sought = {"experiment_ids": [relayed.experiment], "filter": f"attributes.run_name = '{name}'"}
    found = relayed.house.ok("POST", f"{API}/runs/search", sought)["runs"]
    assert [run["info"]["run_id"] for run in found] == [created]
    assert relayed.history(run_id=created) == [3]
    assert relayed.notes == []


DATASET = {"name": "d", "digest": "1", "source_type": "local", "source": "{}"}
KEPT: dict[str, dict[str, Any]] = {
    "update": {"status": "FINISHED", "end_time": 5},
    "log-metric": {"key": "m", "value": 1, "timestamp": 1, "step": 1},
    "log-batch": {
        "metrics": [{"key": "b", "value": 1, "timestamp": 1, "step": step} for step in range(3)],
        "params": [{"key": "p", "value": "1"}],
        "tags": [{"key": "t", "value": "1"}],
    },
    "log-parameter": {"key": "q", "value": "1"},
    "set-tag": {"key": "u", "value": "1"},
    "outputs": {"models": []},
    "log-inputs": {"datasets": [{"dataset": DATASET, "tags": [{"key": "mlflow.data.context", "value": "train"}]}]},
}


def ids_out(data: Any, run_id: str) -> str:
    return json.dumps(data).replace(run_id, "")


@pytest.mark.parametrize("what", KEPT)
def test_every_kind_of_call_whose_answer_was_lost_has_one_effect(relayed, what):
    twin = relayed.house.submit(experiment_name="relay").name
    relayed.house.ok("POST", f"{API}/runs/{what}", {"run_id": twin, **KEPT[what]})
    lost: list[bytes] = []
    relayed.gate.loses = answers(f"runs/{what}".encode(), 1, lost)
    relayed.post(what, **KEPT[what])
    relayed.wait_until_back()
    assert len(lost) == 1
    shown, expected = (relayed.house.ok("GET", f"{API}/runs/get?run_id={run}")["run"] for run in (relayed.job, twin))
    assert shown["inputs"] == expected["inputs"]
    for part in ("metrics", "params"):
        assert ids_out(shown["data"].get(part), relayed.job) == ids_out(expected["data"].get(part), twin)
    tags = [values(run["data"]["tags"]) for run in (shown, expected)]
    assert {**tags[0], "mlflow.runName": ""} == {**tags[1], "mlflow.runName": ""}
    assert shown["info"]["status"] == expected["info"]["status"]
    for key in ("m", "b"):
        assert relayed.history(key) == relayed.history(key, twin)
    assert relayed.notes == []


def test_a_file_whose_answer_was_lost_is_there_once(relayed):
    lost: list[bytes] = []
    relayed.gate.loses = answers(b"PUT ", 1, lost)
    assert relayed.send("PUT", relayed.file("a.txt"), b"content") == (200, b"")
    relayed.wait_until_back()
    assert len(lost) == 1
    assert relayed.send("GET", relayed.file("a.txt")) == (200, b"content")
    listed = relayed.house.ok("GET", f"{API}/artifacts/list?run_id={relayed.job}")["files"]
    assert [file["path"] for file in listed] == ["a.txt"]


class Foreign:
    """Another program on the port where the server was."""

    def __init__(self, port: int, status: int, body: bytes) -> None:
        asked = self.asked = threading.Semaphore(0)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                if self.path.endswith("/relay"):
                    asked.release()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"{}"),
        (200, b"<html></html>"),
        (301, b""),
        (400, b'{"detail": "Bad Request"}'),
        (401, b""),
        (403, b"<html>Forbidden</html>"),
        (404, b'{"detail": "Not Found"}'),
        (405, b"[]"),
    ],
)
def test_another_program_on_the_servers_port_loses_nothing(relayed, status, body):
    relayed.gate.close()
    relayed.log(0)
    foreign = Foreign(relayed.gate.port, status, body)
    try:
        for _ in range(2):
            assert foreign.asked.acquire(timeout=30)
        relayed.log(1)
    finally:
        foreign.close()
    relayed.end_outage()
    relayed.log(2)
    assert relayed.history() == [0, 1, 2]
    assert relayed.notes == []


def test_after_the_servers_own_no_nothing_more_is_acknowledged_and_what_is_left_is_said(relayed):
    relayed.gate.close()
    relayed.log(0)
    relayed.log(1)
    relayed.house.services.attempts.conclude(relayed.assignment.attempt, reason="lost")
    relayed.gate.open()
    deadline = time.monotonic() + 60
    while relayed.send("POST", f"{API}/runs/set-tag", {"run_id": relayed.job, "key": "a", "value": "b"})[0] == 200:
        assert time.monotonic() < deadline, "calls that can be delivered to nobody are acknowledged"
    assert relayed.send("POST", f"{API}/runs/set-tag", {"run_id": relayed.job, "key": "a", "value": "b"})[0] == 401
    relayed.deliver()
    assert len(relayed.notes) == 1
    assert "could not be delivered" in relayed.notes[0]
    assert int(relayed.notes[0].split()[0]) >= 2


UNABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n"
    b'{"error_code": "TEMPORARILY_UNAVAILABLE"}'
)


def test_a_question_that_cannot_be_answered_sends_no_write_into_the_spool(relayed):
    relayed.gate.answers = lambda asked: UNABLE if b"/runs/search" in asked.partition(b"\r\n")[0] else b""
    spooled = relayed.folder / "spool" / "relay"
    for step in range(3):
        status, body = relayed.send("POST", f"{API}/runs/search", {"experiment_ids": [relayed.experiment]})
        assert (status, len(body)) == (503, 41)
        relayed.log(step)
    assert not spooled.exists()
    assert relayed.history() == [0, 1, 2]
    # A write that the server cannot take now is kept all the same.
    relayed.gate.answers = lambda asked: UNABLE if b"/runs/log-metric" in asked.partition(b"\r\n")[0] else b""
    relayed.log(3)
    assert spooled.exists()
    relayed.wait_until_back()
    assert relayed.history() == [0, 1, 2, 3]


def test_a_server_that_hangs_holds_up_one_write_only(relayed, monkeypatch):
    monkeypatch.setattr(switch, "WRITE_S", 0.2)
    monkeypatch.setattr(switch, "READ_S", 0.2)
    relayed.log(0)
    relayed.gate.is_mute = True
    for step in range(1, 30):
        relayed.log(step)
    assert relayed.send("POST", f"{API}/runs/search", {"experiment_ids": [relayed.experiment]})[0] == 503
    assert relayed.run()["data"]["metrics"][0]["step"] == 29
    relayed.gate.is_mute = False
    relayed.gate.close()
    relayed.end_outage()
    assert relayed.history() == list(range(30))


def test_a_lost_answer_to_a_delivery_repeats_nothing(relayed):
    lost: list[bytes] = []

    def loses(asked: bytes) -> bool:
        if asked.partition(b"\r\n")[0].endswith(b"/relay HTTP/1.1") and len(lost) < 3:
            lost.append(asked)
            return True
        return False

    relayed.gate.loses = loses
    relayed.gate.close()
    message = {"experiment_id": relayed.experiment, "run_name": "inner"}
    child = json.loads(relayed.send("POST", f"{API}/runs/create", message)[1])["run"]["info"]["run_id"]
    for step in range(5):
        relayed.log(step)
    relayed.end_outage()
    assert relayed.run(child)["info"]["run_name"] == "inner"
    assert len(lost) == 3
    assert relayed.notes == []
    assert relayed.history() == list(range(5))


def test_calls_of_many_threads_are_delivered_once_each(relayed):
    relayed.gate.close()

    def work(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", relayed.port, timeout=30)
        for step in range(60):
            message = {"run_id": relayed.job, "key": f"k{number}", "value": step, "timestamp": step + 1, "step": step}
            headers = {"Authorization": f"Bearer {relayed.token}", "Content-Type": "application/json"}
            connection.request("POST", f"{API}/runs/log-metric", json.dumps(message), headers)
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"{}")
            if step == 20 and number == 0:
                relayed.gate.open()
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    relayed.wait_until_back()
    assert all(relayed.history(f"k{number}") == list(range(60)) for number in range(6))


def test_what_is_left_at_the_commands_end_is_delivered_then(relayed):
    relayed.gate.close()
    relayed.log(0)
    relayed.send("PUT", relayed.file("late.txt"), b"late")
    relayed.listener.close()
    relayed.gate.open()
    relayed.deliver()
    assert relayed.history() == [0]
    assert relayed.house.ask("GET", relayed.file("late.txt")).body == b"late"
    relayed.deliver()
    assert relayed.history() == [0]
    assert relayed.notes == []


def test_a_torn_line_is_passed_over(relayed):
    relayed.gate.close()
    relayed.log(0)
    relayed.listener.close()
    calls = relayed.folder / "spool" / "relay" / "calls"
    whole = calls.read_bytes()
    calls.write_bytes(whole + whole[: len(whole) // 2])
    relayed.gate.open()
    relayed.deliver()
    assert relayed.history() == [0]


def test_what_the_server_refuses_is_said_in_the_log_and_stops_nothing(relayed):
    relayed.house.ok("POST", f"{API}/runs/log-parameter", {"run_id": relayed.job, "key": "p", "value": "first"})
    relayed.gate.close()
    relayed.post("log-parameter", key="p", value="second")
    relayed.log(1)
    relayed.end_outage()
    assert values(relayed.run()["data"]["params"]) == {"p": "first"}
    assert relayed.history() == [1]
    assert len(relayed.notes) == 1
    assert "runs/log-parameter" in relayed.notes[0]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("log-metric", {"key": "", "value": 1, "timestamp": 1}),
        ("log-metric", {"key": "a", "value": "much", "timestamp": 1}),
        ("log-metric", {"key": "a", "value": 1}),
        ("log-metric", {"key": "a/../b", "value": 1, "timestamp": 1}),
        ("log-metric", {"key": "a", "value": 1, "timestamp": 1, "step": 1.5}),
        ("log-batch", {"metrics": [{"key": "a", "value": 1, "timestamp": 1}] * 1001}),
        ("log-batch", {"params": [{"key": "a", "value": "1"}, {"key": "a", "value": "1"}]}),
        ("log-batch", {"tags": 3}),
        ("log-parameter", {"value": "1"}),
        ("set-tag", {"key": "a" * 251, "value": "1"}),
        ("set-tag", {"key": "a", "value": {"b": 1}}),
        ("update", {"status": 17}),
        ("log-inputs", {"datasets": 3}),
        ("set-tag", {"run_id": "", "key": "a", "value": "1"}),
    ],
)
def test_a_call_that_is_wrong_is_400_in_an_outage_as_before(relayed, what, message):
    relayed.post(what, expects=400, **message)
    relayed.gate.close()
    answer = relayed.post(what, expects=400, **message)
    assert answer["error_code"] == "INVALID_PARAMETER_VALUE"
    assert answer["message"]
    relayed.end_outage()
    assert "metrics" not in relayed.run()["data"]


@pytest.mark.parametrize("path", ["../x", "a/%2e%2e/b", "a//b", "a/%252e%252e/b", "%5Cx", "x%00", "a" * 300])
def test_a_path_that_leads_out_is_400_in_an_outage_as_before(relayed, path):
    assert relayed.send("PUT", relayed.file(path), b"x")[0] in {400, 501}
    relayed.gate.close()
    assert relayed.send("PUT", relayed.file(path), b"x")[0] in {400, 503}
    assert not (relayed.folder / "spool" / "relay").exists()


def test_another_value_for_a_known_param_is_refused_in_an_outage_too(relayed):
    relayed.post("log-parameter", key="p", value="first")
    relayed.gate.close()
    assert "p" in relayed.post("log-parameter", expects=400, key="p", value="second")["message"]
    relayed.post("log-parameter", key="p", value="first")


def test_a_full_disk_is_an_honest_507(relayed):
    folder = relayed.folder / "spool" / "relay"
    folder.mkdir()
    (folder / "calls").symlink_to("/dev/full")
    relayed.gate.close()
    answer = relayed.post("log-metric", expects=507, key="a", value=1, timestamp=1)
    assert answer["error_code"] == "RESOURCE_EXHAUSTED"
    relayed.end_outage()
    relayed.log(1)
    assert relayed.history() == [1]


def test_only_the_jobs_own_token_and_host_are_answered(relayed):
    path = f"{API}/runs/get?run_id={relayed.job}"
    basic = base64.b64encode(f"user:{relayed.token}".encode()).decode()
    cases = [
        ({"Authorization": "Bearer nonsense"}, 401),
        ({"Authorization": "Basic !!"}, 401),
        ({"Authorization": f"Bearer {relayed.house.token}"}, 401),
        ({"Authorization": f"Basic {basic}"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": f"127.0.0.1:{relayed.port + 1}"}, 403),
        ({"Host": f"localhost:{relayed.port}"}, 200),
        ({"Origin": "http://evil.example"}, 403),
    ]
    for headers, expected in cases:
        relayed.connection.close()
        status, _ = relayed.send("GET", path, headers=headers)
        assert status == expected, headers


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET http://evil/ HTTP/1.1\r\nHost: %b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: -3\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"GET / HTTP/1.1\r\nHost : %b\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded\r\nHost: %b\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
    ],
)
def test_what_is_no_plain_http_is_400_and_the_relay_lives_on(relayed, sent):
    if b"%b" in sent:
        host = b"127.0.0.1:%d\r\nAuthorization: Bearer %b" % (relayed.port, relayed.token.encode())
        sent = sent.replace(b"%b", host)
    with socket.create_connection(("127.0.0.1", relayed.port), 10) as raw:
        raw.sendall(sent)
        answer = raw.recv(1000)
    assert answer.startswith(b"HTTP/1.1 400 ")
    relayed.log(1)


def test_old_clients_and_careful_ones_are_served(relayed):
    head = f"Host: 127.0.0.1:{relayed.port}\r\nAuthorization: Bearer {relayed.token}\r\n"
    with socket.create_connection(("127.0.0.1", relayed.port), 10) as raw:
        raw.sendall(f"GET /version HTTP/1.0\r\n{head}\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(1000), b""))
    assert answer.endswith(b"\r\n\r\n3.18.0")
    with socket.create_connection(("127.0.0.1", relayed.port), 10) as raw:
        path = relayed.file("careful.txt")
        raw.sendall(f"PUT {path} HTTP/1.1\r\n{head}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n".encode())
        assert raw.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.sendall(b"abc")
        assert raw.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert relayed.send("GET", relayed.file("careful.txt")) == (200, b"abc")


def test_an_upload_that_its_client_cuts_off_leaves_nothing(relayed):
    def cut_off(name: str) -> None:
        head = f"Host: 127.0.0.1:{relayed.port}\r\nAuthorization: Bearer {relayed.token}\r\n"
        with socket.create_connection(("127.0.0.1", relayed.port), 10) as raw:
            raw.sendall(f"PUT {relayed.file(name)} HTTP/1.1\r\n{head}Content-Length: 9000000\r\n\r\n".encode())
            raw.sendall(b"x" * 4_000_000)
            raw.shutdown(socket.SHUT_WR)
            raw.recv(1000)

    cut_off("direct.bin")
    relayed.gate.close()
    cut_off("away.bin")
    relayed.end_outage()
    relayed.log(1)
    relayed.deliver()
    assert relayed.house.ask("GET", relayed.file("direct.bin")).status == 404
    assert relayed.house.ask("GET", relayed.file("away.bin")).status == 404


@pytest.mark.parametrize(
    "environment",
    [{"PENSTOCK_RELAY": "0"}, {"PENSTOCK_RELAY": "off"}, {"MLFLOW_TRACKING_URI": "http://elsewhere:1"}, {}],
)
def test_the_relay_can_be_left_out(relayed, environment):
    uri = {"MLFLOW_TRACKING_URI": relayed.gate.url} if environment else {}
    data = {**relayed.assignment.data, "environment": {**uri, **environment}}
    assignment = Assignment(data)
    expected = assignment.environment.get("MLFLOW_TRACKING_URI")
    listener = Listener(assignment, relayed.notes.append)
    listener.open()
    listener.close()
    assert assignment.environment.get("MLFLOW_TRACKING_URI") == expected
