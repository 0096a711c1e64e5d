"""One client's connection to the relay: read a request, check who asks, answer it, again and again."""

from __future__ import annotations

import base64
import binascii
import socket
from hmac import compare_digest

from penstock.agent.notes import complain_of_defect
from penstock.agent.relay.switch import Switch, refusal
from penstock.agent.relay.upstream import IN_MEMORY, ClientGone, Reply, Request, Upstream
from penstock.agent.relay.wire import BadMessage, Head, Peer, send_pieces, take

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost"})
AUTHORIZATION = b"authorization"
PHRASES = {200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 403: b"Forbidden", 503: b"Service Unavailable"}


class Session:
    """Serves one connection until it ends.

    Parameters
    ----------
    connection : socket
        The client's, closed at the end.
    switch : Switch
        Answers.
    port : int
        The relay's own, which requests name as Host.
    """

    def __init__(self, connection: socket.socket, switch: Switch, port: int) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peer = Peer(connection)
        self._switch = switch
        self._hosts = {f"{name}:{port}" for name in LOOPBACK_NAMES}
        self._upstream = Upstream(switch.door.url, switch.token)

    def run(self) -> None:
        """Serve until the client closes, or something it sent cannot be understood."""
        try:
            while self._serve_one():
                pass
        except BadMessage as error:
            self._send_last(refusal(400, "BAD_REQUEST", f"This is no HTTP that is understood here: {error}."))
        except (OSError, ClientGone):
            return  # the client is gone
        except Exception:
            complain_of_defect("a relayed request failed")
        finally:
            self.close()

    def close(self) -> None:
        """Close both sides; also from another thread."""
        self._peer.close()
        self._upstream.close()

    def _serve_one(self) -> bool:
        head = self._peer.read_head()
        if head is None:
            return False
        refused = self._refuse(head)
        if refused is not None:
            self._send_last(refused)
            return False
        length = head.length()
        if head.fields.get(b"expect", b"").lower() == b"100-continue":
            self._peer.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        pieces = self._peer.read_body(length)
        content, is_whole = take(pieces, IN_MEMORY)
        method, target = (word.decode("latin-1") for word in head.words[:2])
        kept = [line for line in head.kept if line[: len(AUTHORIZATION)].lower() != AUTHORIZATION]
        request = Request(method, target, kept, content, None if is_whole else pieces, length)
        reply = self._switch.answer(request, self._upstream)
        wants_close = head.fields.get(b"connection", b"").lower() == b"close" or head.words[2] == b"HTTP/1.0"
        self._send(reply, method, is_last=wants_close, is_old=head.words[2] == b"HTTP/1.0")
        self._switch.learn(request, reply)
        return not wants_close

    def _refuse(self, head: Head) -> Reply | None:
        """Return the answer to a request that goes nowhere: damaged, from a foreign page, or without the token."""
        if len(head.words) < 3 or head.words[2] not in {b"HTTP/1.1", b"HTTP/1.0"} or not head.words[1].startswith(b"/"):
            raise BadMessage("the first line is not HTTP")
        host = head.fields.get(b"host", b"").decode("latin-1").lower()
        if host not in self._hosts:
            return refusal(403, "PERMISSION_DENIED", "This relay does not answer for that host.")
        origin = head.fields.get(b"origin", b"").decode("latin-1").lower()
        if origin and origin.partition("://")[2] not in self._hosts:
            return refusal(403, "PERMISSION_DENIED", "Requests from foreign web pages are refused.")
        token = _token(head.fields.get(AUTHORIZATION, b""))
        if not compare_digest(token, self._switch.token.encode("ascii")):
            return refusal(401, "UNAUTHENTICATED", "This relay wants its job's own token, MLFLOW_TRACKING_TOKEN.")
        return None

    def _send(self, reply: Reply, method: str, *, is_last: bool, is_old: bool = False) -> None:
        phrase = reply.reason or PHRASES.get(reply.status, b"")
        lines = [b"HTTP/1.1 %d %b" % (reply.status, phrase), *reply.kept]
        has_no_body = method == "HEAD" or reply.status in {204, 304}
        is_chunked = reply.rest is not None and reply.length is None and not is_old
        if is_chunked:
            lines.append(b"Transfer-Encoding: chunked")
        elif reply.length is not None and reply.status != 204:
            lines.append(b"Content-Length: %d" % reply.length)
        if is_last:
            lines.append(b"Connection: close")
        head = b"\r\n".join([*lines, b"", b""])
        if has_no_body:
            self._peer.socket.sendall(head)
        elif reply.rest is None:
            self._peer.socket.sendall(head + reply.content)
        else:
            self._peer.socket.sendall(head)
            send_pieces(self._peer.socket, _pieces(reply), is_chunked=is_chunked)

    def _send_last(self, reply: Reply) -> None:
        try:
            self._send(reply, "GET", is_last=True)
        except OSError:
            return  # the client is gone


def _pieces(reply: Reply) -> Iterator[bytes]:
    yield reply.content
    yield from reply.rest or ()


def _token(authorization: bytes) -> bytes:
    """Return the token of an ``Authorization`` header, Bearer or Basic with the token as password."""
    scheme, _, value = authorization.strip().partition(b" ")
    if scheme.lower() == b"bearer":
        return value.strip()
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""
