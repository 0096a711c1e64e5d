"""The embedded metadata store: one SQLite file in write-ahead mode.

``synchronous=FULL`` with a write-ahead log costs one fsync a commit; group commit shares it. Readers keep
their own connections, see the last commit and never wait.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from penstock.clock import now_ms
from penstock.entities.errors import UnavailableError
from penstock.stores.metadata.engine.checkpoints import Checkpoints
from penstock.stores.metadata.engine.failures import translate
from penstock.stores.metadata.engine.filesystem import refuse_network
from penstock.stores.metadata.engine.patterns import regexp
from penstock.stores.metadata.engine.schema import prepare_schema
from penstock.stores.metadata.engine.writer import Link, Writer

T = TypeVar("T")

_IDLE_READERS = 8
_EVERY = ("PRAGMA busy_timeout=10000", "PRAGMA foreign_keys=ON", "PRAGMA synchronous=FULL")
_WRITER = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA cache_size=-16384",
    "PRAGMA wal_autocheckpoint=0",  # see checkpoints.py
)
_READER = ("PRAGMA query_only=ON",)


class SqliteMetadataStore:
    """A metadata store in one SQLite file, which is made or brought up to date when it is opened.

    Parameters
    ----------
    path : Path
        The database file; its folder is made where it is missing.
    clock : callable
        Returns ms UTC; used only for rows that opening a new database makes.

    Raises
    ------
    RefusedError
        If the file is of a newer program, not a Penstock database, or on a network file system.
    UnavailableError
        If the file or its folder cannot be opened or written.
    """

    def __init__(self, path: Path, *, clock: Callable[[], int] = now_ms) -> None:
        self._path = path
        self._idle: deque[Connection] = deque()
        self._is_closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            refuse_network(path.parent)
            # Endpoint keys are in it; SQLite gives its log files the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise UnavailableError(
                f"{path} cannot be opened: {error.strerror}", hint="Check the owner and mode of the workspace folder."
            ) from error
        self._engine = create_engine("sqlite://", creator=self._connect, poolclass=NullPool)
        event.listen(self._engine, "begin", _begin)
        with self._translated():
            writer = self._open(_WRITER).execution_options(is_writer=True)
            try:
                with writer.begin():
                    prepare_schema(writer, path, now=clock())
            except BaseException:
                writer.close()
                raise
        self._writer = Writer(writer, _FileLink(path, self._connect))

    @property
    def place(self) -> str:
        """Return the file, as messages call it."""
        return f"SQLite, {self._path}"

    def write(self, operation: Callable[[Connection], T]) -> T:
        """Run ``operation`` on the writer, return its result once it is durable."""
        return self._writer.write(operation)

    def submit(self, operation: Callable[[Connection], T]) -> Future[T]:
        """Queue ``operation`` for the writer; the future resolves once it is durable."""
        return self._writer.submit(operation)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only snapshot; statements that write fail."""
        if self._is_closed:
            raise UnavailableError("the metadata store is closed")
        with self._translated():
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._open(_READER)
            try:
                with connection.begin():
                    yield connection
            finally:
                self._idle.append(connection)
                self._trim(0 if self._is_closed else _IDLE_READERS)

    def close(self) -> None:
        """Finish queued operations, then release everything; idempotent."""
        self._writer.close()
        self._is_closed = True
        self._trim(0)
        self._engine.dispose()

    def _connect(self) -> sqlite3.Connection:
        # Transactions are begun by us, so that a snapshot begins with its first statement and
        # a writer takes its lock at once; a connection serves one thread at a time, not one for ever.
        return sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, cached_statements=256)

    def _open(self, pragmas: tuple[str, ...]) -> Connection:
        connection = self._engine.connect()
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.create_function("regexp", 2, regexp, deterministic=True)
        try:
            for pragma in (*_EVERY, *pragmas):
                driver.execute(pragma).close()
        except BaseException:
            connection.close()
            raise
        return connection

    def _trim(self, keep: int) -> None:
        while len(self._idle) > keep:
            try:
                connection = self._idle.popleft()
            except IndexError:
                return
            connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
            raise translate(error, self._path) from error


class _FileLink(Link):
    """The writer's link to a file: it never breaks, and has a log that somebody has to look after."""

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(lambda error: translate(error, path))
        self._checkpoints = Checkpoints(connect, path.with_name(f"{path.name}-wal"))

    def after_group(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        self._checkpoints.after_commit(driver)

    def close(self) -> None:
        self._checkpoints.close()


def _begin(connection: Connection) -> None:
    is_writer = connection.get_execution_options().get("is_writer", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")
