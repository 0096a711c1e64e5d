"""Who is asked: a reader process if there is one, else a thread of the server itself.

The processes share neither the interpreter nor its lock with what writes, and yield the processor to it. Nothing
depends on them: a question is asked in a thread while the first of them starts, if one dies in the middle or if it
fails there, in which case the error is raised here as it always was. They start with the first question and end when
none came for a while.
"""

from __future__ import annotations

import asyncio
import logging
import os

from anyio import to_thread

from penstock.server.readers.process import ReaderProcess, Start, UnansweredError
from penstock.server.readers.question import A, Question
from penstock.stores.metadata.base import MetadataStore

logger = logging.getLogger(__name__)

IDLE_S = 60.0
AFTER_FAILURE_S = 30.0
"""A process that never came up is not tried again for so long."""
START_S = 60.0
"""One that does not come up in so long never will."""
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
    """

    def __init__(
        self, store: MetadataStore, start: Start | None = None, *, most: int | None = None, idle_s: float = IDLE_S
    ) -> None:
        self._store = store
        self._start = start
        self._most = usual_number(os.cpu_count() or 1) if most is None else most
        self._idle_s = idle_s
        self._processes: list[ReaderProcess] = []
        self._ending: list[ReaderProcess] = []
        self._starting: asyncio.Task[None] | None = None
        self._not_before = 0.0

    @property
    def pids(self) -> list[int]:
        """Return the ids of the processes that take questions now."""
        return [process.pid for process in self._processes if process.is_ready]

    @property
    def demand(self) -> int:
        """Return how many questions are under way in processes or wait for one."""
        return sum(process.demand for process in self._processes)

    async def answer(self, question: Question[A], argument: A) -> bytes:
        """Return the answer to a question on a snapshot that holds every change acknowledged before.

        Raises
        ------
        PenstockError
            What the question raises.
        """
        process = self._choose()
        if process is not None:
            try:
                with self._store.read_elsewhere():
                    return await process.ask(question, argument)
            except UnansweredError:
                logger.debug("the question %s is asked again in the server", question.name)

        def run() -> bytes:
            with self._store.read() as connection:
                return question.run(connection, argument)

        return await to_thread.run_sync(run)

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

    def _choose(self) -> ReaderProcess | None:
        chosen = min((one for one in self._processes if one.is_ready), key=lambda one: one.demand, default=None)
        if (chosen is None or chosen.demand) and self._may_start():
            self._starting = asyncio.get_running_loop().create_task(self._begin())
        return chosen

    def _may_start(self) -> bool:
        return (
            self._start is not None
            and self._starting is None
            and len(self._processes) < self._most
            and asyncio.get_running_loop().time() >= self._not_before
        )

    async def _begin(self) -> None:
        process = ReaderProcess(self._ended)
        self._processes.append(process)
        try:
            if self._start is not None:
                await process.begin(self._start)
            loop = asyncio.get_running_loop()
            process.last_used = loop.time()
            loop.call_later(self._idle_s, self._rest, process)
        except OSError:
            logger.warning("a reader process could not be started", exc_info=True)
            self._ended(process)
        finally:
            self._starting = None

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

    def _ended(self, process: ReaderProcess) -> None:
        if process in self._processes:
            self._processes.remove(process)
            self._ending = [one for one in self._ending if not one.is_gone] + [process]
        if not process.was_ready:
            self._not_before = asyncio.get_running_loop().time() + AFTER_FAILURE_S
