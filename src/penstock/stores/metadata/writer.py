"""The one writer thread: everything queued becomes one durable commit.

A commit costs one fsync whatever it holds, so while one is under way the next group collects by itself:
one client alone waits for one fsync, many share it. It knows nothing of any backend but how to begin.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
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
        self._queue: SimpleQueue[tuple[Operation, Future[Any]] | None] = SimpleQueue()
        self._gate = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._loop, name="metadata-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Callable[[Connection], T]) -> Future[T]:
        """Queue an operation; the future resolves once its group is committed."""
        future: Future[T] = Future()
        with self._gate:
            if self._is_closed:
                raise UnavailableError("The metadata store is closed.")
            self._queue.put((operation, future))
        return future

    def write(self, operation: Callable[[Connection], T]) -> T:
        """Queue an operation and wait for its commit."""
        if threading.current_thread() is self._thread:
            raise InternalError("An operation on the writer called write(), which would wait for itself.")
        return self.submit(operation).result()

    def close(self) -> None:
        """Commit what is queued, then end the thread and close the connection; idempotent."""
        with self._gate:
            if self._is_closed:
                return
            self._is_closed = True
            self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _loop(self) -> None:
        is_open = True
        while is_open:
            group: list[tuple[Operation, Future[Any]]] = []
            item = self._queue.get()
            try:
                while item is not None:
                    if item[1].set_running_or_notify_cancel():
                        group.append(item)
                    if len(group) >= _LARGEST_GROUP:
                        break
                    item = self._queue.get_nowait()
                is_open = item is not None
            except Empty:
                pass
            if group:
                self._commit(group)

    def _commit(self, group: list[tuple[Operation, Future[Any]]]) -> None:
        outcomes: list[tuple[Any, BaseException | None]] = []
        try:
            with self._connection.begin():
                outcomes.extend(self._apply(operation) for operation, _ in group)
        except BaseException as error:
            # The whole group is rolled back: a full disk, a failed fsync, a lock held elsewhere.
            failure = self._translate(error)
            if failure is error:
                logger.exception("a group commit failed")
            elif failure.__cause__ is None:
                failure.__cause__ = error
            outcomes = [(None, failure)] * len(group)
        for (_, future), (result, refusal) in zip(group, outcomes, strict=True):
            if refusal is None:
                future.set_result(result)
            else:
                future.set_exception(refusal)

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


def _driver_execute(connection: Connection) -> Callable[[str], Any]:
    driver: Any = connection.connection.driver_connection
    connection.rollback()
    execute: Callable[[str], Any] = driver.execute
    return execute
