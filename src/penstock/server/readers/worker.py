"""What a reader process does: take questions from its socket, a few at once, until the server closes it.

The main thread listens, so that it hears at once when a question is taken back, and says that the process is alive
while questions are answered.
"""

from __future__ import annotations

import logging
import queue
import select
import socket
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from penstock.entities.errors import OutOfSpaceError
from penstock.server.readers import frames
from penstock.server.readers.question import Question
from penstock.server.readers.running import Running
from penstock.stores.metadata.base import MetadataReader

logger = logging.getLogger(__name__)

AT_ONCE = 2
"""A long question and a short one beside it; more would only share one interpreter."""
AGAIN_S = 0.1
"""A question that was taken back is interrupted again after so long."""


class Worker:
    """Answers the questions of one socket.

    Parameters
    ----------
    line : socket
        The process's end; blocking.
    files : socket
        Where the descriptors of long answers go.
    store : MetadataReader
        What is asked.
    questions : iterable of Question
        Those that this process knows.
    folder : Path
        Where long answers are.
    """

    def __init__(
        self,
        line: socket.socket,
        files: socket.socket,
        store: MetadataReader,
        questions: Iterable[Question[Any]],
        folder: Path,
    ) -> None:
        self._line = line
        self._files = files
        self._questions = {question.name: question for question in questions}
        self._running = Running(store, folder)
        self._received: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
        self._sending = threading.Lock()

    def run(self) -> None:
        """Return when the other end is closed, however that came about; questions may still be under way then."""
        self._send(0, frames.READY)
        for _ in range(AT_ONCE):
            threading.Thread(target=self._loop, name="questions", daemon=True).start()
        heard = select.poll()
        heard.register(self._line, select.POLLIN)
        while True:
            if not heard.poll(AGAIN_S * 1000 if self._running.is_dropping else None):
                self._running.interrupt()
                continue
            head = frames.receive(self._line, frames.QUESTION.size)
            if head is None:
                return
            kind, number, length = frames.QUESTION.unpack(head)
            sent = frames.receive(self._line, length)
            if sent is None:
                return
            if kind == frames.ASK:
                self._received.put((number, sent))
            elif kind == frames.DROP:
                self._running.drop(number)
            else:
                self._send(0, frames.ALIVE)

    def _loop(self) -> None:
        try:
            while True:
                number, sent = self._received.get()
                self._send(number, *self._answer(number, sent))
        except OSError:
            return  # the server is gone, which the main thread sees too

    def _send(self, number: int, status: int, answer: bytes = b"") -> None:
        with self._sending:
            frames.send_answer(self._line, number, status, answer)

    def _answer(self, number: int, sent: bytes) -> tuple[int, bytes]:
        try:
            name, packed = msgspec.msgpack.decode(sent, type=tuple[str, msgspec.Raw])
            question = self._questions[name]
            argument = msgspec.msgpack.decode(packed, type=question.kind)
            answer = self._running.run(number, question, argument)
        except OutOfSpaceError:
            return frames.NO_SPACE, b""
        except Exception:
            # The server asks it again itself, and has the error at first hand.
            logger.debug("a question failed", exc_info=True)
            return frames.FAILED, b""
        if isinstance(answer, bytes):
            return frames.ANSWERED, answer
        with answer, self._sending:  # before the answer's head: who reads that finds the descriptor there
            socket.send_fds(self._files, [number.to_bytes(8)], [answer.fileno()])
        return frames.FILED, b""
