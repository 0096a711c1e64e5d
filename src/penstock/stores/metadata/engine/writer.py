"""The one writer thread: everything queued becomes one durable commit.

A commit costs one fsync whatever it holds, so while one is under way the next group collects by itself:
one client alone waits for one fsync, many share it. What differs between backends is its ``Link``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Connection, Transaction

from penstock.entities.errors import InternalError, PenstockError, UnavailableError

T = TypeVar("T")
Operation = Callable[[Connection], Any]

logger = logging.getLogger(__name__)

_LARGEST_GROUP = 1024


class Link:
    """How the writer reaches its database; as it stands, that of a file, which never goes away.

    Parameters
    ----------
    translate : callable
        Turns a foreign exception into ours.
    """

    next_savepoint: tuple[str, ...] = ("RELEASE operation", "SAVEPOINT operation")
    """What ends the savepoint of one operation and begins that of the next; the last one ends with the commit."""

    def __init__(self, translate: Callable[[BaseException], BaseException]) -> None:
        self.translate = translate

    def is_broken(self, connection: Connection) -> bool:
        """Tell whether a connection is of no use any more."""
        return False

    def renew(self, connection: Connection) -> Connection:
        """Replace a broken connection by a new one that holds the same lock.

        Raises
        ------
        UnavailableError, RefusedError
            If the database cannot be reached, or another server has taken it meanwhile.
        """
        return connection

    def begin(self, connection: Connection) -> None:
        """Do what a transaction begins with."""

    def mark(self) -> int | None:
        """Return by what the transaction that is about to be committed can be recognised later, if by anything."""
        return None

    def was_committed(self, mark: int | None) -> bool | None:
        """Tell whether a transaction whose commit was cut off is kept; None where that cannot be learned."""
        return None

    def after_group(self, connection: Connection) -> None:
        """Do what is due between two groups, when those of the last one have been told; must not raise."""

    def close(self) -> None:
        """Release what is held beside the writer's own connection; called before that is closed."""


class Writer:
    """Runs operations one after another on one connection, in groups of one commit each.

    Parameters
    ----------
    connection : Connection
        Owned by this writer from now on; ``begin`` on it must take the write lock.
    link : Link
        What to do where the backend's ways differ.
    """

    def __init__(self, connection: Connection, link: Link) -> None:
        self._connection = connection
        self._execute: Callable[[str], Any] = _driver_execute(connection)
        self._link = link
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
        self._link.close()
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
                self._link.after_group(self._connection)

    def _commit(self, group: list[_Queued]) -> None:
        outcomes: list[tuple[Any, BaseException | None]] = []
        mark: int | None = None
        is_committing = False
        try:
            connection = self._usable()
            with connection.begin() as transaction:
                self._link.begin(connection)
                if len(group) == 1:
                    outcomes.append(self._apply_alone(group[0].operation, transaction))
                else:
                    self._execute("SAVEPOINT operation")
                    for queued in group:
                        if outcomes:
                            for text in self._link.next_savepoint:
                                self._execute(text)
                        outcomes.append(self._apply(queued.operation))
                if transaction.is_active:
                    mark = self._link.mark()
                    is_committing = True
        except BaseException as error:
            # The whole group is rolled back: a full disk, a failed fsync, a lock held elsewhere, a lost server.
            is_cut_off = is_committing and self._link.is_broken(self._connection)
            is_kept = self._link.was_committed(mark) if is_cut_off else False
            if not is_kept:
                failure = self._failure(error) if is_kept is False else _unknown(error)
                outcomes = [(None, failure)] * len(group)
        for queued, (result, refusal) in zip(group, outcomes, strict=True):
            if refusal is None:
                queued.set_result(result)
            else:
                queued.set_exception(refusal)

    def _usable(self) -> Connection:
        if self._link.is_broken(self._connection):
            self._connection = self._link.renew(self._connection)
            self._execute = _driver_execute(self._connection)
        return self._connection

    def _failure(self, error: BaseException) -> BaseException:
        failure = self._translated(error)
        if failure is error and not isinstance(error, PenstockError):
            logger.error("a group commit failed", exc_info=error)
        return failure

    def _apply_alone(self, operation: Operation, transaction: Transaction) -> tuple[Any, BaseException | None]:
        """Run the only operation of a group, whose failure is the whole transaction's."""
        try:
            return operation(self._connection), None
        except BaseException as error:
            transaction.rollback()
            return None, self._translated(error)

    def _apply(self, operation: Operation) -> tuple[Any, BaseException | None]:
        """Run one operation inside its savepoint, so that its failure harms no other of its group."""
        try:
            return operation(self._connection), None
        except BaseException as error:
            try:
                self._execute("ROLLBACK TO operation")
            except Exception:
                # The database itself ended the transaction, as on a full disk; the group went with it.
                raise error from None
            return None, self._translated(error)

    def _translated(self, error: BaseException) -> BaseException:
        failure = self._link.translate(error)
        if failure is not error:
            failure.__cause__ = error
        return failure


def _unknown(error: BaseException) -> UnavailableError:
    failure = UnavailableError(
        "the database went away while it was committing: whether this change was kept is not known",
        hint="Look before you repeat it; logging the same metric point again is harmless.",
    )
    failure.__cause__ = error
    return failure


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
