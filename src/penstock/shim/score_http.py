"""HTTP/1.1 on the main thread: many connections, one request at a time. Standard library only, Python >= 3.9.

The script runs between reading a request and writing its answer, on the thread that Python's signals and the script's
own thread-bound things belong to. Connections are kept open unless several processes share the port: then each
request is a connection of its own, so that it never waits behind a busy process while another is free.
"""

from __future__ import annotations

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

    __slots__ = ("chunks", "headers", "length", "method", "must_close", "target", "wants_go_ahead")

    def __init__(self, head: bytes) -> None:
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

    @staticmethod
    def _take_chunks(buffer: bytearray, chunks: bytearray) -> Optional[bytes]:
        while True:
            end = buffer.find(b"\r\n")
            if end < 0:
                return None
            try:
                length = int(buffer[:end].partition(b";")[0], 16)
            except ValueError:
                raise _BadRequestError(400) from None
            if length == 0:
                trailer = buffer.find(b"\r\n\r\n", end)
                if trailer < 0:
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
    """

    def __init__(self, listeners: list[socket.socket], handler: Handler, keeps_open: bool = True) -> None:
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
            for key, events in self._selector.select():
                if key.fileobj is wake:
                    wake.recv(64)
                elif key.data is None:
                    self._accept(key.fileobj)  # type: ignore[arg-type] # only sockets are registered
                elif events & selectors.EVENT_WRITE:
                    self._write(key.data)
                else:
                    self._read(key.data)
                if self._is_stopping:
                    break

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
        try:
            while not connection.outgoing and not connection.is_closing and not self._is_stopping:
                if not self._advance(connection):
                    break
        except _BadRequestError as error:
            phrase = _PHRASES[error.status]
            reply = Reply(error.status, "application/json", [], b'{"message": "%s"}' % phrase.encode())
            connection.is_closing = True
            self._send(connection, reply, is_head=False)
        except OSError:
            self._close(connection)  # the client has gone

    def _advance(self, connection: _Connection) -> bool:
        """Answer the request in the buffer if all of it is there, and return whether it was."""
        incoming = connection.incoming
        if incoming is None:
            end = connection.buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(connection.buffer) > MAX_HEAD_BYTES:
                    raise _BadRequestError(431)
                return False
            incoming = connection.incoming = _Incoming(bytes(connection.buffer[:end]))
            del connection.buffer[: end + 4]
        body = incoming.take_body(connection.buffer)
        if body is None:
            if incoming.wants_go_ahead:
                incoming.wants_go_ahead = False
                connection.socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            return False
        connection.incoming = None
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

    def _close(self, connection: _Connection) -> None:
        connection.is_closing = True
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
