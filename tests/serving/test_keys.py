"""An endpoint's two keys: one is replaced while the other goes on, and no request that shows a valid one fails."""

from __future__ import annotations

import hashlib
import inspect
import threading
from collections import Counter

from penstock.serving import keys

ROUNDS = 8
MANY = {"max_concurrent_requests_per_instance": 8}


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def test_replacing_one_key_fails_no_request_with_the_other(bench):
    bench.start_gateway()
    assert bench.deploy("sums", bench.adding(1.0, request_settings=MANY))["state"] == "ready"
    bench.door.change("sums", keys=[digest("kept"), digest("rotated-0")])
    bench.deploy("sums", bench.adding(1.0, revision=2, request_settings=MANY))
    statuses: Counter[int] = Counter()
    is_over = threading.Event()

    def load() -> None:
        connection = bench.connect()
        while not is_over.is_set():
            answer = bench.ask(body={"data": [[1, 2]]}, key="kept", connection=connection)
            statuses[answer.status] += 1
        connection.close()

    clients = [threading.Thread(target=load) for _ in range(4)]
    for client in clients:
        client.start()
    for number in range(1, ROUNDS + 1):  # a deployment is reported once the keys told with it are applied
        bench.door.change("sums", keys=[digest("kept"), digest(f"rotated-{number}")])
        bench.deploy("sums", bench.adding(1.0, revision=2 + number, request_settings=MANY))
        assert bench.ask(body={"data": [[1, 2]]}, key=f"rotated-{number}").status == 200
        assert bench.ask(body={"data": [[1, 2]]}, key=f"rotated-{number - 1}").status == 401
    is_over.set()
    for client in clients:
        client.join()
    assert set(statuses) == {200}
    assert statuses[200] > ROUNDS


def test_keys_are_compared_in_constant_time():
    ring = keys.KeyRing()
    assert not ring.knows(b"Bearer absent", frozenset({digest("a")}))
    ring.check(b"Bearer a", frozenset({digest("a"), digest("b")}))
    assert ring.knows(b"Bearer a", frozenset({digest("a")}))
    assert not ring.knows(b"Bearer a", frozenset({digest("b")}))  # it was replaced
    assert "hmac.compare_digest" in inspect.getsource(keys)
