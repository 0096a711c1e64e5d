"""The one writer thread: everything queued becomes one durable commit.

A commit costs one fsync whatever it holds, so while one is under way the next group collects by itself:
one client alone waits for one fsync, many share it. It knows nothing of any backend but how to begin.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Connection

from penstock.entities.errors import InternalError, UnavailableError

T = TypeVar("T")
Operation = Callable[[Connection], Any]

logger = logging.getLogger(__name__)

_LARGEST_GROUP = 1024


class Writer:
    """Runs operations one after another on one connection, in groups of one commit each.

    Parameters
    ----------
    connection : Connection
        Owned by this writer from now on; ``begin`` on it must take the write lock.
    translate : callable
        Turns a foreign exception into ours.
    """

    def __init__(self, connection: Connection, translate: Callable[[BaseException], BaseException]) -> None:
        self._connection = connection
        self._execute: Callable[[str], Any] = _driver_execute(connection)
        self._translate = translate
        self._queue: SimpleQueue[_Queued | None] = SimpleQueue()
        self._gate = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._loop, name="metadata-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Callable[[Connection], T]) -> Future[T]:
        """Queue an operation; the future resolves once its group is committed."""
        future: Future[T] = Future()
        self._put(_Queued(operation, future.set_result, future.set_exception, future.set_running_or_notify_cancel))
        return future

    def write(self, operation: Callable[[Connection], T]) -> T:
        """Queue an operation and wait for its commit."""
        if threading.current_thread() is self._thread:
            raise InternalError("an operation on the writer called write(), which would wait for itself")
        waiter = _Waiter()
        self._put(_Queued(operation, waiter.set_result, waiter.set_exception))
        result: T = waiter.wait()
        return result

    def close(self) -> None:
        """Commit what is queued, then end the thread and close the connection; idempotent."""
        with self._gate:
            if self._is_closed:
                return
            self._is_closed = True
            self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _put(self, queued: _Queued) -> None:
        with self._gate:
            if self._is_closed:
                raise UnavailableError("the metadata store is closed")
            self._queue.put(queued)

    def _loop(self) -> None:
        is_open = True
        while is_open:
            group: list[_Queued] = []
            queued = self._queue.get()
            with suppress(Empty):
                while queued is not None:
                    if queued.start():
                        group.append(queued)
                    if len(group) == _LARGEST_GROUP:
                        break
                    queued = self._queue.get_nowait()
            is_open = queued is not None
            if group:
                self._commit(group)

    def _commit(self, group: list[_Queued]) -> None:
        outcomes: list[tuple[Any, BaseException | None]] = []
        try:
            with self._connection.begin():
                outcomes.extend(self._apply(queued.operation) for queued in group)
        except BaseException as error:
            # The whole group is rolled back: a full disk, a failed fsync, a lock held elsewhere.
            failure = self._translate(error)
            if failure is error:
                logger.exception("a group commit failed")
            else:
                failure.__cause__ = error
            outcomes = [(None, failure)] * len(group)
        for queued, (result, refusal) in zip(group, outcomes, strict=True):
            if refusal is None:
                queued.set_result(result)
            else:
                queued.set_exception(refusal)

    def _apply(self, operation: Operation) -> tuple[Any, BaseException | None]:
        """Run one operation inside a savepoint, so that its failure harms no other of its group."""
        self._execute("SAVEPOINT operation")
        try:
            result = operation(self._connection)
        except BaseException as error:
            try:
                self._execute("ROLLBACK TO operation")
                self._execute("RELEASE operation")
            except Exception:
                # The database itself ended the transaction, as on a full disk; the group went with it.
                raise error from None
            failure = self._translate(error)
            if failure is not error:
                failure.__cause__ = error
            return None, failure
        self._execute("RELEASE operation")
        return result, None


class _Queued:
    """One operation and whom to tell; ``start`` says whether it is still wanted."""

    __slots__ = ("operation", "set_exception", "set_result", "start")

    def __init__(
        self,
        operation: Operation,
        set_result: Callable[[Any], None],
        set_exception: Callable[[BaseException], None],
        start: Callable[[], bool] = lambda: True,
    ) -> None:
        self.operation = operation
        self.set_result = set_result
        self.set_exception = set_exception
        self.start = start


class _Waiter:
    """One thread waiting for one outcome; a bare lock, because a future's condition costs four times as much."""

    __slots__ = ("_done", "_error", "_result")

    def __init__(self) -> None:
        self._done = threading.Lock()
        self._done.acquire()
        self._result: Any = None
        self._error: BaseException | None = None

    def set_result(self, result: Any) -> None:
        self._result = result
        self._done.release()

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        self._done.release()

    def wait(self) -> Any:
        self._done.acquire()
        if self._error is not None:
            raise self._error
        return self._result


def _driver_execute(connection: Connection) -> Callable[[str], Any]:
    driver: Any = connection.connection.driver_connection
    connection.rollback()
    execute: Callable[[str], Any] = driver.execute
    return execute
