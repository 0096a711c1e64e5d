"""Uvicorn's HTTP protocol with one packet for a short answer.

Uvicorn writes an answer's head and its body by themselves, which is two system calls here and wakes the client twice:
a fifth of what a logged metric costs. Here what is written in the same turn of the event loop leaves together.
"""

from __future__ import annotations

import asyncio
from typing import Any

from penstock.serving.connections import GuardedProtocol

JOINED_BYTES = 1 << 16
"""Larger pieces are not copied to be joined."""


class JoinedProtocol(GuardedProtocol):
    """Speaks HTTP over a :class:`JoinedTransport`, under a guard; made by ``protocol_for``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Begin a connection."""
        joined: Any = JoinedTransport(transport, self.loop)
        super().connection_made(joined)


class JoinedTransport:
    """A transport whose first write of a turn waits for the second, or for the end of the turn."""

    __slots__ = ("_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, together with what is held; nothing once the connection is closing."""
        if self._transport.is_closing():
            self._held = b""
        elif self._held:
            held, self._held = self._held, b""
            if len(data) <= JOINED_BYTES:
                data = held + data
            else:
                self._transport.write(held)
            self._transport.write(data)
        elif len(data) <= JOINED_BYTES:
            self._held = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def write_eof(self) -> None:
        """End what is sent, once what was written has left."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Close, once what was written has left."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            if not self._transport.is_closing():
                self._transport.write(held)
