"""Clients' connections to gateway and server: how many there may be, how long one may take and how large a head may be.

uvicorn limits neither the time nor the size of a request's head, nor the number of open connections, and a descriptor
that a silent client holds is one that no replica, file or database gets. One timer looks at all connections, so a
request pays only for a few notes.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

logger = logging.getLogger(__name__)

RESERVED_FILES = 128
MOST_FILES = 65_536
LOOK_S = 1.0

_UNWANTED = frozenset({b"upgrade", b"connection", b"http2-settings"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take.

    Parameters
    ----------
    connections : int
        All clients together.
    head_s, body_s, answer_s : float
        Seconds until its head is there, between pieces of its body, to take an answer.
    head_bytes : int
        Request line and headers; also what comes between the pieces of a body, such as trailers.
    """

    connections: int
    head_s: float = 10.0
    body_s: float = 30.0
    answer_s: float = 60.0
    head_bytes: int = 1 << 16


def connections_for(open_files: int) -> int:
    """Return how many connections to accept under a limit of open files; the rest is for replicas and logs."""
    if open_files == resource.RLIM_INFINITY:
        open_files = MOST_FILES
    files = min(open_files, MOST_FILES)
    return max(8, files - max(RESERVED_FILES, files // 4))


def own_limits() -> Limits:
    """Return the limits under this process's limit of open files."""
    return Limits(connections_for(resource.getrlimit(resource.RLIMIT_NOFILE)[0]))


class _HeadTooLargeError(Exception):
    """A head came whole and is over the limit."""


class Guard:
    """All open connections of a process; ends those that keep it waiting.

    On the event loop only.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: dict[GuardedProtocol, None] = {}  # in the order in which they came
        self._timer: asyncio.TimerHandle | None = None

    def admit(self, connection: GuardedProtocol) -> bool:
        """Return whether there is room; where there is none, the one that has been silent longest makes it.

        A half-sent head goes before a connection that is kept open between requests.
        """
        if len(self._open) >= self.limits.connections:
            silent = [one for one in self._open if not one.is_busy]
            if not silent:
                return False
            victim = min(silent, key=lambda one: (one.head_since is None, one.head_since or one.heard_at))
            del self._open[victim]
            victim.end()
        self._open[connection] = None
        if self._timer is None:
            self._schedule(connection.loop)
        return True

    def leave(self, connection: GuardedProtocol) -> None:
        """Forget a connection that is gone."""
        self._open.pop(connection, None)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        limits = self.limits
        pause_s = min(LOOK_S, limits.head_s / 2, limits.body_s / 2, limits.answer_s / 2)
        self._timer = loop.call_later(pause_s, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for connection in list(self._open):
            if connection.is_overdue(now, self.limits):
                connection.end()
        if self._open:
            self._schedule(loop)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with a guard; an ``Upgrade`` is ignored, as a server may, and its request answered."""

    guard: Guard

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.heard_at = self.loop.time()
        self.head_since: float | None = self.heard_at
        self._is_admitted = True
        self._is_upgrade = False
        self._is_refused = False
        self._is_too_large = False
        self._unused = 0  # bytes since the last that belonged to a body or ended a head
        self._piece = 0
        self._most_head = 0  # the pieces since a head ended and that one: the next head has no more bytes
        self._unsent = 0
        self._unsent_since = 0.0

    @property
    def is_busy(self) -> bool:
        """Return whether a request is being received or answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take the connection, or answer that there are too many."""
        super().connection_made(transport)
        self._is_admitted = self.guard.admit(self)
        if not self._is_admitted:
            logger.warning("a connection was refused, %s are open", self.guard.limits.connections)
            transport.write(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n")
            transport.write(b"content-length: 0\r\n\r\n")
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        self.guard.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came and note when."""
        if not self._is_admitted or self._is_refused:
            return
        self.heard_at = self.loop.time()
        self._unset_keepalive_if_required()
        self._unused += len(data)
        self._piece = len(data)
        self._most_head += self._piece
        self.parse(data)
        if self._is_too_large or self._unused > self.guard.limits.head_bytes:
            self._refuse_head()
            return
        if self.head_since is None and not self.is_busy:
            self.head_since = self.heard_at  # the rest of a body whose request was answered already

    def parse(self, data: bytes) -> None:
        """Parse what came; what is no HTTP gets 400."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            self._go_on_without_upgrade(data[error.args[0] :])
        except httptools.HttpParserError:
            if self._is_too_large:
                return
            logger.debug("what came is no HTTP request")
            self.send_400_response("Invalid HTTP request received.")

    def on_message_begin(self) -> None:
        """Note since when a head is coming."""
        if self.head_since is None:
            self.head_since = self.heard_at
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin the request, unless the parser would leave its body out because of an ``Upgrade``."""
        self._unused = 0
        most = self.guard.limits.head_bytes
        if (
            self._most_head > most
            and len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > most
        ):
            self._is_too_large = True
            raise _HeadTooLargeError  # which ends the parsing
        self._most_head = self._piece
        self._is_upgrade = self.parser.should_upgrade()
        if not self._is_upgrade:
            self.head_since = None
            self.begin_request()

    def begin_request(self) -> None:
        """Begin the request whose head is complete."""
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body."""
        self._unused = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request's body."""
        self._unused = 0
        if not self._is_upgrade:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        if self.head_since is not None:
            self.head_since = self.loop.time()  # a pipelined one, that had to wait for this answer
        super().on_response_complete()

    def is_overdue(self, now: float, limits: Limits) -> bool:
        """Return whether the client has kept us waiting for too long."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent or not self._unsent:
            self._unsent, self._unsent_since = unsent, now
        if unsent and now - self._unsent_since > limits.answer_s:
            return True
        if not self.is_busy:
            return self.head_since is not None and now - self.head_since > limits.head_s
        waits_for_body = self.cycle.more_body and not self.pipeline and not self.flow.read_paused
        return waits_for_body and now - self.heard_at > limits.body_s

    def end(self) -> None:
        """Close the connection at once, whatever is still to be sent."""
        transport = self.transport
        if self._is_refused:
            transport.abort()
            return
        is_quiet = not (self.is_busy or transport.is_closing() or transport.get_write_buffer_size())
        if is_quiet and self.head_since is not None:
            transport.write(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            transport.close()
        else:
            transport.abort()

    def _refuse_head(self) -> None:
        """Answer that a head is too large, and read on without keeping anything until the client sees the answer.

        Closed at once, the connection would be reset by what the client still sends, and the answer lost with it. The
        guard ends it as it does for a head that never comes.
        """
        self._is_refused = True
        logger.debug("a request's head has more than %s bytes", self.guard.limits.head_bytes)
        if self.is_busy or self.transport.is_closing():
            self.transport.abort()
            return
        self.headers, self.url = [], b""
        self.parser = httptools.HttpRequestParser(self)
        if self.head_since is None:
            self.head_since = self.heard_at
        text = b"The request's line and headers have more than %d bytes." % self.guard.limits.head_bytes
        head = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
        self.transport.write(b"%bcontent-length: %d\r\nconnection: close\r\n\r\n%b" % (head, len(text), text))
        self.transport.write_eof()

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Parse a request again without its ``Upgrade``, which makes the parser drop its body."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self.send_400_response("This is no proxy.")
            return
        kept = b"".join(b"%b: %b\r\n" % header for header in self.headers if header[0] not in _UNWANTED)
        head = b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, self.parser.get_http_version().encode(), kept)
        self.parser = httptools.HttpRequestParser(self)
        self.parse(head + rest)


def protocol_for(
    limits: Limits, base: type[GuardedProtocol] = GuardedProtocol, **shared: object
) -> type[GuardedProtocol]:
    """Return the protocol class of one process, whose connections share a guard and what ``shared`` names."""
    return type(base.__name__, (base,), {"guard": Guard(limits), **shared})
