"""More than a deployment takes: who is refused, with which code, and that nobody else is harmed."""

from __future__ import annotations

import socket
import threading

import pytest

HOLDING = """
import time, os
def init(): pass
def run(path):
    open(path, "w").close()
    while not os.path.exists(path + ".go"):
        time.sleep(0.005)
    return "done"
"""


@pytest.fixture
def holding(bench, tmp_path, eventually):
    """Return what asks a script that answers once it is told to."""

    class Holding:
        def __init__(self):
            self.answers = {}
            self.threads = []

        def deploy(self, **settings):
            bench.start_gateway()
            settings = {"request_timeout_ms": 60_000, **settings}
            bench.deploy("sums", bench.script(HOLDING, request_settings=settings))

        def ask(self, name):
            def work():
                self.answers[name] = bench.ask(body=str(tmp_path / name))

            self.threads.append(threading.Thread(target=work))
            self.threads[-1].start()

        def wait_running(self, name):
            eventually((tmp_path / name).exists)

        def wait_answered(self, name):
            eventually(lambda: name in self.answers)
            return self.answers[name]

        def release(self, *names):
            for name in names:
                (tmp_path / f"{name}.go").touch()

        def end(self):
            for thread in self.threads:
                thread.join()

    it = Holding()
    yield it
    it.release("a", "b", "c")
    it.end()


def test_who_waits_longer_than_max_queue_wait_is_429_and_never_runs(holding, tmp_path):
    holding.deploy(max_queue_wait_ms=100)
    holding.ask("a")
    holding.wait_running("a")
    holding.ask("b")
    answer = holding.wait_answered("b")
    assert answer.status == 429
    assert answer.headers["retry-after"] == "1"
    assert "max_queue_wait_ms" in answer.data["hint"]
    holding.release("a")
    assert holding.wait_answered("a").status == 200
    assert not (tmp_path / "b").exists()


def test_without_a_queue_wait_a_request_may_wait_for_its_whole_time(holding):
    holding.deploy()
    holding.ask("a")
    holding.wait_running("a")
    holding.ask("b")
    holding.release("a", "b")
    assert holding.wait_answered("b").status == 200


def test_a_full_queue_is_429_at_once(holding):
    holding.deploy()
    holding.ask("a")
    holding.wait_running("a")
    holding.ask("b")
    holding.ask("c")  # of b and c one waits, the other is one too many
    refused = next(name for name in ("b", "c") if name in _first_answered(holding))
    assert holding.answers[refused].status == 429
    holding.release("a", "b", "c")


def _first_answered(holding):
    done = threading.Event()
    while not ({"b", "c"} & set(holding.answers)):
        done.wait(0.01)
    return holding.answers


def test_two_hundred_slow_clients_harm_nobody(bench):
    """They send bodies byte by byte, read no answer or say nothing; a quick client meanwhile gets every answer."""
    bench.start_gateway()
    bench.deploy("sums", bench.adding(1.0))
    head = b"POST /endpoints/sums/score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer key-of-the-tests\r\n"
    begun = [b"", b"POST /endp", head, head + b"content-length: 500\r\n\r\n{", head + b"content-length: 500\r\n\r\n"]
    slow = []
    try:
        for number in range(200):
            slow.append(socket.create_connection(("127.0.0.1", bench.port)))
            slow[-1].sendall(begun[number % len(begun)])
        connection = bench.connect()
        for number in range(100):
            for one in slow[3::5]:
                one.send(b" ")
            answer = bench.ask(body={"data": [[number, 0]]}, connection=connection)
            assert answer.data == {"outputs": {"y": [[number + 1.0, 1.0]]}}
        connection.close()
        assert bench.ask(body={"data": [[1, 0]]}).status == 200  # a new connection is taken too
    finally:
        for one in slow:
            one.close()


def test_bodies_on_their_way_are_bounded_together(bench, eventually):
    """Half-sent bodies fill what the gateway keeps; one more large one is 503, small ones are answered."""
    bench.start_gateway(buffered_bytes=1 << 20)
    bench.deploy("sums", bench.adding(1.0))
    head = b"POST /endpoints/sums/score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer key-of-the-tests\r\n"
    head += b"content-length: 900000\r\n\r\n"
    held = socket.create_connection(("127.0.0.1", bench.port))
    try:
        held.sendall(head + b" " * 800_000)

        def status():
            with socket.create_connection(("127.0.0.1", bench.port)) as one:
                one.sendall(head + b" " * 899_999)
                one.settimeout(0.5)
                try:
                    return one.recv(4096)
                except TimeoutError:  # the first one's bytes are not all there yet, so this one had room
                    return b""

        eventually(lambda: status().startswith(b"HTTP/1.1 503"))
        assert bench.ask(body={"data": [[1, 0]]}).status == 200
    finally:
        held.close()
    large = '{"data": [[1, 0]]' + " " * 800_000 + "}"
    eventually(lambda: bench.ask(body=large).status == 200)
