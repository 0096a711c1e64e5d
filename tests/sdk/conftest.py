"""A real workspace for the whole session, and a small HTTP server for what a healthy Penstock server never does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from penstock import Workspace
from penstock.home import Home
from penstock.sdk.launch import find_server, stop_server

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the next answer of the list; the last one serves all further requests."""

    protocol_version = "HTTP/1.1"
    server: Stub
    content: bytes

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.content = self.rfile.read(length)
        with self.server.lock:
            self.server.requests.append((self.command, self.path, dict(self.headers), self.content))
            answer = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        answer(self)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any

    def reply(self, status: int, body: bytes = b"", kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def break_off(self) -> None:
        """End the connection without an answer."""
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Stub(ThreadingHTTPServer):
    """The server; ``connections`` counts how many were opened."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.answers: list[Answer] = [lambda handler: handler.reply(200, b"{}")]
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections = 0

    def process_request(self, request: object, client_address: object) -> None:
        self.connections += 1
        super().process_request(request, client_address)  # type: ignore[arg-type] # the base class is untyped here

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def workspace_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("sdk") / "lab"
    yield folder
    stop_workspace(folder)


@pytest.fixture
def ws(workspace_folder: Path) -> Iterator[Workspace]:
    it = Workspace(workspace_folder, create=True)
    yield it
    it.close()


def stop_workspace(folder: Path) -> None:
    record = find_server(Home(folder.resolve()))
    if record is not None:
        stop_server(record)
