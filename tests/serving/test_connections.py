"""Clients that keep the gateway waiting, over real sockets to uvicorn with the gateway's protocol."""

from __future__ import annotations

import asyncio
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvicorn

from penstock.serving.connections import GuardedProtocol, Limits, connections_for, protocol_for
from penstock.serving.joined import JoinedProtocol

REQUEST = b"POST /%b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
Opener = Callable[[bytes], socket.socket]


class App:
    """Answers with method, path and body; ``/wait`` after :meth:`release`, ``/large`` with 20 MiB."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.waiting = threading.Semaphore(0)
        self.loop: asyncio.AbstractEventLoop

    def release(self) -> None:
        self.loop.call_soon_threadsafe(self.gate.set)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.loop = asyncio.get_running_loop()
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        if scope["path"] == "/wait":
            self.waiting.release()
            await self.gate.wait()
        answer = bytes(20 << 20) if scope["path"] == "/large" else f"{scope['method']} {scope['path']} ".encode() + body
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]}
        )
        await send({"type": "http.response.body", "body": answer})


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


@contextmanager
def serving(
    app: App, limits: Limits, base: type[GuardedProtocol] = GuardedProtocol
) -> Iterator[tuple[Opener, uvicorn.Server]]:
    listening = socket.create_server(("127.0.0.1", 0))
    options: Any = {"http": protocol_for(limits, base), "ws": "none", "lifespan": "off", "log_config": None}
    server = _Server(uvicorn.Config(app, loop="uvloop", timeout_graceful_shutdown=20, **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    clients: list[socket.socket] = []

    def open_client(content: bytes) -> socket.socket:
        client = socket.create_connection(listening.getsockname(), 60)
        client.sendall(content)
        clients.append(client)
        return client

    try:
        assert server.is_up.wait(60)
        yield open_client, server
    finally:
        for client in clients:
            client.close()
        server.should_exit = True
        thread.join(60)
        listening.close()


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def read_answer(client: socket.socket, end: bytes) -> bytes:
    got = b""
    while not got.endswith(end):
        piece = client.recv(65536)
        assert piece, got
        got += piece
    return got


@pytest.mark.parametrize("sent", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: x\r\n", b"\r\n"])
def test_a_head_that_never_ends_is_408(sent: bytes) -> None:
    with serving(App(), Limits(10, head_s=0.1)) as (connect, _):
        assert read_all(connect(sent)).startswith(b"HTTP/1.1 408 ")


def test_a_head_that_comes_letter_by_letter_has_no_more_time() -> None:
    with serving(App(), Limits(10, head_s=0.2)) as (connect, _):
        client = connect(b"POST /")
        client.settimeout(0.01)
        got = b""
        while not got:
            try:
                got = client.recv(100)
            except TimeoutError:
                client.sendall(b"a")
        assert got.startswith(b"HTTP/1.1 408 ")


def test_a_body_that_stops_coming_ends_the_connection() -> None:
    with serving(App(), Limits(10, body_s=0.1)) as (connect, _):
        assert read_all(connect(REQUEST[:-1] % b"")) == b""


def test_the_next_request_on_a_kept_connection_has_its_own_time() -> None:
    with serving(App(), Limits(10, head_s=0.1)) as (connect, _):
        client = connect(REQUEST % b"one")
        read_answer(client, b"POST /one body")
        client.sendall(REQUEST % b"two" + b"POST /thr")
        assert b"POST /two body" in (got := read_all(client))
        assert b"HTTP/1.1 408 " in got


def test_who_never_reads_the_answer_is_let_go(eventually: Callable[[Callable[[], bool]], None]) -> None:
    with serving(App(), Limits(10, answer_s=0.1)) as (connect, server):
        client = connect(REQUEST % b"large")
        assert client.recv(1) == b"H"
        eventually(lambda: not server.server_state.connections)


def test_who_waits_for_an_answer_is_left_alone() -> None:
    app = App()
    with serving(app, Limits(10, head_s=0.05, body_s=0.05, answer_s=0.05)) as (connect, _):
        client = connect(REQUEST % b"wait")
        assert app.waiting.acquire(timeout=60)
        for _ in range(3):  # each is ended by a later look at all connections
            assert b" 408 " in read_all(connect(b"P"))
        app.release()
        read_answer(client, b"POST /wait body")


def test_the_longest_silent_one_makes_room() -> None:
    with serving(App(), Limits(3)) as (connect, _):
        kept = connect(REQUEST % b"kept")
        read_answer(kept, b"POST /kept body")
        first, second = connect(b"PO"), connect(b"PO")
        read_answer(connect(REQUEST % b"real"), b"POST /real body")
        assert b" 408 " in read_all(first)
        second.sendall((REQUEST % b"second")[2:])
        read_answer(second, b"POST /second body")
        kept.sendall(REQUEST % b"again")
        read_answer(kept, b"POST /again body")


def test_too_many_at_work_are_503() -> None:
    app = App()
    with serving(app, Limits(2)) as (connect, _):
        clients = [connect(REQUEST % b"wait") for _ in range(2)]
        for _ in clients:
            assert app.waiting.acquire(timeout=60)
        assert read_all(connect(b"")).startswith(b"HTTP/1.1 503 ")
        app.release()
        for client in clients:
            read_answer(client, b"POST /wait body")


def test_pipelined_requests_are_answered_in_order() -> None:
    app = App()
    with serving(app, Limits(2)) as (connect, _):
        client = connect(REQUEST % b"wait" + REQUEST % b"two" + REQUEST % b"three" + b"POST /fo")
        assert app.waiting.acquire(timeout=60)
        client.sendall((REQUEST % b"four").removeprefix(b"POST /fo"))
        app.release()
        got = read_answer(client, b"POST /four body")
        places = [got.index(b"POST /%b body" % name) for name in (b"wait", b"two", b"three", b"four")]
        assert places == sorted(places)


@pytest.mark.parametrize("cut", [len(REQUEST), 4, 2])
def test_an_upgrade_is_ignored_and_the_body_stays(cut: int) -> None:
    asked = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length"
    request = (REQUEST % b"java").replace(b"Content-Length", asked)
    with serving(App(), Limits(2)) as (connect, _):
        client = connect(request[:-cut])
        client.sendall(request[-cut:])
        read_answer(client, b"POST /java body")
        client.sendall(request + REQUEST % b"next")
        read_answer(client, b"POST /next body")


LARGE_HEADS = {
    "one line": b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 3000,
    "many lines": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Short: abc\r\n" * 300,
    "a whole head": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Short: abc\r\n" * 300 + b"\r\n",
    "an address": b"GET /" + b"a" * 3000,
    "an upgrade": b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n" + b"X: abc\r\n" * 300 + b"\r\n",
}


@pytest.mark.parametrize("joins", [False, True])
@pytest.mark.parametrize("sent", LARGE_HEADS.values(), ids=LARGE_HEADS.keys())
def test_a_head_without_measure_is_431(sent: bytes, joins: bool) -> None:
    base = JoinedProtocol if joins else GuardedProtocol
    with serving(App(), Limits(2, head_bytes=2000), base) as (connect, _):
        client = connect(sent)
        assert read_all(client).startswith(b"HTTP/1.1 431 ")
        client.sendall(b"a" * 100_000)  # nobody keeps it
        client.close()
        read_answer(connect(REQUEST % b"next"), b"POST /next body")


def test_a_head_that_begins_behind_a_request_is_measured_whole() -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Long: %b\r\n" % (b"a" * 700) * 4 + b"\r\n"
    with serving(App(), Limits(2, head_bytes=2000)) as (connect, _):
        client = connect(REQUEST % b"first" + head[:1500])
        read_answer(client, b"POST /first body")
        client.sendall(head[1500:])
        assert read_all(client).startswith(b"HTTP/1.1 431 ")


def test_who_goes_on_after_431_is_let_go(eventually: Callable[[Callable[[], bool]], None]) -> None:
    with serving(App(), Limits(2, head_s=0.1, head_bytes=2000)) as (connect, server):
        assert b" 431 " in read_all(connect(LARGE_HEADS["one line"]))
        eventually(lambda: not server.server_state.connections)


def test_trailers_without_measure_end_the_connection() -> None:
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    with serving(App(), Limits(2, head_bytes=2000)) as (connect, _):
        client = connect(chunked + b"0\r\nX: ")
        with suppress(ConnectionError):
            client.sendall(b"a" * 2_000_000)
            assert read_all(client) == b""


def test_heads_within_the_limit_are_answered_however_many_come() -> None:
    head = (REQUEST % b"x").replace(b"Host: x", b"Host: x\r\nX-Long: " + b"a" * 1800)
    with serving(App(), Limits(2, head_bytes=2000)) as (connect, _):
        client = connect(head * 3 + head[:1500])
        client.sendall(head[1500:] + REQUEST % b"last")
        read_answer(client, b"POST /last body")
        client.sendall((REQUEST % b"large").replace(b"4\r\n\r\nbody", b"9000\r\n\r\n") + b"b" * 9000)
        assert client.recv(1) == b"H"


def test_what_is_no_request_is_400() -> None:
    with serving(App(), Limits(2)) as (connect, _):
        for wrong in (b"nonsense\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"):
            assert read_all(connect(wrong)).startswith(b"HTTP/1.1 400 ")


def test_replicas_keep_a_share_of_the_files() -> None:
    assert [connections_for(n) for n in (20, 256, 1024, 1 << 30)] == [8, 128, 768, 49_152]
    assert connections_for(resource.RLIM_INFINITY) == 49_152
