"""The server's end of one reader process."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import IO, Any, Protocol, cast

import msgspec

from penstock.entities.errors import UnavailableError
from penstock.server.readers import frames
from penstock.server.readers.waiting import Asked
from penstock.server.readers.worker import AT_ONCE

logger = logging.getLogger(__name__)

Start = Callable[[socket.socket, socket.socket], "subprocess.Popen[bytes]"]
"""Starts a reader process that inherits two sockets, for questions and for files; called in a thread."""

LOOK_S = 1.0
MOST_SILENT = 6
"""A process that said nothing for so many looks is stuck."""
MOST_LOOKS = 300
"""A question that is not answered by then is given up; MLflow's clients wait for two minutes."""
MOST_DROPPED = 15
"""A question that was given up ends within so many looks, or its process does."""


class Pool(Protocol):
    """What a process tells whom it belongs to; called in the event loop."""

    def settle(self, asked: Asked, status: int, answer: bytes | IO[bytes]) -> None:
        """Hear what became of a question; nobody may wait for it any more."""
        ...

    def changed(self) -> None:
        """Hear that the process may take a question."""
        ...

    def ended(self, process: ReaderProcess, under_way: list[Asked]) -> None:
        """Hear, once, that it takes no more questions, and which it had not answered."""
        ...


@dataclass(eq=False, slots=True)
class _UnderWay:
    asked: Asked
    reading: AbstractContextManager[None]
    looks: int = 0
    looks_dropped: int | None = None


