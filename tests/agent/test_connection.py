from __future__ import annotations

import io
import socket
import threading

import pytest

from penstock.agent.connection import Connection, split_url

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def peer():
    """Answer each accepted connection with the next of ``answers``, one per request, then close it."""
    listener = socket.create_server(("127.0.0.1", 0))
    answers: list[list[bytes]] = []
    received: list[bytes] = []

    def serve() -> None:
        for script in answers:
            connection, _ = listener.accept()
            with connection:
                for answer in script:
                    data = connection.recv(65536)
                    while b"\r\n\r\n" not in data:
                        data += connection.recv(65536)
                    length = int(data.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                    head, _, body = data.partition(b"\r\n\r\n")
                    while len(body) < length and (data := connection.recv(65536)):
                        body += data
                    received.append(head + b"|" + body)
                    connection.sendall(answer)

    class Peer:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        requests = received

        def play(self, *scripts: list[bytes]) -> Connection:
            answers.extend(scripts)
            self.thread = threading.Thread(target=serve)
            self.thread.start()
            return Connection(self.url, 30)

    made = Peer()
    yield made
    made.thread.join()
    listener.close()


def ask(connection: Connection, body: bytes = b"x") -> tuple[int, bytes]:
    return connection.request("POST", "/p", "token", body, len(body))


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (LENGTH, 200, b"{}"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH, 200, b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n", 404, b""),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n",
            200,
            b"abcde",
        ),
    ],
)
def test_answers_are_read(peer, answer, status, body):
    connection = peer.play([answer])
    assert ask(connection) == (status, body)
    connection.close()
    assert b"Authorization: Bearer token" in peer.requests[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\nno length",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
def test_anything_else_means_the_server_is_away(peer, answer):
    connection = peer.play([answer])
    with pytest.raises(ConnectionError):
        ask(connection)


def test_a_connection_is_kept_and_one_that_was_closed_is_opened_again(peer):
    connection = peer.play([LENGTH, LENGTH], [LENGTH])
    assert [ask(connection)[0] for _ in range(3)] == [200, 200, 200]
    connection.close()


def test_connection_close_is_honoured(peer):
    connection = peer.play([LENGTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")], [LENGTH])
    assert [ask(connection)[0] for _ in range(2)] == [200, 200]
    connection.close()


def test_a_file_is_sent_whole_and_a_shorter_one_is_noticed(peer):
    connection = peer.play([LENGTH], [b""])
    content = bytes(range(256)) * 10_000
    assert connection.request("PUT", "/b", "t", io.BytesIO(content), len(content))[0] == 200
    assert peer.requests[0].partition(b"|")[2] == content
    connection.close()
    other = Connection(peer.url, 30)
    with pytest.raises(ConnectionError, match="shorter"):
        other.request("PUT", "/b", "t", io.BytesIO(b"x"), 2)
    other.close()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://127.0.0.1:80", ("127.0.0.1", 80)),
        ("http://[::1]:8080/", ("::1", 8080)),
        ("http://host", ("host", 80)),
        ("http://[::1]", ("::1", 80)),
    ],
)
def test_urls_are_split(url, place):
    assert split_url(url) == place


@pytest.mark.parametrize("url", ["https://host:1", "host:1", "http://host/path"])
def test_other_urls_are_refused(url):
    with pytest.raises(ValueError, match="http://host:port"):
        split_url(url)
