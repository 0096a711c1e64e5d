"""Changes of a running deployment, under load: nobody is refused, everybody gets an old or a new answer."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from typing import Any

import pytest

from penstock.serving.desired import load_desired

SETTINGS = {"max_concurrent_requests_per_instance": 8}
IN_REPLICA = {"request_settings": SETTINGS, "resources": {"limits": {"memory": "1Gi"}}}
BODY = json.dumps({"data": [[0, 0]]})
HEADERS = {"Authorization": "Bearer key-of-the-tests"}


class Load:
    """Clients that ask one after the other until they are stopped; counts what they got."""

    def __init__(self, bench, clients=4):
        self.seen: Counter[object] = Counter()
        self.lock = threading.Condition()
        self.is_over = False
        self._bench = bench
        self._threads = [threading.Thread(target=self._client) for _ in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.wait_more(20)
        return self

    def __exit__(self, *_):
        self.is_over = True
        for thread in self._threads:
            thread.join()

    def wait_more(self, count):
        """Wait until so many more requests were answered."""
        with self.lock:
            goal = self.seen.total() + count
            assert self.lock.wait_for(lambda: self.seen.total() >= goal, 60)

    def wait_seen(self, what):
        with self.lock:
            assert self.lock.wait_for(lambda: self.seen[what] > 0, 60), self.seen

    def _client(self):
        connection = self._bench.connect()
        while not self.is_over:
            try:
                connection.request("POST", "/endpoints/sums/score", BODY, HEADERS)
                response = connection.getresponse()
                content = response.read()
                got = json.loads(content)["outputs"]["y"][0][0] if response.status == 200 else response.status
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                got = type(error).__name__
            with self.lock:
                self.seen[got] += 1
                self.lock.notify_all()
        connection.close()


@pytest.fixture
def sums(bench):
    bench.gateway = bench.start_gateway()
    bench.deploy("sums", bench.adding(1.0, **IN_REPLICA))
    return bench


def test_a_rolling_update_drops_no_request(sums):
    with Load(sums) as load:
        for revision, amount in enumerate([2.0, 3.0, 4.0], start=2):
            sums.deploy_quietly(sums.adding(amount, revision=revision, **IN_REPLICA))
            load.wait_seen(amount)
            load.wait_more(20)
    assert set(load.seen) == {1.0, 2.0, 3.0, 4.0}


def test_from_onnx_to_a_script_and_back_drops_no_request(sums):
    script = "import json\ndef init(): pass\ndef run(raw): return {'outputs': {'y': [[-1.0, 0]]}}"
    with Load(sums) as load:
        sums.deploy_quietly(sums.script(script, revision=2, request_settings=SETTINGS))
        load.wait_seen(-1.0)
        sums.deploy_quietly(sums.adding(5.0, revision=3, **IN_REPLICA))
        load.wait_seen(5.0)
    assert set(load.seen) == {1.0, -1.0, 5.0}


def test_a_revision_that_cannot_load_leaves_the_old_one_answering(sums):
    with Load(sums) as load:
        report = sums.deploy_quietly(sums.script("import nothing_here", revision=2, request_settings=SETTINGS))
        assert report["state"] == "failed"
        load.wait_more(40)
    assert set(load.seen) == {1.0}
    assert sums.deploy_quietly(sums.adding(2.0, revision=3, **IN_REPLICA))["state"] == "ready"


def test_more_and_fewer_instances_drop_no_request(sums, eventually):
    with Load(sums) as load:
        sums.deploy_quietly(sums.adding(1.0, revision=2, instance_count=3, **IN_REPLICA))
        assert len(sums.replicas()) == 3
        load.wait_more(40)
        sums.deploy_quietly(sums.adding(1.0, revision=3, instance_count=1, **IN_REPLICA))
        eventually(lambda: len(sums.replicas()) == 1)
        load.wait_more(40)
    assert set(load.seen) == {1.0}


def test_an_update_without_new_content_keeps_the_replica(sums):
    before = sums.replicas()
    settings = {**SETTINGS, "request_timeout_ms": 9000}
    sums.deploy_quietly(sums.adding(1.0, revision=2, **{**IN_REPLICA, "request_settings": settings}))
    assert sums.replicas() == before


def test_a_killed_replica_is_replaced_and_nobody_hangs(sums, eventually):
    sums.deploy_quietly(sums.adding(1.0, revision=2, instance_count=2, **IN_REPLICA))
    first = sums.replicas()
    with Load(sums) as load:
        sums.kill(first[0])
        load.wait_more(20)
        eventually(lambda: len(sums.replicas()) == 2 and first[0] not in sums.replicas())
        load.wait_more(20)
    assert set(load.seen) <= {1.0, 424, 503}
    assert load.seen[424] + load.seen[503] <= 16  # what it had in hand, not what came after
    assert sums.ask(body={"data": [[0, 0]]}).status == 200


def test_the_only_replica_killed_comes_back(sums, eventually):
    with Load(sums) as load:
        sums.kill(sums.replicas()[0])
        eventually(lambda: load.seen[424] + load.seen[503] > 0)
        count = load.seen[1.0]
        eventually(lambda: load.seen[1.0] > count + 20)
    assert set(load.seen) <= {1.0, 424, 503}
    lost = sums.ask(body={"data": [[0, 0]]})
    assert lost.status == 200


def test_a_request_in_a_killed_replica_is_424_and_the_one_that_waits_gets_503(bench, tmp_path, eventually):
    code = """
