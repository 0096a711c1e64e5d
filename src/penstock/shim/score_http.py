"""HTTP/1.1 on the main thread: many connections, one request at a time. Standard library only, Python >= 3.9.

The script runs between reading a request and writing its answer, on the thread that Python's signals and the script's
own thread-bound things belong to. Connections are kept open unless several processes share the port: then each
request is a connection of its own, so that it never waits behind a busy process while another is free.
"""

from __future__ import annotations

import os
import re
import selectors
import socket
import sys
import time
import traceback
from email.utils import formatdate
from http import HTTPStatus
from typing import Callable, Optional
from urllib.parse import unquote

from .score_answers import Reply
from .score_inputs import Request

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 256 * 1024 * 1024
MAX_BODY_VARIABLE = "PENSTOCK_SCORE_MAX_BODY_BYTES"
WAIT_S = 60.0
"""How long a head may take in all, and a body may make no progress."""
_CHUNK_HEAD = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;.*)?", re.DOTALL)
_MAX_CHUNK_HEAD_BYTES = 4096
_MAX_DIGITS = 15
_PIECE_BYTES = 256 * 1024
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_FAILURE = Reply(500, "application/json", [], b'{"message": "An unexpected internal error occurred."}')

Handler = Callable[[Request], Reply]


class _BadRequestError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Incoming:
    """A request whose body is still coming."""

    __slots__ = ("chunks", "headers", "length", "max_bytes", "method", "must_close", "target", "wants_go_ahead")

    def __init__(self, head: bytes, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        lines = head.decode("latin-1").split("\r\n")
        try:
            self.method, self.target, protocol = lines[0].split(" ")
        except ValueError:
            raise _BadRequestError(400) from None
        self.headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or name != name.strip():
                raise _BadRequestError(400)
            name, value = name.title(), value.strip()
            self.headers[name] = "%s,%s" % (self.headers[name], value) if name in self.headers else value
        connection = self.headers.get("Connection", "").lower()
        self.must_close = "close" in connection or (protocol == "HTTP/1.0" and "keep-alive" not in connection)
        self.wants_go_ahead = self.headers.get("Expect", "").lower() == "100-continue"
        self.chunks: Optional[bytearray] = None
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            raise _BadRequestError(400)
        if len(length) > _MAX_DIGITS or int(length) > max_bytes:
            raise _BadRequestError(413)
        self.length = int(length)
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            self.chunks = bytearray()

    def take_body(self, buffer: bytearray) -> Optional[bytes]:
        """Return the body once all of it is there, and take it out of the buffer."""
        if self.chunks is not None:
            return self._take_chunks(buffer, self.chunks)
        if len(buffer) < self.length:
            return None
        body = bytes(buffer[: self.length])
        del buffer[: self.length]
        return body

    def _take_chunks(self, buffer: bytearray, chunks: bytearray) -> Optional[bytes]:
        while True:
            end = buffer.find(b"\r\n", 0, _MAX_CHUNK_HEAD_BYTES)
            if end < 0:
                if len(buffer) >= _MAX_CHUNK_HEAD_BYTES:
                    raise _BadRequestError(400)
                return None
            found = _CHUNK_HEAD.fullmatch(buffer, 0, end)
            if found is None:
                raise _BadRequestError(400)
            length = int(found.group(1), 16)
            if len(chunks) + length > self.max_bytes:
                raise _BadRequestError(413)
            if length == 0:
                trailer = buffer.find(b"\r\n\r\n", end)
                if trailer < 0:
                    if len(buffer) > MAX_HEAD_BYTES:
                        raise _BadRequestError(431)
                    return None
                del buffer[: trailer + 4]
                return bytes(chunks)
            if len(buffer) < end + length + 4:
                return None
            chunks += buffer[end + 2 : end + 2 + length]
            del buffer[: end + length + 4]


class _Connection:
    __slots__ = ("buffer", "incoming", "is_closing", "outgoing", "socket")

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.buffer = bytearray()
        self.outgoing = bytearray()
        self.incoming: Optional[_Incoming] = None
        self.is_closing = False


def read_max_body_bytes() -> int:
    """Return the largest body in bytes that the environment allows."""
    text = os.environ.get(MAX_BODY_VARIABLE, "")
    return int(text) if text.isascii() and text.isdigit() else MAX_BODY_BYTES


class HttpServer:
    """Serve listening sockets until :meth:`stop`.

    Parameters
    ----------
    listeners : list of socket
        Listening; other processes may share them.
    handler : callable
        Answers one request.
    keeps_open : bool
        Whether a connection may carry several requests.
    max_body_bytes : int
        A larger body is refused with 413.
    wait_s : float
        A connection is given up when a head took so long, or no byte of a body came for so long.
    """

    def __init__(
        self,
        listeners: list[socket.socket],
        handler: Handler,
        keeps_open: bool = True,
        max_body_bytes: int = MAX_BODY_BYTES,
        wait_s: float = WAIT_S,
    ) -> None:
        self._max_body_bytes = max_body_bytes
        self._wait_s = wait_s
        self._waiting: dict[_Connection, float] = {}  # when they are given up; the first is the next
        self._handler = handler
        self._keeps_open = keeps_open
        self._selector = selectors.DefaultSelector()
        self._listeners = listeners
        self._is_stopping = False
        self._date_second, self._date = 0, b""
        for listener in listeners:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ)

    @property
    def is_stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._is_stopping

    def stop(self) -> None:
        """End :meth:`serve` after the request under way; from a signal handler whose signal wakes the selector."""
        self._is_stopping = True

    def serve(self, wake: socket.socket) -> None:
        """Answer requests; ``wake`` becomes readable when a signal has come."""
        self._selector.register(wake, selectors.EVENT_READ)
        while not self._is_stopping:
            for key, events in self._selector.select(self._time_left()):
                if key.fileobj is wake:
                    wake.recv(64)
                elif key.data is None:
                    self._accept(key.fileobj)  # type: ignore[arg-type] # only sockets are registered
                elif events & selectors.EVENT_WRITE:
                    self._write(key.data)
                else:
                    self._read(key.data)
                if self._is_stopping:
                    return
            self._give_up_late_ones()

    def _time_left(self) -> Optional[float]:
        due = next(iter(self._waiting.values()), None)
        return None if due is None else max(0.0, due - time.monotonic())

    def _give_up_late_ones(self) -> None:
        while self._waiting and not self._is_stopping:
            connection, due = next(iter(self._waiting.items()))
            if due > time.monotonic():
                return
            self._read(connection)  # it may have come while the script ran
            if self._waiting.get(connection) != due:
                continue
            if connection.buffer or connection.incoming is not None:
                self._refuse(connection, 408)
            else:
                self._close(connection)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connected, _ = listener.accept()
        except OSError:
            return  # another process was quicker, or the client has gone
        connected.setblocking(False)
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(connected)
        self._selector.register(connected, selectors.EVENT_READ, connection)
        self._waiting[connection] = time.monotonic() + self._wait_s
        self._read(connection)  # the request is mostly there already

    def _read(self, connection: _Connection) -> None:
        try:
            piece = connection.socket.recv(_PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._close(connection)
            return
        connection.buffer += piece
        self._proceed(connection)

    def _proceed(self, connection: _Connection) -> None:
        """Answer what is there, and note until when the rest has to come."""
        try:
            while not connection.outgoing and not connection.is_closing and not self._is_stopping:
                if not self._advance(connection):
                    break
        except _BadRequestError as error:
            self._refuse(connection, error.status)
        except OSError:
            self._close(connection)  # the client has gone
        if connection.is_closing or connection.outgoing:
            self._waiting.pop(connection, None)
        elif connection.incoming is not None:
            self._waiting.pop(connection, None)  # to the end
            self._waiting[connection] = time.monotonic() + self._wait_s
        elif connection.buffer and connection not in self._waiting:
            self._waiting[connection] = time.monotonic() + self._wait_s

    def _refuse(self, connection: _Connection, status: int) -> None:
        reply = Reply(status, "application/json", [], b'{"message": "%s"}' % _PHRASES[status].encode())
        connection.is_closing = True
        self._waiting.pop(connection, None)
        self._send(connection, reply, is_head=False)

    def _advance(self, connection: _Connection) -> bool:
        """Answer the request in the buffer if all of it is there, and return whether it was."""
        incoming = connection.incoming
        if incoming is None:
            end = connection.buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(connection.buffer) > MAX_HEAD_BYTES:
                    raise _BadRequestError(431)
                return False
            incoming = connection.incoming = _Incoming(bytes(connection.buffer[:end]), self._max_body_bytes)
            del connection.buffer[: end + 4]
        body = incoming.take_body(connection.buffer)
        if body is None:
            if incoming.wants_go_ahead:
                incoming.wants_go_ahead = False
                connection.socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            return False
        connection.incoming = None
        self._waiting.pop(connection, None)
        connection.is_closing = incoming.must_close or not self._keeps_open
        self._send(connection, self._answer(incoming, body), is_head=incoming.method == "HEAD")
        return True

    def _answer(self, incoming: _Incoming, body: bytes) -> Reply:
        path, _, query = incoming.target.partition("?")
        if "%" in path:
            path = unquote(path)
        try:
            return self._handler(Request(incoming.method, path, query, incoming.headers, body))
        except Exception:
            traceback.print_exc()
            return _FAILURE
        finally:
            sys.stdout.flush()
            sys.stderr.flush()

    def _send(self, connection: _Connection, reply: Reply, is_head: bool) -> None:
        lines = ["HTTP/1.1 %d %s" % (reply.status, _PHRASES.get(reply.status, "Unknown"))]
        if reply.content_type:
            lines.append("Content-Type: " + reply.content_type)
        lines.append("Content-Length: %d" % len(reply.body))
        lines += ["%s: %s" % pair for pair in reply.headers]
        if connection.is_closing:
            lines.append("Connection: close")
        head = "\r\n".join(line for line in lines if "\n" not in line and "\r" not in line)
        answer = head.encode("latin-1", "replace") + b"\r\nDate: " + self._now() + b"\r\n\r\n"
        if not is_head and reply.status != 204:
            answer += reply.body
        try:
            sent = connection.socket.send(answer)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(connection)
            return
        if sent < len(answer):
            connection.outgoing += answer[sent:]
            self._selector.modify(connection.socket, selectors.EVENT_WRITE, connection)
        elif connection.is_closing:
            self._close(connection)

    def _write(self, connection: _Connection) -> None:
        try:
            sent = connection.socket.send(connection.outgoing)
        except OSError:
            self._close(connection)
            return
        del connection.outgoing[:sent]
        if connection.outgoing:
            return
        if connection.is_closing:
            self._close(connection)
            return
        self._selector.modify(connection.socket, selectors.EVENT_READ, connection)
        self._proceed(connection)  # the next request may be there already

    def _close(self, connection: _Connection) -> None:
        connection.is_closing = True
        self._waiting.pop(connection, None)
        try:
            self._selector.unregister(connection.socket)
        except (KeyError, ValueError):
            return  # it was closed before
        connection.socket.close()

    def _now(self) -> bytes:
        second = int(time.time())
        if second != self._date_second:
            self._date_second, self._date = second, formatdate(second, usegmt=True).encode("ascii")
        return self._date
