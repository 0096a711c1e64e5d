"""Processes beside the server for what takes long: exports and verifications, a few at a time.

The server only starts one and passes its pipe on. A process is ended when its client hangs up; if it fails after the
answer has begun, the transfer is broken off, so that half a file is never taken for a whole one.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, suppress
from typing import Any

import msgspec
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from penstock.entities.errors import InternalError, UnavailableError
from penstock.server.export_order import EventsExport, EventsVerification, Order, RunsExport
from penstock.server.hanging_up import unless_gone
from penstock.server.problems import MEDIA_TYPE, BusyError
from penstock.stores.metadata.base import MetadataStore

WORKER = "penstock.server.export_worker"
PIECE_BYTES = 1 << 16
RETRY_AFTER_S = 10
SILENT_S = 300.0
"""A process that writes nothing for so long is stuck."""
_LONGEST_LINE = 1 << 20


class Beside:
    """Runs orders; used in one event loop.

    Parameters
    ----------
    store : MetadataStore
        Which the processes read; asked for its address only.
    most : int
        So many at once; who comes then is told to come back.
    """

    def __init__(self, store: MetadataStore, *, most: int) -> None:
        self._store = store
        self._most = most
        self._running = 0

    async def answer(
        self,
        request: Request,
        task: RunsExport | EventsExport | EventsVerification,
        *,
        media: str,
        filename: str = "",
    ) -> Response:
        """Return the answer that a process makes while it is sent; or the problem that it found.

        Raises
        ------
        BusyError
            If as many run already as may.
        InternalError
            If the process ended without a word.
        UnavailableError
            If it says nothing.
        ClientDisconnect
            If the client hung up before it said anything.
        """
        url, file = self._store.address
        pieces = self._run(msgspec.json.encode(Order(url, str(file), task)) + b"\n")
        first = await unless_gone(request, _next(pieces))
        problem = msgspec.json.decode(first)
        if problem:
            await pieces.aclose()
            return Response(first.rstrip(), problem["status"], media_type=MEDIA_TYPE)
        headers = {"content-disposition": f'attachment; filename="{filename}"'} if filename else None
        return _Closing(pieces, media_type=media, headers=headers)

    async def _run(self, order: bytes) -> AsyncGenerator[bytes, None]:
        """Yield the process's first line, then the rest in pieces."""
        if self._running >= self._most:
            raise BusyError(
                f"{self._most} exports or verifications are under way, which is as many as may be at once",
                hint="Try again when one of them is done; [server] max_exports allows more.",
                retry_after_s=RETRY_AFTER_S,
            )
        self._running += 1
        process: subprocess.Popen[bytes] | None = None
        transport: asyncio.BaseTransport | None = None
        try:
            process = await _start()
            assert process.stdout is not None
            await to_thread.run_sync(_tell, process, order)
            reader = asyncio.StreamReader(limit=_LONGEST_LINE)
            loop = asyncio.get_running_loop()
            transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stdout)
            first = await _in_time(reader.readline())
            if first.endswith(b"\n"):
                yield first
                while piece := await _in_time(reader.read(PIECE_BYTES)):
                    yield piece
            if await to_thread.run_sync(process.wait) != 0 or not first:
                raise InternalError(
                    "the process that makes the file failed", hint="See logs/server.log of the workspace."
                )
        finally:
            self._running -= 1
            if transport is not None:
                transport.close()
            if process is not None:
                _end(process)


class _Closing(StreamingResponse):
    """A streamed answer whose source is closed with it, not when somebody collects it."""

    def __init__(self, source: AsyncGenerator[bytes, None], **options: Any) -> None:
        super().__init__(source, **options)
        self._source = source

    async def stream_response(self, send: Send) -> None:
        """Send all pieces; the source's process ends with the last one, or with the client."""
        async with aclosing(self._source):
            await super().stream_response(send)


async def _start() -> subprocess.Popen[bytes]:
    # -P: the current folder may hold a uuid.py, and holds nothing of ours.
    command = [sys.executable, "-P", "-m", WORKER]
    pipe = subprocess.PIPE
    starting = asyncio.ensure_future(asyncio.to_thread(subprocess.Popen, command, stdin=pipe, stdout=pipe))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(lambda done: None if done.exception() else _end(done.result()))
        raise


def _tell(process: subprocess.Popen[bytes], order: bytes) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it died at once, which its status says
        process.stdin.write(order)
        process.stdin.flush()


async def _next(pieces: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(pieces)


async def _in_time(reading: Awaitable[bytes]) -> bytes:
    try:
        async with asyncio.timeout(SILENT_S):
            return await reading
    except TimeoutError as error:
        raise UnavailableError(
            f"the process that makes the file did nothing for {SILENT_S:.0f} s", hint="Is the disk or the store stuck?"
        ) from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process without waiting for it; one that nobody waits for would stay as a zombie."""
    if process.returncode is None:
        process.kill()
    threading.Thread(target=_bury, args=(process,), name="export-end", daemon=True).start()


def _bury(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.wait()
    with suppress(BrokenPipeError):  # what it never read
        process.stdin.close()
