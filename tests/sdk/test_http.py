from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.entities.errors import (
    AuthenticationError,
    ConflictError,
    InternalError,
    NotFoundError,
    OutOfSpaceError,
    PenstockError,
    RefusedError,
    SpecError,
    UnavailableError,
    UsageError,
)
from penstock.sdk.http import HttpClient, quoted
from penstock.sdk.problems import details_of


@pytest.fixture
def client(stub) -> Iterator[HttpClient]:
    it = HttpClient(stub.url, "pst_secret", timeout_s=5.0)
    yield it
    it.close()


def test_token_and_idempotency_key_are_sent(stub, client) -> None:
    assert client.post("/jobs", {"command": "true"}) == {}
    method, path, headers, content = stub.requests[0]
    assert (method, path) == ("POST", "/jobs")
    assert headers["Authorization"] == "Bearer pst_secret"
    assert len(headers["Idempotency-Key"]) == 32
    assert json.loads(content) == {"command": "true"}


def test_requests_share_one_connection(stub, client) -> None:
    for _ in range(5):
        client.get("/x")
    assert stub.connections == 1


def test_answers_read_in_pieces_leave_their_connection_to_the_next_request(stub, client, tmp_path) -> None:
    stub.answers = [lambda h: h.reply(200, b"x" * 1000)]
    for _ in range(3):
        client.request("GET", "/f").save(tmp_path / "f")
        assert b"".join(client.request("GET", "/f").iter_bytes()) == b"x" * 1000
    assert (stub.connections, len(stub.requests)) == (1, 6)


def test_repeated_post_carries_the_same_key(stub, client) -> None:
    stub.answers = [lambda h: h.reply(503), lambda h: h.break_off(), lambda h: h.reply(201, b'{"name": "a"}')]
    assert client.post("/jobs", {}) == {"name": "a"}
    keys = {headers["Idempotency-Key"] for _, _, headers, _ in stub.requests}
    assert len(stub.requests) == 3
    assert len(keys) == 1


def test_post_without_key_is_never_repeated(stub, client) -> None:
    stub.answers = [lambda h: h.break_off()]
    with pytest.raises(UnavailableError):
        client.request("POST", "/score", body=b"{}")
    assert len(stub.requests) == 1


def test_body_given_as_pieces_is_sent_once_in_chunks(stub, client) -> None:
    stub.answers = [lambda h: h.break_off()]
    with pytest.raises(UnavailableError):
        client.request("PUT", "/blobs/x", body=iter([b"ab", b"cd"]))
    assert [headers.get("Transfer-Encoding") for _, _, headers, _ in stub.requests] == ["chunked"]


def test_connection_the_server_closed_is_noticed_before_sending(stub, client) -> None:
    def close_after(handler) -> None:
        handler.reply(200, b"{}")
        handler.connection.shutdown(socket.SHUT_WR)
        handler.close_connection = True

    stub.answers = [close_after, lambda h: h.reply(200, b"{}")]
    client.get("/a")
    # The end may take a moment to arrive; a POST without a key would fail if it were sent into it.
    [connection] = client._idle
    assert connection.sock is not None
    connection.sock.settimeout(5)
    assert connection.sock.recv(1, socket.MSG_PEEK) == b""
    client.request("POST", "/b", body=b"{}").read()
    assert stub.connections == 2


def test_unreachable_server_is_one_sentence_with_a_hint() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = HttpClient(f"http://127.0.0.1:{port}", hint="Start it with: penstock up")
    with pytest.raises(UnavailableError, match="Connection refused") as caught:
        client.request("POST", "/x", body=b"")
    assert caught.value.hint == "Start it with: penstock up"


