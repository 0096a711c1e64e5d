"""Clients that keep the server waiting, over real sockets to the server with its protocol."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from tests.server.harness import House, build_house, serving

from penstock.server.asgi import create_app
from penstock.serving.connections import Limits

LIMITS = Limits(connections=8, head_s=0.3, body_s=0.3)
HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server that waits for nobody for long."""
    house = build_house(tmp_path_factory.mktemp("impatient"))
    try:
        with serving(create_app(house.services), house.services.closing.begin, limits=LIMITS) as port:
            yield replace(house, port=port)
    finally:
        house.services.store.close()


def connect(house: House) -> socket.socket:
    return socket.create_connection(("127.0.0.1", house.port), timeout=30)


def test_a_head_that_does_not_end_is_given_up(impatient: House) -> None:
    with connect(impatient) as slow:
        slow.sendall(HEAD)
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
        assert slow.recv(1000) == b""


def test_slow_heads_cannot_hold_the_server(impatient: House) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(impatient)) for _ in range(2 * LIMITS.connections)]
        for client in slow:
            try:
                client.sendall(HEAD)
            except OSError:  # it was given up already for a later one
                continue
        assert impatient.ask("GET", "/api/v1").status == 200


def test_a_body_that_stops_coming_is_given_up_and_nothing_of_it_is_kept(impatient: House) -> None:
    blobs = impatient.services.blobs
    digest = "0" * 64
    with connect(impatient) as slow:
        head = f"PUT /api/v1/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
        slow.sendall(f"{head}Authorization: Bearer {impatient.token}\r\n\r\nhalf".encode())
        assert slow.recv(1000) == b""
    assert blobs.missing([digest]) == [digest]


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/2.0/mlflow/experiments/search"])
def test_the_body_of_a_request_that_offers_http2_is_read(house: House, path: str) -> None:
    content = {"command": "true", "name": "h2c-job"} if path.endswith("jobs") else {"max_results": 5}
    body = json.dumps(content).encode()
    with connect(house) as client:
        client.sendall(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQBAAAAAAIAAAAA\r\n"
            f"Authorization: Bearer {house.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        response = http.client.HTTPResponse(client)
        response.begin()
        answer = json.loads(response.read())
    assert response.status in {200, 201}
    assert answer["name"] == "h2c-job" if path.endswith("jobs") else answer["experiments"]


def test_the_real_server_process_guards_its_connections(tmp_path: Path) -> None:
    from penstock.app.server import PATIENCE_S, configure
    from penstock.serving.connections import GuardedProtocol

    house = build_house(tmp_path)
    config = configure(create_app(house.services))
    house.services.store.close()
    assert isinstance(config.http, type)
    assert issubclass(config.http, GuardedProtocol)
    assert config.http.guard.limits.head_s < PATIENCE_S == config.http.guard.limits.body_s
