"""One kept-alive HTTP/1.1 connection to the server.

``http.client`` costs 13 ms of CPU and 5 MB for every agent (it imports email and ssl); an attempt has 50 ms. Speaks
only what our server does: plain TCP, Content-Length or chunked answers. Any surprise is a ConnectionError.
"""

from __future__ import annotations

import contextlib
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

MAX_HEAD = 1 << 16
RECEIVE = 1 << 16
CHUNK = 1 << 20


class Connection:
    """A connection that opens itself on the first request and after a failure.

    Parameters
    ----------
    url : str
        ``http://host:port``.
    timeout_s : float
        Longest silence of the server in seconds.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = url
        self._timeout_s = timeout_s
        self._host, self._port = split_url(url)
        self._socket: socket.socket | None = None
        self._buffer = b""

    def request(self, method: str, path: str, token: str, body: bytes | BinaryIO, size: int) -> tuple[int, bytes]:
        """Send a request and return (status, body of the answer).

        A connection the server closed while idle is opened again once, without a word; requests must therefore
        be idempotent.

        Raises
        ------
        OSError
            If the server cannot be reached, is silent too long, or its answer is cut off.
        """
        is_reused = self._socket is not None
        try:
            return self._exchange(method, path, token, body, size)
        except TimeoutError:
            self.close()
            raise
        except OSError:
            self.close()
            if not is_reused:
                raise
        try:
            return self._exchange(method, path, token, body, size)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the socket; the next request opens a new one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._buffer = b""

    def abort(self) -> None:
        """Make the request that another thread waits in fail now."""
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _exchange(self, method: str, path: str, token: str, body: bytes | BinaryIO, size: int) -> tuple[int, bytes]:
        if self._socket is None:
            self._socket = socket.create_connection((self._host, self._port), self._timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        kind = "application/json" if isinstance(body, bytes) else "application/octet-stream"
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.url[7:]}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {size}\r\n\r\n"
        ).encode("ascii")
        if isinstance(body, bytes):
            self._socket.sendall(head + body)
        else:
            _send_file(self._socket, head, body, size)
        return self._answer()

    def _answer(self) -> tuple[int, bytes]:
        status, fields = self._head()
        while 100 <= status < 200:
            status, fields = self._head()
        if fields.get("transfer-encoding", "").lower() == "chunked":
            body = self._chunks()
        elif fields.get("content-length", "").isdigit():
            body = self._exactly(int(fields["content-length"]))
        elif status in {204, 304}:
            body = b""
        else:
            raise ConnectionError("an answer without a length")
        if fields.get("connection", "").lower() == "close":
            self.close()
        return status, body

    def _head(self) -> tuple[int, dict[str, str]]:
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            raise ConnectionError(f"not an HTTP answer: {lines[0][:40]!r}")
        pairs = (line.partition(":") for line in lines[1:])
        return int(rest[:3]), {name.strip().lower(): value.strip() for name, _, value in pairs}

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while True:
            try:
                length = int(self._until(b"\r\n").split(b";")[0], 16)
            except ValueError as error:
                raise ConnectionError("a damaged chunk") from error
            if length == 0:
                while self._until(b"\r\n"):
                    pass
                return b"".join(parts)
            parts.append(self._exactly(length))
            self._exactly(2)

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            if len(self._buffer) > MAX_HEAD:
                raise ConnectionError("an endless head")
            self._receive()
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def _exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._receive()
        found, self._buffer = self._buffer[:length], self._buffer[length:]
        return found

    def _receive(self) -> None:
        assert self._socket is not None
        data = self._socket.recv(RECEIVE)
        if not data:
            raise ConnectionError("the server closed the connection in the middle of an answer")
        self._buffer += data


def _send_file(connection: socket.socket, head: bytes, file: BinaryIO, size: int) -> None:
    """Send head and file; sendfile would leave the last bytes waiting for 40 ms on some kernels."""
    file.seek(0)
    part = file.read(min(size, CHUNK))
    connection.sendall(head + part)
    sent = len(part)
    while sent < size:
        part = file.read(min(size - sent, CHUNK))
        if not part:
            raise ConnectionError("a file became shorter while it was sent")
        connection.sendall(part)
        sent += len(part)


def split_url(url: str) -> tuple[str, int]:
    """Return (host, port) of ``http://host[:port]``; IPv6 hosts in brackets."""
    scheme, _, place = url.rstrip("/").partition("://")
    if scheme != "http" or "/" in place:
        raise ValueError(f"the server's URL {url!r} is not http://host:port")
    host, colon, port = place.rpartition(":")
    if not colon or port.endswith("]"):
        return place.strip("[]"), 80
    return host.strip("[]"), int(port)
