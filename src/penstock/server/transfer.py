"""Bytes in and out: request bodies into blobs, blobs and their ranges into answers.

Disk work runs in threads of its own limit, so a slow client holds up other transfers at most. A body that is
cut off leaves nothing behind: the blob store forgets what it has of it.
"""

from __future__ import annotations

import asyncio
import mimetypes
import queue
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from penstock.entities.errors import UsageError
from penstock.stores.blobs.base import BlobStore

T = TypeVar("T")

PIECE_BYTES = 1 << 20
PIECES_AHEAD = 4
MAX_TRANSFERS = 32

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
_MANY_DIGITS, _FAR = 19, 10**19
_transfers: CapacityLimiter | None = None


def _limiter() -> CapacityLimiter:
    global _transfers
    if _transfers is None:
        _transfers = CapacityLimiter(MAX_TRANSFERS)
    return _transfers


async def receive_body(request: Request, consume: Callable[[Iterator[bytes]], T]) -> T:
    """Run ``consume`` in a thread with the pieces of a request body and return its result.

    When the client goes away, ``consume`` meets a ClientDisconnect where the next piece would have been.
    """
    if int(request.headers.get("content-length") or PIECE_BYTES + 1) <= PIECE_BYTES:
        body = await request.body()
        return await to_thread.run_sync(lambda: consume(iter((body,))), limiter=_limiter())
    return await _Pump(request).run(consume)


class _Pump:
    """Carries pieces from the event loop to one thread, at most a few ahead."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._pieces: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(PIECES_AHEAD)
        self._loop = asyncio.get_running_loop()

    async def run(self, consume: Callable[[Iterator[bytes]], T]) -> T:
        worker = asyncio.ensure_future(to_thread.run_sync(consume, self._iterate(), limiter=_limiter()))
        worker.add_done_callback(lambda _: self._room.release())
        end: BaseException | None = None
        try:
            buffer = bytearray()
            async for chunk in self._request.stream():
                buffer += chunk
                if len(buffer) >= PIECE_BYTES:
                    await self._room.acquire()
                    if worker.done():
                        break
                    self._pieces.put(bytes(buffer))
                    buffer.clear()
            self._pieces.put(bytes(buffer))
        except (ClientDisconnect, asyncio.CancelledError) as error:
            end = error
            raise
        finally:
            self._pieces.put(end)
            if end is not None:
                await asyncio.wait([worker])
                worker.exception()
        return await worker

    def _iterate(self) -> Iterator[bytes]:
        while (piece := self._pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise ClientDisconnect from piece
            if piece:
                yield piece
            self._loop.call_soon_threadsafe(self._room.release)


async def receive_blob(
    request: Request, blobs: BlobStore, expected: str | None = None, *, ask: Callable[[], None] = lambda: None
) -> tuple[str, int]:
    """Store a request's body as a blob, return (sha256 hex, size in bytes).

    Parameters
    ----------
    ask : callable
        Called, in a thread, when all of the body is here and nothing of it is kept yet; may raise.
    """
    return await receive_body(request, lambda pieces: blobs.put(ending_with(pieces, ask), expected=expected))


def ending_with(pieces: Iterator[bytes], ask: Callable[[], None]) -> Iterator[bytes]:
    """Yield the pieces, and ask before their end is told."""
    yield from pieces
    ask()


def read_range(text: str | None, size: int) -> tuple[int, int] | None:
    """Return the half-open byte range a ``Range`` header asks for, None for the whole.

    Several ranges and unknown units mean the whole, as RFC 9110 allows.

    Raises
    ------
    UsageError
        If the range lies outside: answer 416.
    """
    match = _RANGE.fullmatch((text or "").replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - _place(last)), size
    else:
        start, end = _place(first), min(size, _place(last) + 1) if last else size
        if last and _place(last) < start:
            return None
    if start >= end:
        raise UsageError(f"the range lies outside the {size} bytes of this file")
    return start, end


def _place(digits: str) -> int:
    """Return a position; Python reads no number of thousands of digits, and no file is as large as 19 of them."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) < _MANY_DIGITS else _FAR


def is_readable_range(text: str) -> bool:
    """Return whether a ``Range`` header names ranges of bytes, none of them backwards."""
    unit, _, ranges = text.replace(" ", "").partition("=")
    found = [_RANGE.fullmatch(f"{unit}={part}") for part in ranges.split(",")]
    return all(
        match is not None
        and match.groups() != ("", "")
        and not (match[1] and match[2] and _place(match[1]) > _place(match[2]))
        for match in found
    )


async def send_blob(
    request: Request,
    blobs: BlobStore,
    digest: str,
    size: int,
    *,
    name: str = "",
    shown: Literal["inline", "attachment"] = "inline",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a blob as an answer to GET or HEAD, with ``Range``, ``If-Range`` and ``If-None-Match``.

    What a run wrote is never run by a browser here: no sniffing, and pages are sandboxed.
    """
    etag = f'"{digest}"'
    answer = {
        "etag": etag,
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'",
        **(headers or {}),
    }
    if name:
        answer["content-disposition"] = f"{shown}; filename*=UTF-8''{quote(name)}"
    if request.headers.get("if-none-match") == etag:
        return Response(None, 304, answer)
    asked = request.headers.get("range") if request.headers.get("if-range", etag) == etag else None
    try:
        part = read_range(asked, size)
    except UsageError as error:
        return Response(error.message, 416, {"content-range": f"bytes */{size}"}, "text/plain")
    start, end = part or (0, size)
    if part:
        answer["content-range"] = f"bytes {start}-{end - 1}/{size}"
    answer["content-length"] = str(end - start)
    status = 206 if part else 200
    media = (mimetypes.guess_type(name)[0] if name else None) or "application/octet-stream"
    if request.method == "HEAD":
        return Response(None, status, answer, media)
    if end - start <= PIECE_BYTES:
        content = await to_thread.run_sync(lambda: b"".join(blobs.open(digest, start=start, end=end)))
        return Response(content, status, answer, media)
    pieces = _pieces(blobs.open(digest, start=start, end=end, chunk=PIECE_BYTES))
    return StreamingResponse(pieces, status, answer, media)


async def _pieces(iterator: Iterator[bytes]) -> AsyncIterator[bytes]:
    try:
        while (piece := await to_thread.run_sync(next, iterator, b"", limiter=_limiter())) != b"":
            yield piece
    finally:
        close: Any = getattr(iterator, "close", None)
        if close is not None:
            close()
