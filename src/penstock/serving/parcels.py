"""What travels on a link: one request, or several that waited and go together.

Several are one frame whose meta part begins with ``B``, where a single request's is JSON or empty: the lengths of each
request's meta part and body, and in the frame's body these parts one behind the other. The answer comes alike.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.serving.codes import ReplicaLostError, ScoringError

if TYPE_CHECKING:
    from penstock.serving.links import Link

Reply = tuple[bytes, bytes]
"""(meta, body) of a response; of a request alike."""

MANY = b"B"
_LENGTHS = struct.Struct("!II")


class Call:
    """One request on its way: what is sent, and the future of its reply."""

    __slots__ = ("body", "future", "link", "meta")

    def __init__(self, meta: bytes, body: bytes, future: asyncio.Future[Reply]) -> None:
        self.meta = meta
        self.body = body
        self.future = future
        self.link: Link | None = None

    @property
    def calls(self) -> Sequence[Call]:
        """Return the requests in it."""
        return (self,)

    def parts(self) -> list[Reply]:
        """Return each request's meta part and body."""
        return [(self.meta, self.body)]

    def pack(self) -> Reply:
        """Return the frame's meta part and body."""
        return self.meta, self.body

    def settle(self, meta: bytes, body: bytes) -> None:
        """Resolve the future, unless the client was answered already because the time was over."""
        if not self.future.done():
            self.future.set_result((meta, body))

    def settle_each(self, replies: Sequence[Reply]) -> None:
        """Resolve each request's future."""
        self.settle(*replies[0])

    def fail(self, error: ScoringError) -> None:
        """Fail the future, unless it is done."""
        if not self.future.done():
            self.future.set_exception(error)


class Batch:
    """Several requests that travel as one."""

    __slots__ = ("calls",)

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls

    def parts(self) -> list[Reply]:
        """Return each request's meta part and body."""
        return [(call.meta, call.body) for call in self.calls]

    def pack(self) -> Reply:
        """Return the frame's meta part and body."""
        return pack_many(self.parts())

    def settle(self, meta: bytes, body: bytes) -> None:
        """Resolve each request's future with its part of the frame."""
        try:
            replies = unpack_many(meta, body)
        except (struct.error, ValueError):
            replies = []
        if len(replies) == len(self.calls):
            self.settle_each(replies)
        else:
            self.fail(ReplicaLostError("the replica's answer to several requests is damaged"))

    def settle_each(self, replies: Sequence[Reply]) -> None:
        """Resolve each request's future."""
        for call, reply in zip(self.calls, replies, strict=True):
            call.settle(*reply)

    def fail(self, error: ScoringError) -> None:
        """Fail all that are not done."""
        for call in self.calls:
            call.fail(type(error)(error.detail, error.hint))


Parcel = Call | Batch


def is_many(meta: bytes) -> bool:
    """Return whether a frame with this meta part holds several requests or responses."""
    return meta.startswith(MANY)


def pack_many(parts: Sequence[Reply]) -> Reply:
    """Return the meta part and body of a frame that holds several."""
    lengths = b"".join([_LENGTHS.pack(len(meta), len(body)) for meta, body in parts])
    return MANY + lengths, b"".join([piece for part in parts for piece in part])


def unpack_many(meta: bytes, body: bytes) -> list[Reply]:
    """Return what :func:`pack_many` was given.

    Raises
    ------
    ValueError, struct.error
        If it is not that.
    """
    parts = []
    start = 0
    for meta_length, body_length in _LENGTHS.iter_unpack(meta[len(MANY) :]):
        middle, end = start + meta_length, start + meta_length + body_length
        parts.append((body[start:middle], body[middle:end]))
        start = end
    if start != len(body):
        raise ValueError(f"{len(body)} bytes instead of {start}")
    return parts