@pytest.mark.parametrize("url", ["", "localhost:80", "ftp://host/", "http://"])
def test_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        HttpClient(url)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, {"code": "not_found", "detail": "no job x", "hint": "List them."}, NotFoundError),
        (409, {"code": "conflict", "detail": "exists"}, ConflictError),
        (409, {"code": "missing_content", "detail": "3 missing", "missing": ["aa"]}, ConflictError),
        (401, {"code": "unauthenticated", "detail": "no token"}, AuthenticationError),
        (413, {"code": "body_too_large", "detail": "too large"}, RefusedError),
        (507, {"code": "out_of_space", "detail": "disk full"}, OutOfSpaceError),
        (500, {"code": "internal", "detail": "a defect"}, InternalError),
        (418, {}, RefusedError),
        (424, {"message": "the model raised"}, RefusedError),
    ],
)
def test_problem_becomes_the_error_it_was(
    stub, client, status: int, body: dict[str, Any], kind: type[PenstockError]
) -> None:
    stub.answers = [lambda h: h.reply(status, json.dumps(body).encode(), "application/problem+json")]
    with pytest.raises(kind) as caught:
        client.get("/x")
    if body:
        assert caught.value.message == body.get("detail", body.get("message"))
    assert details_of(caught.value) == body


def test_problems_of_a_spec_keep_their_pointers(stub, client) -> None:
    body = {
        "code": "invalid_spec",
        "detail": "two",
        "errors": [{"pointer": "/inputs/lr", "message": "is odd", "hint": "Even it."}, {"pointer": "", "message": "b"}],
    }
    stub.answers = [lambda h: h.reply(422, json.dumps(body).encode())]
    with pytest.raises(SpecError) as caught:
        client.post("/jobs", {})
    assert [(p.pointer, p.message, p.hint) for p in caught.value.problems] == [
        ("/inputs/lr", "is odd", "Even it."),
        ("", "b", ""),
    ]


def test_wrong_token_says_where_the_right_one_is(stub, client) -> None:
    stub.answers = [lambda h: h.reply(401, b'{"code": "unauthenticated", "detail": "wrong token", "hint": "Send it."}')]
    with pytest.raises(AuthenticationError, match="wrong token") as caught:
        client.get("/x")
    assert "penstock token" in caught.value.hint
    assert "pst_secret" not in str(caught.value)


def test_answer_of_something_else_is_quoted_in_short(stub, client) -> None:
    stub.answers = [lambda h: h.reply(400, b"<html>" + b"x" * 2000, "text/html")]
    with pytest.raises(UsageError, match=r"GET /x was answered with status 400: <html>x+") as caught:
        client.get("/x")
    assert len(caught.value.message) < 700


def test_download_appears_only_once_it_is_whole(stub, client, tmp_path) -> None:
    def cut(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        handler.wfile.write(b"abc")
        handler.close_connection = True

    stub.answers = [cut, lambda h: h.reply(200, b"whole", "application/octet-stream")]
    with pytest.raises(UnavailableError):
        client.request("GET", "/f").save(tmp_path / "f")
    assert list(tmp_path.iterdir()) == []
    assert client.request("GET", "/f").save(tmp_path / "deep" / "f") == 5
    assert (tmp_path / "deep" / "f").read_bytes() == b"whole"


def test_query_leaves_out_what_is_none(stub, client) -> None:
    client.get("/x", {"a": None, "b": True, "c": "ü &"})
    assert stub.requests[0][1] == "/x?b=true&c=%C3%BC+%26"


def test_path_parts_are_quoted() -> None:
    assert quoted("models", "a/b ü?", "versions", "@latest") == "/models/a%2Fb%20%C3%BC%3F/versions/@latest"


def test_another_web_server_is_said_to_be_none_of_ours(stub, client) -> None:
    page = b"<html><body>Directory listing</body></html>"
    for status in (200, 404, 501):
        stub.answers = [lambda h, status=status: h.reply(status, page, "text/html;charset=utf-8")]
        with pytest.raises(UnavailableError, match=f"no Penstock answers at {stub.url}") as caught:
            client.get("/api/v1/runs")
        assert "<html>" not in caught.value.message
