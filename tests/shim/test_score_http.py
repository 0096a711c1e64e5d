"""The HTTP that a script alone is served over: requests in pieces, chunks and rows, and clients that misbehave."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.scoring.cases import Ask, Case
from tests.scoring.driver import ask, lay_out, serving
from tests.scoring.record import our_command

from penstock.shim.score_answers import Reply
from penstock.shim.score_http import HttpServer

SCRIPT = "def init(): pass\ndef run(raw): return raw if len(raw) < 100 else 'x' * len(raw)"
START = b"POST /score HTTP/1.1\r\nHost: a\r\n"
CHUNK_HEADS = [b"zz", b"-10", b"+1", b"0x1", b"1_0", b" 1", b"", b"f" * 16]


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("script")
    lay_out(Case(SCRIPT, ()), folder)
    with serving(our_command(Path(sys.executable), folder), folder, {}) as port:
        yield port


@pytest.fixture
def line(port):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        yield connection


def answer(connection: socket.socket) -> tuple[int, bytes, bytes]:
    """Return status, head and body of the next answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(1)
    head, _, _ = data.partition(b"\r\n\r\n")
    length = next(int(each.split(b": ")[1]) for each in head.split(b"\r\n") if each.startswith(b"Content-Length"))
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return int(head.split(b" ")[1]), head, body


def test_a_request_may_come_byte_by_byte(line):
    for byte in START + b"Content-Length: 3\r\n\r\nabc":
        line.sendall(bytes([byte]))
    assert answer(line)[2] == b'"abc"'


def test_requests_sent_at_once_are_answered_in_order(line):
    line.sendall(b"".join(START + b"Content-Length: 1\r\n\r\n%d" % number for number in range(5)))
    assert [answer(line)[2] for _ in range(5)] == [b'"%d"' % number for number in range(5)]


def test_a_body_in_chunks_is_put_together(line):
    line.sendall(START + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    line.sendall(b"2;note=1\r\nde\r\n0\r\nTrailer: x\r\n\r\n" + START + b"Content-Length: 1\r\n\r\nz")
    assert [answer(line)[2], answer(line)[2]] == [b'"abcde"', b'"z"']


def test_a_client_that_asks_first_is_told_to_go_on(line):
    line.sendall(START + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert line.recv(25, socket.MSG_WAITALL) == b"HTTP/1.1 100 Continue\r\n\r\n"
    line.sendall(b"ok")
    assert answer(line)[2] == b'"ok"'


def test_a_client_that_does_not_read_holds_nobody_up(port, line):
    large = b"y" * (8 << 20)
    line.sendall(START + b"Content-Length: %d\r\n\r\n" % len(large) + large)
    assert ask(port, Ask("quick"))["body"] == {"json": "quick"}
    assert answer(line)[2] == b'"' + b"x" * len(large) + b'"'


def test_a_connection_is_closed_when_the_client_wants_it(line):
    line.sendall(START + b"Connection: close\r\nContent-Length: 1\r\n\r\na")
    assert b"Connection: close" in answer(line)[1]
    assert line.recv(1) == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (START + b"no colon\r\n\r\n", 400),
        (START + b"Content-Length: x\r\n\r\n", 400),
        (START + b"Content-Length: \xb2\r\n\r\n", 400),
        (START + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 413),
        (START + b"Content-Length: %d\r\n\r\n" % (1 << 40), 413),
        *((START + b"Transfer-Encoding: chunked\r\n\r\n%b\r\n" % head, 400) for head in CHUNK_HEADS),
        (START + b"Transfer-Encoding: chunked\r\n\r\n1000000000\r\n", 413),
        (START + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"y" * 5000, 400),
        (START + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"y" * 70_000, 431),
        (START + b"X: " + b"y" * 70_000, 431),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(line, sent, status):
    line.sendall(sent)
    assert answer(line)[0] == status
    assert line.recv(1) == b""


@pytest.mark.parametrize(
    ("sent", "begins"),
    [(b"", b""), (b"POST /sc", b"HTTP/1.1 408"), (START + b"Content-Length: 3\r\n\r\nab", b"HTTP/1.1 408")],
)
def test_a_request_that_does_not_come_is_given_up(sent, begins):
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as at_end:
        server = HttpServer([listener], lambda request: Reply(200, "text/plain", [], request.body), wait_s=0.05)
        wake, waker = socket.socketpair()
        thread = threading.Thread(target=server.serve, args=(wake,))
        for step in (wake.close, waker.close, thread.join, lambda: waker.send(b"x"), server.stop):
            at_end.callback(step)
        thread.start()
        with socket.create_connection(listener.getsockname(), timeout=20) as connection:
            connection.sendall(sent)
            got = b"".join(iter(lambda: connection.recv(4096), b""))
    assert got[:12] == begins


def test_a_body_over_the_limit_of_the_environment_is_refused(tmp_path):
    lay_out(Case(SCRIPT, ()), tmp_path)
    command = our_command(Path(sys.executable), tmp_path)
    with serving(command, tmp_path, {"PENSTOCK_SCORE_MAX_BODY_BYTES": "3"}) as port:
        assert ask(port, Ask("abc"))["status"] == 200
        assert ask(port, Ask("abcd"))["status"] == 413


def test_a_header_cannot_be_smuggled_into_an_answer(tmp_path):
    script = (
        "from azureml.contrib.services.aml_response import AMLResponse\ndef init(): pass\n"
        "def run(raw): return AMLResponse('x', 200, {'X-Mine': 'a\\r\\nX-Ms-Smuggled: 1'})"
    )
    lay_out(Case(script, ()), tmp_path)
    with serving(our_command(Path(sys.executable), tmp_path), tmp_path, {}) as port:
        names = [name for name, _ in ask(port, Ask("x"))["headers"]]
    assert "x-ms-smuggled" not in names


def test_a_request_under_way_is_answered_when_the_server_is_stopped(tmp_path):
    script = """
import os, time
def init(): pass
def run(raw):
    if raw == "parent":
        return os.getppid()
    open("in", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.01)
    return "through"
"""
    lay_out(Case(script, ()), tmp_path)
    with serving(our_command(Path(sys.executable), tmp_path), tmp_path, {}) as port:
        parent = ask(port, Ask("parent"))["body"]["json"]
        with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
            line.sendall(START + b"Content-Length: 1\r\n\r\na")
            while not (tmp_path / "in").exists():
                os.sched_yield()
            os.kill(parent, signal.SIGTERM)
            (tmp_path / "go").touch()
            assert answer(line)[2] == b'"through"'
