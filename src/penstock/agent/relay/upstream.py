"""The server as the relay sees it: a request goes there as it came, its answer comes back as it is.

One instance a client connection, with a kept-alive connection of its own. ``Away`` says that the server gave no answer;
whether it did what was asked is then unknown.
"""

from __future__ import annotations

import os
import socket

from penstock.agent.connection import split_url
from penstock.agent.relay.wire import BadMessage, Head, Peer, send_pieces, take

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONNECT_S = 2.0
WRITE_S = 5.0
"""The longest silence at a write that can be spooled as well."""
READ_S = 100.0
IN_MEMORY = 1 << 20
MODEL = b"-model-id"
AWAY_STATUSES = frozenset({502, 503, 504, 507})
"""Answers of a server that is there and cannot serve now."""


class Away(Exception):
    """The server did not answer; ``reply`` is what it said where that was only that it cannot."""

    def __init__(self, reason: object, reply: Reply | None = None) -> None:
        super().__init__(str(reason))
        self.reply = reply


class ClientGone(Exception):
    """The client's side ended in the middle of its request."""


class Request:
    """One request of a client.

    Attributes
    ----------
    method, target : str
        As they were sent.
    kept : list of bytes
        Header lines to pass on, without the token.
    content : bytes
        The body, or its beginning.
    rest : iterator of bytes or None
        What follows of a body over ``IN_MEMORY`` bytes.
    length : int or None
        The whole body's bytes, None where it comes in chunks.
    is_begun : bool
        Whether some of ``rest`` went to the server already, and is not here any more.
    is_forwarded : bool
        Whether the server itself answered.
    promised : str
        The id chosen for what it creates, empty where it creates nothing.
    """

    __slots__ = ("content", "is_begun", "is_forwarded", "kept", "length", "method", "promised", "rest", "target")

    def __init__(
        self,
        method: str,
        target: str,
        kept: list[bytes],
        content: bytes,
        rest: Iterator[bytes] | None,
        length: int | None,
    ) -> None:
        self.method = method
        self.target = target
        self.kept = kept
        self.content = content
        self.rest = rest
        self.length = length
        self.is_begun = False
        self.is_forwarded = False
        self.promised = ""

    def promise(self, name: bytes) -> None:
        """Choose the id of what this creates and tell the server in a header, whatever the client sent there."""
        self.promised = os.urandom(16).hex()
        if name.endswith(MODEL):
            self.promised = f"m-{self.promised}"
        self.mark(name, self.promised)

    def mark(self, name: bytes, value: str) -> None:
        """Tell the server something in a header, whatever the client sent there."""
        self.kept = [line for line in self.kept if line.partition(b":")[0].lower() != name]
        self.kept.append(name + b": " + value.encode("ascii"))

    def drain(self) -> None:
        """Read what is left of the body, so that an answer can follow it."""
        for _ in self.rest or ():
            continue


class Reply:
    """One answer: its first line and fields, and its body as in :class:`Request`."""

    __slots__ = ("content", "kept", "length", "reason", "rest", "status")

    def __init__(
        self,
        status: int,
        content: bytes = b"",
        kept: list[bytes] | None = None,
        *,
        reason: bytes = b"",
        rest: Iterator[bytes] | None = None,
        length: int | None = None,
    ) -> None:
        self.status = status
        self.content = content
        self.kept = kept if kept is not None else [b"content-type: application/json"]
        self.reason = reason
        self.rest = rest
        self.length = len(content) if rest is None and length is None else length


class Upstream:
    """A kept-alive connection to the server.

    Parameters
    ----------
    url : callable
        Returns where the server answers now, as ``http://host:port``.
    token : str
        The attempt's.
    """

    def __init__(self, url: Callable[[], str], token: str) -> None:
        self._url = url
        self._authorization = f"Authorization: Bearer {token}".encode("ascii")
        self._peer: Peer | None = None
        self._is_last = False
        self._host = b""

    def forward(self, request: Request, timeout_s: float) -> Reply:
        """Send a request and return its answer.

        Raises
        ------
        Away
            If there was none, or only one that says that the server cannot.
        ClientGone
            If the request's own body ended too early.
        """
        try:
            peer = self._connected(timeout_s)
            self._send(peer, request)
            reply = self._receive(peer, request.method)
        except (OSError, BadMessage, ValueError) as error:
            self.close()
            raise Away(error) from error
        except BaseException:
            self.close()
            raise
        if reply.status in AWAY_STATUSES:
            raise Away(f"it answered {reply.status}", reply)
        return reply

    def close(self) -> None:
        """Close the connection."""
        if self._peer is not None:
            self._peer.close()
        self._peer = None
        self._is_last = False

    def _connected(self, timeout_s: float) -> Peer:
        if self._peer is not None and (self._is_last or not self._peer.is_idle()):
            self.close()
        if self._peer is None:
            url = self._url()
            self._host = b"Host: " + url.rstrip("/")[7:].encode("ascii")
            made = socket.create_connection(split_url(url), CONNECT_S)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peer = Peer(made)
        self._peer.socket.settimeout(timeout_s)
        return self._peer

    def _send(self, peer: Peer, request: Request) -> None:
        is_chunked = request.rest is not None and request.length is None
        length = len(request.content) if request.rest is None else request.length
        framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % (length or 0)
        first = f"{request.method} {request.target} HTTP/1.1".encode("latin-1")
        head = b"\r\n".join([first, self._host, self._authorization, framing, *request.kept, b"", b""])
        if request.rest is None:
            peer.socket.sendall(head + request.content)
            return
        peer.socket.sendall(head)
        send_pieces(peer.socket, _whole(request), is_chunked=is_chunked)

    def _receive(self, peer: Peer, method: str) -> Reply:
        head = peer.read_head()
        while head is not None and _status(head) < 200:
            head = peer.read_head()
        if head is None:
            raise ConnectionError("the server closed the connection instead of answering")
        status = _status(head)
        reason = head.words[2] if len(head.words) > 2 else b""
        if method == "HEAD" or status in {204, 304}:
            announced = head.fields.get(b"content-length", b"")
            return Reply(status, b"", head.kept, reason=reason, length=int(announced) if announced.isdigit() else None)
        if b"content-length" not in head.fields and b"transfer-encoding" not in head.fields:
            pieces, length, self._is_last = peer.read_rest(), None, True
        else:
            length = head.length()
            pieces = peer.read_body(length)
            self._is_last = head.fields.get(b"connection", b"").lower() == b"close"
        content, is_whole = take(pieces, IN_MEMORY)
        if is_whole:
            return Reply(status, content, head.kept, reason=reason)
        return Reply(status, content, head.kept, reason=reason, rest=pieces, length=length)


def _status(head: Head) -> int:
    if not head.words[0].startswith(b"HTTP/1.") or not head.words[1].isdigit():
        raise BadMessage("the server's answer is no HTTP")
    return int(head.words[1])


def _whole(request: Request) -> Iterator[bytes]:
    """Yield a body from its beginning; the client's failures are told from the server's."""
    yield request.content
    pieces = request.rest or iter(())
    request.is_begun = True
    while True:
        try:
            piece = next(pieces, None)
        except (OSError, BadMessage) as error:
            raise ClientGone(str(error)) from error
        if piece is None:
            return
        yield piece
