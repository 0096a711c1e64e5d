"""HTTP/1.1 messages from a socket and to it, in constant memory.

Knows what clients of MLflow and our server send: a length or chunks, kept-alive connections, ``Expect: 100-continue``.
What is ambiguous about where a message ends is refused, so that nobody smuggles a second one behind it.
"""

from __future__ import annotations

import contextlib
import select
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_HEAD = 1 << 16
RECEIVE = 1 << 18
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


class BadMessage(Exception):
    """What came is no HTTP that is understood here; the message is one sentence."""


class Head:
    """The first line of a message and its fields, names in lower case.

    Attributes
    ----------
    words : list of bytes
        The first line's three parts.
    fields : dict
        The last value of each field.
    kept : list of bytes
        The lines of the fields that belong to the message and not to the connection it came on.
    """

    __slots__ = ("fields", "kept", "words")

    def __init__(self, raw: bytes) -> None:
        lines = raw.split(b"\r\n")
        self.words = lines[0].split(b" ", 2)
        self.fields: dict[bytes, bytes] = {}
        self.kept: list[bytes] = []
        if len(self.words) < 2:
            raise BadMessage("the first line is not HTTP")
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            key = name.lower()
            if not colon or not name or name != name.strip() or b"\n" in line or b"\r" in line or b"\0" in line:
                raise BadMessage("a header line is damaged")
            if key in self.fields and key in {b"content-length", b"host", b"transfer-encoding"}:
                raise BadMessage(f"the header {key.decode()} was sent twice")
            self.fields[key] = value.strip()
            if key not in HOP_BY_HOP:
                self.kept.append(line)

    def length(self) -> int | None:
        """Return the body's length as announced, 0 where nothing is, None where it comes in chunks."""
        coding = self.fields.get(b"transfer-encoding", b"").lower()
        announced = self.fields.get(b"content-length")
        if coding:
            if coding != b"chunked" or announced is not None:
                raise BadMessage("the body's end cannot be known")
            return None
        if announced is None:
            return 0
        if not announced.isdigit():
            raise BadMessage("the body's length is no number")
        return int(announced)


class Peer:
    """One side of a connection, read through a buffer."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._buffer = b""

    def read_head(self) -> Head | None:
        """Return the next message's head, None if the other side closed before it began; raises OSError, BadMessage."""
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if 0 <= end <= MAX_HEAD:
                raw, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
                return Head(raw)
            if len(self._buffer) > MAX_HEAD:
                raise BadMessage("the head is too large")
            data = self.socket.recv(RECEIVE)
            if not data:
                if self._buffer:
                    raise ConnectionError("the connection ended in the middle of a head")
                return None
            self._buffer = self._buffer + data if self._buffer else data

    def read_body(self, length: int | None) -> Iterator[bytes]:
        """Yield a body's pieces: ``length`` bytes, or chunks without their framing."""
        return self._chunks() if length is None else self._exactly(length)

    def read_rest(self) -> Iterator[bytes]:
        """Yield everything until the other side closes."""
        data, self._buffer = self._buffer, b""
        while data:
            yield data
            data = self.socket.recv(RECEIVE)

    def is_idle(self) -> bool:
        """Return whether the connection is open and nothing came; a closed one would show it."""
        if self._buffer:
            return False
        poll = select.poll()
        poll.register(self.socket.fileno(), select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close the connection, also under a thread that waits for it."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _exactly(self, length: int) -> Iterator[bytes]:
        left = length
        while left:
            if not self._buffer:
                self._receive()
            piece = self._buffer[:left]
            self._buffer = self._buffer[left:]
            left -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while True:
            size = self._line().partition(b";")[0].strip()
            try:
                length = int(size, 16)
            except ValueError as error:
                raise BadMessage("a chunk is damaged") from error
            if length < 0 or size[:1] in {b"+", b"-"}:
                raise BadMessage("a chunk is damaged")
            if not length:
                while self._line():
                    pass
                return
            yield from self._exactly(length)
            if self._line():
                raise BadMessage("a chunk is longer than it says")

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > MAX_HEAD:
                raise BadMessage("a chunk's head is too large")
            self._receive()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _receive(self) -> None:
        data = self.socket.recv(RECEIVE)
        if not data:
            raise ConnectionError("the connection ended in the middle of a body")
        self._buffer += data


def take(pieces: Iterator[bytes], most: int) -> tuple[bytes, bool]:
    """Return the first ``most`` bytes or a little more, and whether that is all there is."""
    taken: list[bytes] = []
    size = 0
    for piece in pieces:
        taken.append(piece)
        size += len(piece)
        if size > most:
            return b"".join(taken), False
    return b"".join(taken), True


def send_pieces(connection: socket.socket, pieces: Iterator[bytes], *, is_chunked: bool) -> None:
    """Send a body's pieces, with their framing where it has no length."""
    for piece in pieces:
        connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
    if is_chunked:
        connection.sendall(b"0\r\n\r\n")