class ReaderProcess(asyncio.Protocol):
    """One process; used in one event loop only, but for :meth:`kill`.

    Parameters
    ----------
    pool : Pool
        Told what happens.
    look_s : float
        So often the process is asked whether it lives, while it has questions.
    """

    def __init__(self, pool: Pool, look_s: float = LOOK_S) -> None:
        self.is_ready = False
        self.was_ready = False
        self.last_used = 0.0
        self._pool = pool
        self._look_s = look_s
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self._files: socket.socket | None = None
        self._came: dict[int, int] = {}
        self._under_way: dict[int, _UnderWay] = {}
        self._last_number = 0
        self._silent = 0
        self._is_watched = False
        self._head: tuple[int, int, int] | None = None
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def demand(self) -> int:
        """Return how many questions are under way here."""
        return len(self._under_way)

    @property
    def is_gone(self) -> bool:
        """Return whether there is no such process any more."""
        return self._process is None or self._process.returncode is not None

    @property
    def pid(self) -> int:
        """Return the process's id, 0 before it is started."""
        return self._process.pid if self._process is not None else 0

    async def begin(self, start: Start) -> None:
        """Start the process; raises OSError where that cannot be done."""
        here, there = socket.socketpair()
        self._files, files = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._files.setblocking(False)
        try:
            with there, files:
                self._process = await asyncio.to_thread(start, there, files)
            here.setblocking(False)
            await asyncio.get_running_loop().create_connection(lambda: self, sock=here)
        except BaseException:
            here.close()
            self._files.close()
            self.kill()
            raise

    def takes(self, asked: Asked) -> bool:
        """Return whether a question can be asked here now.

        Large ones leave room for another. One that was under way when a process ended is asked alone: if it was the
        reason it takes no other with it.
        """
        others = [one.asked for one in self._under_way.values()]
        if not self.is_ready or len(others) >= AT_ONCE or any(one.deaths for one in others):
            return False
        if asked.deaths:
            return not others
        return not (asked.is_large and sum(one.is_large for one in others) >= AT_ONCE - 1)

    def ask(self, asked: Asked, reading: AbstractContextManager[None]) -> None:
        """Ask a question; the pool hears the answer.

        Parameters
        ----------
        reading : context manager
            Open until the process does not read for it any more.
        """
        assert self._transport is not None
        try:
            sent = msgspec.msgpack.encode((asked.question.name, asked.argument))
        except (OverflowError, UnicodeEncodeError):  # what no store holds either
            self._pool.settle(asked, frames.FAILED, b"")
            return
        self._last_number += 1
        reading.__enter__()
        self._under_way[self._last_number] = _UnderWay(asked, reading)
        self._send(frames.ASK, self._last_number, sent)
        if not self._is_watched:
            self._is_watched, self._silent = True, 0
            asyncio.get_running_loop().call_later(self._look_s, self._look)

    def drop(self, asked: Asked) -> None:
        """End a question if it is under way here: nobody waits for it any more."""
        for number, one in self._under_way.items():
            if one.asked is asked and one.looks_dropped is None:
                one.looks_dropped = 0
                self._send(frames.DROP, number)

    def end(self) -> None:
        """Let the process end, without waiting for it."""
        self.is_ready = False
        if self._transport is not None:
            self._transport.abort()

    def kill(self) -> None:
        """End the process at once and wait a moment until it is gone; may be called from any thread."""
        if self._process is not None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):  # a disk that does not answer holds it
                self._process.wait(LOOK_S)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the line."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the pool, and bury the process."""
        self.is_ready = False
        assert self._files is not None
        self._files.close()
        for descriptor in self._came.values():
            os.close(descriptor)
        left, self._under_way = self._under_way, {}
        for one in left.values():
            one.reading.__exit__(None, None, None)
        # It ends as soon as it sees that; a process that is waited for by nobody would stay as a zombie.
        threading.Thread(target=self._process_wait, name="reader-end", daemon=True).start()
        self._pool.ended(self, [one.asked for one in left.values()])

    def data_received(self, data: bytes) -> None:
        """Put together what comes in pieces of any size."""
        self._silent = 0
        self._pieces.append(data)
        self._size += len(data)
        while True:
            if self._head is None:
                if self._size < frames.ANSWER.size:
                    return
                self._head = cast("tuple[int, int, int]", frames.ANSWER.unpack(self._take(frames.ANSWER.size)))
            number, status, length = self._head
            if self._size < length:
                return
            self._head = None
            self._settle(number, status, self._take(length))

    def _take(self, size: int) -> bytes:
        """Return the first bytes of what came."""
        whole: Any = b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0] if self._pieces else b""
        rest = whole[size:]
        self._pieces = [rest] if rest else []
        self._size = len(rest)
        return whole if not rest else cast(bytes, whole[:size])

    def _settle(self, number: int, status: int, answer: bytes) -> None:
        if status == frames.ALIVE:
            return
        self.last_used = asyncio.get_running_loop().time()
        if status == frames.READY:
            self.is_ready = self.was_ready = True
        else:
            one = self._under_way.pop(number)
            one.reading.__exit__(None, None, None)
            self._pool.settle(one.asked, status, self._file_of(number) if status == frames.FILED else answer)
        self._pool.changed()

    def _file_of(self, number: int) -> IO[bytes]:
        assert self._files is not None
        while number not in self._came:  # it was sent before the answer's head, though perhaps not as the last one
            sent, (descriptor,), _, _ = socket.recv_fds(self._files, 8, 1)
            self._came[int.from_bytes(sent)] = descriptor
        return os.fdopen(self._came.pop(number), "rb")

    def _send(self, kind: int, number: int, content: bytes = b"") -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames.QUESTION.pack(kind, number, len(content)) + content)

    def _look(self) -> None:
        """See whether the process does anything; looks are counted, for the server may have slept itself."""
        self._is_watched = bool(self._under_way)
        if not self._is_watched:
            return
        self._silent += 1
        for number, one in self._under_way.items():
            one.looks += 1
            if one.looks_dropped is not None:
                one.looks_dropped += 1
                self._send(frames.DROP, number)  # the first may have come before the question began
            elif one.looks > MOST_LOOKS:
                one.asked.fail(
                    UnavailableError(
                        f"this was not answered within {MOST_LOOKS * self._look_s:.0f} s, and was given up",
                        hint="Ask for less at once: smaller pages, or a filter that fewer runs fit.",
                    )
                )
                self.drop(one.asked)
        if self._silent > MOST_SILENT or any(
            (one.looks_dropped or 0) > MOST_DROPPED for one in self._under_way.values()
        ):
            logger.warning("a reader process gives no sign of life and is replaced", extra={"pid": self.pid})
            assert self._process is not None
            self._process.kill()
            self.end()
            return
        self._send(frames.PING, 0)
        asyncio.get_running_loop().call_later(self._look_s, self._look)

    def _process_wait(self) -> None:
        if self._process is not None:
            try:
                self._process.wait(self._look_s * MOST_SILENT)
            except subprocess.TimeoutExpired:  # it is stuck, and does not see that nobody is there
                self._process.kill()
                self._process.wait()
