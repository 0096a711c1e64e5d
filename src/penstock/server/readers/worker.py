"""What a reader process does: take questions from its socket, a few at once, until the server closes it."""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections.abc import Iterable
from typing import Any

import msgspec

from penstock.server.readers.frames import ANSWERED, FAILED, QUESTION, READY, receive, send_answer
from penstock.server.readers.question import Question
from penstock.stores.metadata.base import MetadataReader

logger = logging.getLogger(__name__)

AT_ONCE = 2
"""A long question and a short one beside it; more would only share one interpreter."""


class Worker:
    """Answers the questions of one socket.

    Parameters
    ----------
    line : socket
        The process's end; blocking.
    store : MetadataReader
        What is asked.
    questions : iterable of Question
        Those that this process knows.
    """

    def __init__(self, line: socket.socket, store: MetadataReader, questions: Iterable[Question[Any]]) -> None:
        self._line = line
        self._store = store
        self._questions = {question.name: question for question in questions}
        self._receiving = threading.Lock()
        self._sending = threading.Lock()

    def run(self) -> None:
        """Return when the other end is closed, however that came about; questions may still be under way then."""
        send_answer(self._line, 0, READY)
        for _ in range(AT_ONCE):
            threading.Thread(target=self._loop, name="questions", daemon=True).start()
        gone = select.poll()
        gone.register(self._line, select.POLLRDHUP)
        gone.poll()

    def _loop(self) -> None:
        try:
            while (received := self._receive()) is not None:
                number, sent = received
                status, answer = self._answer(sent)
                with self._sending:
                    send_answer(self._line, number, status, answer)
        except OSError:
            return  # the server is gone, which the main thread sees too

    def _receive(self) -> tuple[int, bytes] | None:
        with self._receiving:
            head = receive(self._line, QUESTION.size)
            if head is None:
                return None
            number, length = QUESTION.unpack(head)
            sent = receive(self._line, length)
        return None if sent is None else (number, sent)

    def _answer(self, sent: bytes) -> tuple[int, bytes]:
        try:
            name, packed = msgspec.msgpack.decode(sent, type=tuple[str, msgspec.Raw])
            question = self._questions[name]
            argument = msgspec.msgpack.decode(packed, type=question.kind)
            with self._store.read() as connection:
                return ANSWERED, question.run(connection, argument)
        except Exception:
            # The server asks it again itself, and has the error at first hand.
            logger.debug("a question failed", exc_info=True)
            return FAILED, b""