import time
def init(): pass
def run(path):
    open(path, "w").close()
    time.sleep(600)
"""
    bench.start_gateway()
    bench.deploy("sums", bench.script(code, request_settings={"request_timeout_ms": 60_000}))
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(bench.ask(body=str(tmp_path / "in")))) for _ in range(3)]
    threads[0].start()
    eventually((tmp_path / "in").exists)
    for thread in threads[1:]:
        thread.start()
    eventually(lambda: len(answers) == 1)  # one runs, one waits, the third was refused
    bench.kill(bench.replicas()[0])
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [424, 429, 503]
    lost = next(answer for answer in answers if answer.status == 424)
    assert lost.headers["ms-azureml-model-error-statuscode"] == "502"
    assert lost.headers["ms-azureml-model-error-reason"] == "replica ended"


def test_the_next_gateway_adopts_the_replicas(sums):
    before = sums.replicas()
    with Load(sums, clients=2) as load:
        sums.gateway.kill()
        sums.gateway.wait()
        sums.gateway = sums.start_gateway()
        count = load.seen[1.0]
        with load.lock:
            assert load.lock.wait_for(lambda: load.seen[1.0] >= count + 40, 60)
    assert sums.replicas() == before
    # Connections of the killed gateway break; new ones wait in the socket that the supervisor keeps.
    assert set(load.seen) <= {1.0, "RemoteDisconnected", "ConnectionResetError", "BrokenPipeError"}


def test_a_gateway_that_ends_in_order_leaves_its_replicas_too(sums):
    before = sums.replicas()
    sums.gateway.terminate()
    sums.gateway.wait()
    sums.start_gateway()
    assert sums.ask(body={"data": [[0, 0]]}).status == 200
    assert sums.replicas() == before


def test_a_gateway_starts_and_serves_without_the_server(sums):
    copy = sums.home.run / "serving.json"
    known = load_desired(copy)
    assert known is not None
    assert known.endpoints[0].name == "sums"
    assert copy.stat().st_mode & 0o777 == 0o600
    for pid in sums.replicas():
        sums.kill(pid)
    sums.gateway.kill()
    sums.gateway.wait()
    sums.home.server_record.unlink()
    sums.start_gateway()
    with Load(sums, clients=1) as load:
        load.wait_seen(1.0)
    assert set(load.seen) <= {1.0, 503}


def test_a_replica_that_does_not_answer_is_not_adopted(sums, eventually):
    (stuck,) = sums.replicas()
    sums.pause(stuck)
    sums.gateway.kill()
    sums.gateway.wait()
    sums.start_gateway()
    eventually(lambda: sums.ask(body={"data": [[0, 0]]}).status == 200)
    assert stuck not in sums.replicas()


def test_replicas_end_with_the_supervisor(sums, eventually):
    replicas = sums.replicas()
    assert replicas
    sums.end_supervisor()
    sums.gateway.wait()
    eventually(lambda: sums.running(replicas) == [])


def test_a_spare_takes_the_next_model(bench, eventually):
    bench.start_gateway(spares=1)
    bench.door.change("sums")
    eventually(lambda: len(bench.replicas()) == 1)
    spare = bench.replicas()
    bench.deploy("sums", bench.adding(1.0, **IN_REPLICA))
    eventually(lambda: len(bench.replicas()) == 2)
    assert bench.ask(body={"data": [[0, 0]]}).status == 200
    assert set(spare) <= set(bench.replicas())
    log = (bench.home.logs / "endpoints" / "sums" / "blue.log").read_text()
    assert "ready: model.onnx" in log
    gateway = bench.gateways[0]
    gateway.kill()
    gateway.wait()
    bench.start_gateway(spares=1)
    assert bench.deploy("sums", bench.adding(2.0, revision=2, **IN_REPLICA))["state"] == "ready"
    eventually(lambda: len(bench.replicas()) == 2)
    bench.door.remove("sums")
    eventually(lambda: bench.replicas() == [])


def test_a_load_that_takes_too_long_fails(bench):
    bench.start_gateway(start_timeout_s=0.5)
    report = bench.deploy("sums", bench.script("import time\ndef init(): time.sleep(600)\ndef run(x): pass"))
    assert report["state"] == "failed"
    assert "not ready within 0.5 s" in report["message"]


def test_folders_of_old_revisions_are_removed(sums, eventually):
    folder = sums.home.run / "serving"
    sums.deploy_quietly(sums.adding(2.0, revision=2, **IN_REPLICA))
    eventually(lambda: len(list(folder.iterdir())) == 1)
    (entry,) = folder.iterdir()
    model = entry / "model" / "model.onnx"
    assert model.stat().st_nlink == 2  # the blob itself, not a copy
