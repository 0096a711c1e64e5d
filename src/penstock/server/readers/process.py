"""The server's end of one reader process."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any, cast

import msgspec

from penstock.server.readers.frames import ANSWER, ANSWERED, QUESTION, READY
from penstock.server.readers.question import A, Question
from penstock.server.readers.worker import AT_ONCE

Start = Callable[[socket.socket], "subprocess.Popen[bytes]"]
"""Starts a reader process that inherits a socket and nothing else; called in a thread."""


class UnansweredError(Exception):
    """A reader process ended or failed before it answered; the question is to be asked elsewhere."""


class ReaderProcess(asyncio.Protocol):
    """One process; used in one event loop only, but for :meth:`kill`.

    Parameters
    ----------
    on_end : callable
        Called with this object, once, when the process takes no more questions.
    """

    def __init__(self, on_end: Callable[[ReaderProcess], object]) -> None:
        self.is_ready = False
        self.was_ready = False
        self.last_used = 0.0
        self._on_end = on_end
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._last_number = 0
        self._demand = 0
        self._head: tuple[int, int, int] | None = None
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def demand(self) -> int:
        """Return how many questions are under way or wait here."""
        return self._demand

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
        try:
            with there:
                self._process = await asyncio.to_thread(start, there)
            here.setblocking(False)
            await asyncio.get_running_loop().create_connection(lambda: self, sock=here)
        except BaseException:
            here.close()
            self.kill()
            raise

    async def ask(self, question: Question[A], argument: A) -> bytes:
        """Return the answer.

        Raises
        ------
        UnansweredError
            If there is none, whatever the reason.
        """
        self._demand += 1
        try:
            async with self._slots:
                if not self.is_ready or self._transport is None:
                    raise UnansweredError
                loop = asyncio.get_running_loop()
                self._last_number += 1
                number = self._last_number
                answered: asyncio.Future[bytes] = loop.create_future()
                try:
                    sent = msgspec.msgpack.encode((question.name, argument))
                except (OverflowError, UnicodeEncodeError) as error:  # what no store holds either
                    raise UnansweredError from error
                self._asked[number] = answered
                self._transport.write(QUESTION.pack(number, len(sent)) + sent)
                try:
                    return await answered
                finally:
                    self._asked.pop(number, None)
                    self.last_used = loop.time()
        finally:
            self._demand -= 1

    def end(self) -> None:
        """Let the process end, without waiting for it."""
        self.is_ready = False
        if self._transport is not None:
            self._transport.abort()

    def kill(self) -> None:
        """End the process at once and wait until it is gone; may be called from any thread."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the line."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell those who wait, and bury the process."""
        self.is_ready = False
        for answered in self._asked.values():
            if not answered.done():
                answered.set_exception(UnansweredError())
        # It ends as soon as it sees that; a process that is waited for by nobody would stay as a zombie.
        threading.Thread(target=self._process_wait, name="reader-end", daemon=True).start()
        self._on_end(self)

    def data_received(self, data: bytes) -> None:
        """Put together what comes in pieces of any size."""
        self._pieces.append(data)
        self._size += len(data)
        while True:
            if self._head is None:
                if self._size < ANSWER.size:
                    return
                self._head = cast("tuple[int, int, int]", ANSWER.unpack(self._take(ANSWER.size)))
            number, status, length = self._head
            if self._size < length:
                return
            self._head = None
            self._settle(number, status, self._take(length))

    def _take(self, size: int) -> bytes:
        """Return the first bytes of what came; a long answer is copied once."""
        whole: Any = b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0] if self._pieces else b""
        rest = whole[size:]
        self._pieces = [rest] if rest else []
        self._size = len(rest)
        return whole if not rest else cast(bytes, whole[:size])

    def _settle(self, number: int, status: int, answer: bytes) -> None:
        if status == READY:
            self.is_ready = self.was_ready = True
            self.last_used = asyncio.get_running_loop().time()
            return
        answered = self._asked.get(number)
        if answered is None or answered.done():  # nobody waits any more
            return
        if status == ANSWERED:
            answered.set_result(answer)
        else:
            answered.set_exception(UnansweredError())

    def _process_wait(self) -> None:
        if self._process is not None:
            self._process.wait()
