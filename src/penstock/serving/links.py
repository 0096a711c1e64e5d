"""The gateway's ends of connections to replicas: one that tells states, and one for each request at a time.

All of it runs on the gateway's event loop. A work link carries one parcel (a request, or some that waited) at a time,
so the replica needs no dispatcher: the kernel wakes the very thread that will run the model.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

from penstock.serving.codes import ReplicaLostError
from penstock.serving.parcels import Parcel
from penstock.shim import frames


class Link(ABC):
    """What a :class:`penstock.serving.backend.Backend` sends to: one parcel at a time.

    Parameters
    ----------
    replica_id : str
        Whose it is.
    on_free : callable
        Called when the reply has come and the link can take the next parcel.
    """

    def __init__(self, replica_id: str, on_free: Callable[[Link], None]) -> None:
        self.replica_id = replica_id
        self.call: Parcel | None = None
        self.is_lost = False
        self.is_hung = False
        self._on_free = on_free

    def send(self, parcel: Parcel) -> None:
        """Send a parcel; the link must be free."""
        self.call = parcel
        for call in parcel.calls:
            call.link = self
        self._send(parcel)

    @abstractmethod
    def _send(self, parcel: Parcel) -> None:
        """Bring it to where the model is."""

    def _end_call(self) -> Parcel | None:
        parcel, self.call = self.call, None
        self.is_hung = False
        return parcel


class _FrameProtocol(asyncio.Protocol, ABC):
    """Collect frames from a stream."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = frames.HEADER.size
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= self._needed:
            kind, meta_length, body_length = frames.unpack_head(buffer)
            start = frames.HEADER.size
            end = start + meta_length + body_length
            if len(buffer) < end:
                self._needed = end
                return
            meta = bytes(buffer[start : start + meta_length])
            body = bytes(buffer[start + meta_length : end])
            del buffer[:end]
            self._needed = frames.HEADER.size
            self.frame_received(kind, meta, body)

    @abstractmethod
    def frame_received(self, kind: int, meta: bytes, body: bytes) -> None:
        """Take one whole frame."""

    def close(self) -> None:
        """Close the connection; ``connection_lost`` follows."""
        if self.transport is not None:
            self.transport.abort()


class WorkLink(_FrameProtocol, Link):
    """A connection to a replica that carries one parcel at a time.

    Parameters
    ----------
    replica_id : str
        Whose it is.
    on_free : callable
        Called when the reply has come and the link can take the next parcel.
    on_lost : callable
        Called once when the connection is gone.
    """

    def __init__(self, replica_id: str, on_free: Callable[[Link], None], on_lost: Callable[[WorkLink], None]) -> None:
        _FrameProtocol.__init__(self)
        Link.__init__(self, replica_id, on_free)
        self._on_lost = on_lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what this connection is for."""
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.write(frames.pack_json(frames.HELLO, {"role": "work"}))

    def _send(self, parcel: Parcel) -> None:
        assert self.transport is not None
        meta, body = parcel.pack()
        head = frames.pack_head(frames.REQUEST, meta, len(body))
        if len(body) < 65536:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))

    def frame_received(self, kind: int, meta: bytes, body: bytes) -> None:
        """Resolve what was sent."""
        parcel = self._end_call()
        if parcel is not None:
            parcel.settle(meta, body)
        self._on_free(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail what was under way."""
        self.is_lost = True
        parcel = self._end_call()
        if parcel is not None:
            parcel.fail(ReplicaLostError("the replica ended while it had this request"))
        self._on_lost(self)


class ControlLink(_FrameProtocol):
    """The connection on which a replica tells its state.

    Parameters
    ----------
    on_state : callable
        Called with every state the replica tells.
    on_lost : callable
        Called once when the connection is gone, which means that the replica has ended.
    """

    def __init__(self, on_state: Callable[[dict[str, Any]], None], on_lost: Callable[[], None]) -> None:
        super().__init__()
        self._on_state = on_state
        self._on_lost = on_lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what this connection is for."""
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.write(frames.pack_json(frames.HELLO, {"role": "control"}))

    def load(self, assignment: dict[str, Any]) -> None:
        """Hand a waiting replica its assignment."""
        assert self.transport is not None
        self.transport.write(frames.pack_json(frames.LOAD, assignment))

    def frame_received(self, kind: int, meta: bytes, body: bytes) -> None:
        """Pass a state on."""
        if kind == frames.STATE:
            self._on_state(json.loads(meta))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell that the replica has ended."""
        self._on_lost()
