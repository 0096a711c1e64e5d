"""The questions that wait: callers take turns, and there is no room for any number.

Ten questions of one caller are no reason for another's first one to wait for all of them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from penstock.server.problems import BusyError
from penstock.server.readers.answers import Answer
from penstock.server.readers.question import Question

MOST = 256
"""So many may wait; half of them for one caller."""
RETRY_AFTER_S = 2


@dataclass(eq=False, slots=True)
class Asked:
    """One question that somebody waits for.

    Parameters
    ----------
    caller : str
        Whose turn it takes.
    deaths : int
        How many processes ended while it was under way in them.
    is_for_server : bool
        A process could not answer it, and the server is to say why.
    """

    question: Question[Any]
    argument: Any
    caller: str
    answered: asyncio.Future[Answer]
    is_large: bool
    deaths: int = 0
    is_for_server: bool = False

    def fail(self, error: BaseException) -> None:
        """Tell who waits, if anybody does, that there is no answer."""
        if not self.answered.done():
            self.answered.set_exception(error)


class Waiting:
    """Keeps questions until they are taken.

    Parameters
    ----------
    most : int
        How many may wait.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._size = 0
        self._callers: OrderedDict[str, deque[Asked]] = OrderedDict()

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Asked]:
        return (asked for line in self._callers.values() for asked in line)

    def put(self, asked: Asked) -> None:
        """Let a question wait behind its caller's others.

        Raises
        ------
        BusyError
            If there are too many.
        """
        line = self._callers.get(asked.caller, ())
        if self._size >= self._most or len(line) >= self._most // 2:
            raise BusyError(
                f"{self._size} searches and histories wait for their turn, which is as many as may",
                hint="Try again when some are answered.",
                retry_after_s=RETRY_AFTER_S,
            )
        self._callers.setdefault(asked.caller, deque()).append(asked)
        self._size += 1

    def put_back(self, asked: Asked) -> None:
        """Let a question that was taken wait again, before its caller's others."""
        self._callers.setdefault(asked.caller, deque()).appendleft(asked)
        self._size += 1

    def take(self, is_fit: Callable[[Asked], bool]) -> Asked | None:
        """Return the next question that fits, None if there is none; its caller's turn is over."""
        for caller, line in self._callers.items():
            asked = next(filter(is_fit, line), None)
            if asked is not None:
                self.remove(asked)
                if caller in self._callers:
                    self._callers.move_to_end(caller)
                return asked
        return None

    def remove(self, asked: Asked) -> None:
        """Forget a question, whether or not it waits here."""
        line = self._callers.get(asked.caller)
        if line is not None and asked in line:
            line.remove(asked)
            self._size -= 1
            if not line:
                del self._callers[asked.caller]
