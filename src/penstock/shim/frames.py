"""Framed messages over a Unix socket: how the gateway talks to replicas.

A frame is a nine-byte header (kind, length of the meta part, length of the body), the meta part (JSON, empty
for "nothing special") and the body (bytes as the client sent or gets them). Standard library only, Python >= 3.9:
this file runs in users' interpreters.

A connection begins with HELLO from the gateway, whose meta says ``{"role": "control"}`` or ``{"role": "work"}``. On a
control connection the replica answers with STATE, and again whenever its state changes; the gateway may send
LOAD. On a work connection each REQUEST is answered by one RESPONSE, in order.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

HELLO = 1
LOAD = 2
STATE = 3
REQUEST = 4
RESPONSE = 5

HEADER = struct.Struct("!BII")
MAX_LENGTH = 1 << 30


class FrameError(Exception):
    """What arrived is no frame."""


def pack(kind: int, meta: bytes = b"", body: bytes = b"") -> bytes:
    """Return one whole frame."""
    return HEADER.pack(kind, len(meta), len(body)) + meta + body


def pack_head(kind: int, meta: bytes, body_length: int) -> bytes:
    """Return header and meta of a frame whose body is sent right after."""
    return HEADER.pack(kind, len(meta), body_length) + meta


def pack_json(kind: int, meta: Any) -> bytes:
    """Return a frame with a meta part and no body."""
    return pack(kind, json.dumps(meta).encode("utf-8"))


def unpack_head(data: Any, offset: int = 0) -> tuple[int, int, int]:
    """Return (kind, meta length, body length) of the header at ``offset``.

    Raises
    ------
    FrameError
        If a length is beyond what either side would send.
    """
    kind, meta_length, body_length = HEADER.unpack_from(data, offset)
    if meta_length > MAX_LENGTH or body_length > MAX_LENGTH:
        raise FrameError(f"a frame of {meta_length} + {body_length} bytes")
    return kind, meta_length, body_length


def read_frame(connection: socket.socket) -> tuple[int, bytes, bytes] | None:
    """Wait for one frame and return (kind, meta, body); None if the other side closed between frames.

    Raises
    ------
    FrameError
        If the stream ends within a frame.
    """
    head = _read_exactly(connection, HEADER.size, at_start=True)
    if head is None:
        return None
    kind, meta_length, body_length = unpack_head(head)
    meta = _read_exactly(connection, meta_length) if meta_length else b""
    body = _read_exactly(connection, body_length) if body_length else b""
    return kind, meta or b"", body or b""


def send(connection: socket.socket, head: bytes, body: bytes) -> None:
    """Send a frame in two parts without copying a large body."""
    if len(body) < 65536:
        connection.sendall(head + body)
    else:
        connection.sendall(head)
        connection.sendall(body)


def _read_exactly(connection: socket.socket, length: int, at_start: bool = False) -> bytes | None:
    data = connection.recv(length)
    if len(data) == length:
        return data
    if not data and at_start:
        return None
    buffer = bytearray(length)
    view = memoryview(buffer)
    view[: len(data)] = data
    filled = len(data)
    while filled < length:
        count = connection.recv_into(view[filled:])
        if count == 0:
            raise FrameError("the stream ended within a frame")
        filled += count
    return bytes(buffer)
