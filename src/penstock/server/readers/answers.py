"""Answers on their way: short ones in memory, long ones in a file without a name.

A client that takes its answer slowly, or not at all, holds a file and no memory, and no reader waits for it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

from anyio import to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from penstock.entities.errors import OutOfSpaceError

SHORT_BYTES = 1 << 18
PIECE_BYTES = 1 << 18


def collect(pieces: bytes | Iterable[bytes], folder: Path | None) -> bytes | IO[bytes]:
    """Return an answer, in a file of the folder where it is long.

    Raises
    ------
    OutOfSpaceError
        If there is no room for the file.
    """
    held: list[bytes] = []
    size = 0
    file: IO[bytes] | None = None
    try:
        for piece in (pieces,) if isinstance(pieces, bytes) else pieces:
            size += len(piece)
            if file is None and size <= SHORT_BYTES:
                held.append(piece)
                continue
            if file is None:
                file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
                file.writelines(held)
                held.clear()
            file.write(piece)
        if file is not None:
            file.flush()
    except BaseException as error:
        if file is not None:
            with suppress(OSError):  # what it still holds goes nowhere
                file.close()
        if isinstance(error, OSError):
            raise no_room() from error
        raise
    return b"".join(held) if file is None else file


def no_room() -> OutOfSpaceError:
    """Return the error for a long answer that no disk takes."""
    return OutOfSpaceError(
        "there is no room on the disk for so long an answer", hint="Free space there, or ask for pages of it."
    )


class Answer:
    """A finished answer; who has it closes it.

    Parameters
    ----------
    body : bytes or file
        All of it.
    on_close : callable
        Called once with the size, where it is a file.
    """

    def __init__(self, body: bytes | IO[bytes], on_close: Callable[[int], object] = lambda _: None) -> None:
        self._file = None if isinstance(body, bytes) else body
        self._on_close = on_close
        self.short = body if isinstance(body, bytes) else None
        self.size = len(body) if isinstance(body, bytes) else os.fstat(body.fileno()).st_size

    async def piece(self, start: int) -> bytes:
        """Return what follows after so many bytes, at most a piece."""
        if self._file is None:
            return (self.short or b"")[start : start + PIECE_BYTES]
        return await to_thread.run_sync(os.pread, self._file.fileno(), PIECE_BYTES, start)

    def close(self) -> None:
        """Let go of the file; idempotent."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
            self._on_close(self.size)

    def __del__(self) -> None:
        self.close()  # its client left in between


class AnswerResponse(Response):
    """Sends an answer no faster than it is taken."""

    media_type = "application/json"

    def __init__(self, answer: Answer) -> None:
        super().__init__(headers={"content-length": str(answer.size)})
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and close it however that ends."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            sent = 0
            while piece := await self._answer.piece(sent):
                sent += len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": sent < self._answer.size})
            if not sent:
                await send({"type": "http.response.body", "body": b""})
        finally:
            self._answer.close()
