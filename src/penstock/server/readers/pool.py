"""Who is asked: a reader process if there is one, else a thread of the server itself.

The processes share neither the interpreter nor its lock with what writes, and yield the processor to it. A question is
asked in a thread, few at once, while the first of them starts, or if it fails there, in which case the error is raised
here as it always was. They start with the first question and end when none came for a while. A question that was under
way when a process ended is asked of another one, once, and never here: it may have been the reason.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

from anyio import CapacityLimiter, to_thread

from penstock.entities.errors import UnavailableError
from penstock.server.readers import frames
from penstock.server.readers.answers import Answer, no_room
from penstock.server.readers.process import LOOK_S, ReaderProcess, Start
from penstock.server.readers.question import A, Question
from penstock.server.readers.running import Running
from penstock.server.readers.waiting import Asked, Waiting
from penstock.server.readers.worker import AGAIN_S
from penstock.stores.metadata.base import MetadataStore

logger = logging.getLogger(__name__)

IDLE_S = 60.0
START_S = 60.0
"""One that does not come up in so long never will."""
MOST_DEATHS = 2
UNSENT_BYTES = 1 << 30
"""Long answers whose clients have not taken them are files of so many bytes; then those who want much wait."""
HERE = 2
"""So many questions at once are asked in threads."""
_LATEST_S = 30.0
_CORES_EACH = 4
_MOST = 4


def usual_number(cores: int) -> int:
    """Return how many reader processes a machine of so many cores has at most."""
    return max(1, min(_MOST, cores // _CORES_EACH))


class Readers:
    """Answers questions; used in one event loop.

    Parameters
    ----------
    store : MetadataStore
        Asked where no process can be.
    start : callable, optional
        Starts a process; without it all questions are asked in threads.
    most : int, optional
        How many processes there are at most.
    idle_s : float
        After so many seconds without a question the processes end.
    look_s : float
        So often a process that has questions is asked whether it lives.
    unsent_bytes : int
        While long answers of so many bytes wait to be sent, no more large questions are asked.
    """

    def __init__(
        self,
        store: MetadataStore,
        start: Start | None = None,
        *,
        most: int | None = None,
        idle_s: float = IDLE_S,
        look_s: float = LOOK_S,
        unsent_bytes: int = UNSENT_BYTES,
    ) -> None:
        self._store = store
        self._start = start
        self._most = usual_number(os.cpu_count() or 1) if most is None else most
        self._idle_s = idle_s
        self._look_s = look_s
        self._unsent_bytes = unsent_bytes
        self._unsent = 0
        self._waiting = Waiting()
        self._here: dict[Asked, asyncio.Task[None]] = {}
        self._running = Running(store, _folder_of(store))
        self._limiter = CapacityLimiter(HERE)
        self._processes: list[ReaderProcess] = []
        self._ending: list[ReaderProcess] = []
        self._starting: asyncio.Task[None] | None = None
        self._failures = 0
        self._not_before = 0.0

    @property
    def pids(self) -> list[int]:
        """Return the ids of the processes that take questions now."""
        return [process.pid for process in self._processes if process.is_ready]

    @property
    def demand(self) -> int:
        """Return how many questions are under way or wait."""
        return len(self._waiting) + len(self._here) + sum(process.demand for process in self._processes)

    async def answer(self, question: Question[A], argument: A, *, caller: str = "") -> Answer:
        """Return the answer to a question on a snapshot that holds every change acknowledged before.

        Cancelled, the question is taken back wherever it is.

        Parameters
        ----------
        caller : str
            Callers take turns.

        Raises
        ------
        PenstockError
            What the question raises.
        BusyError
            If too many wait already.
        UnavailableError
            If there is no answer: it took too long, or processes end over it.
        """
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        asked = Asked(question, argument, caller, answered, question.is_large(argument))
        self._waiting.put(asked)
        self.changed()
        try:
            return await answered
        except asyncio.CancelledError:
            self._take_back(asked)
            raise

    def end(self) -> None:
        """Let the processes end; called in the event loop, when no more requests come."""
        self._start = None
        if self._starting is not None:
            self._starting.cancel()
        for process in tuple(self._processes):
            process.end()

    def close(self) -> None:
        """Wait until the processes are gone; called when the event loop has ended."""
        self._start = None
        for process in (*self._processes, *self._ending):
            process.kill()

    def changed(self) -> None:
        """Ask what waits, as far as there is room, and start a process where there is none."""
        while any(self._ask_one(process) for process in sorted(self._processes, key=lambda one: one.demand)):
            pass
        while len(self._here) < HERE and (asked := self._waiting.take(self._fits_here)):
            self._here[asked] = asyncio.get_running_loop().create_task(self._ask_here(asked))
        if self._start is None or (self._failures > 1 and not self._processes):
            for asked in [one for one in self._waiting if one.deaths]:
                self._waiting.remove(asked)
                asked.fail(_deadly())
        if (self._waiting or self._here or any(one.demand for one in self._processes)) and self._may_start():
            self._starting = asyncio.get_running_loop().create_task(self._begin())

    def settle(self, asked: Asked, status: int, answer: bytes | IO[bytes]) -> None:
        """Hear from a process what became of a question."""
        if status in (frames.ANSWERED, frames.FILED):
            self._hand_over(asked, answer)
        elif status == frames.NO_SPACE:
            asked.fail(no_room())
        elif not asked.answered.done():
            asked.is_for_server = True
            self._waiting.put_back(asked)

    def ended(self, process: ReaderProcess, under_way: list[Asked]) -> None:
        """Hear that a process takes no more questions, and ask again what it had not answered."""
        if process in self._processes:
            self._processes.remove(process)
            self._ending = [one for one in self._ending if not one.is_gone] + [process]
        loop = asyncio.get_running_loop()
        self._failures = 0 if process.was_ready else self._failures + 1
        if self._failures > 1:  # by accident once, but not again and again
            pause_s = min(_LATEST_S, 2.0**self._failures)
            self._not_before = loop.time() + pause_s
            loop.call_later(pause_s, self.changed)
        for asked in under_way:
            asked.deaths += 1
            if asked.deaths >= MOST_DEATHS:
                asked.fail(_deadly())
            elif not asked.answered.done():
                self._waiting.put_back(asked)
        self.changed()

    def _ask_one(self, process: ReaderProcess) -> bool:
        asked = self._waiting.take(partial(self._fits, process))
        if asked is not None:
            process.ask(asked, self._store.read_elsewhere())
        return asked is not None

    def _fits(self, process: ReaderProcess, asked: Asked) -> bool:
        return not asked.is_for_server and self._has_room(asked) and process.takes(asked)

    def _fits_here(self, asked: Asked) -> bool:
        if asked.deaths or not (asked.is_for_server or not self.pids):
            return False
        return self._has_room(asked) and not (asked.is_large and any(one.is_large for one in self._here))

    def _has_room(self, asked: Asked) -> bool:
        return not asked.is_large or self._unsent < self._unsent_bytes

    async def _ask_here(self, asked: Asked) -> None:
        try:
            run = partial(self._running.run, asked, asked.question, asked.argument)
            self._hand_over(asked, await to_thread.run_sync(run, limiter=self._limiter))
        except Exception as error:
            asked.fail(error)
        finally:
            del self._here[asked]
            self.changed()

    def _hand_over(self, asked: Asked, body: bytes | IO[bytes]) -> None:
        answer = Answer(body, self._sent)
        if not isinstance(body, bytes):
            self._unsent += answer.size
        if asked.answered.done():  # nobody waits any more
            answer.close()
        else:
            asked.answered.set_result(answer)

    def _sent(self, size: int) -> None:
        self._unsent -= size
        with suppress(RuntimeError):  # the event loop has ended
            asyncio.get_running_loop().call_soon(self.changed)

    def _take_back(self, asked: Asked) -> None:
        self._waiting.remove(asked)
        for process in self._processes:
            process.drop(asked)
        if asked in self._here:
            asyncio.get_running_loop().create_task(self._end_here(asked))

    async def _end_here(self, asked: Asked) -> None:
        while asked in self._here:
            await to_thread.run_sync(self._running.drop, asked)
            await asyncio.wait([self._here[asked]], timeout=AGAIN_S)

    def _may_start(self) -> bool:
        return (
            self._start is not None
            and self._starting is None
            and len(self._processes) < self._most
            and all(one.demand > 1 for one in self._processes)  # which one that is not up yet never has
            and asyncio.get_running_loop().time() >= self._not_before
        )

    async def _begin(self) -> None:
        process = ReaderProcess(self, self._look_s)
        self._processes.append(process)
        try:
            if self._start is not None:
                await process.begin(self._start)
        except OSError:
            logger.warning("a reader process could not be started", exc_info=True)
            self._starting = None
            self.ended(process, [])
            return
        self._starting = None
        loop = asyncio.get_running_loop()
        process.last_used = loop.time()
        loop.call_later(self._idle_s, self._rest, process)

    def _rest(self, process: ReaderProcess) -> None:
        """End a process that nobody asked for long, or look again when that may be so."""
        if process not in self._processes:
            return
        loop = asyncio.get_running_loop()
        patience_s = self._idle_s if process.was_ready else START_S
        left_s = process.last_used + patience_s - loop.time()
        if left_s <= 0 and not process.demand:
            process.end()
        else:
            loop.call_later(min(max(left_s, self._idle_s / 4), self._idle_s), self._rest, process)


def _folder_of(store: MetadataStore) -> Path | None:
    """Return a folder that is on a disk, where the temporary one may be in memory; None where there is none."""
    url, file = store.address
    return None if url else file.parent


def _deadly() -> UnavailableError:
    return UnavailableError(
        "reader processes ended while this was asked, and it is not asked again",
        hint="Ask for less at once; logs/server.log of the workspace may say why.",
    )
