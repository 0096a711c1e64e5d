"""The file of the embedded metadata store: how connections to it are opened, and reading alone.

A reader keeps a few connections open, sees the last commit of whatever process writes, and never waits.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from penstock.entities.errors import UnavailableError
from penstock.stores.metadata.engine.failures import translate
from penstock.stores.metadata.engine.gate import Gate
from penstock.stores.metadata.engine.patterns import regexp

_IDLE_READERS = 8
PATIENCE_MS = 10_000
"""So long a statement waits for the lock of another process."""
_EVERY = (f"PRAGMA busy_timeout={PATIENCE_MS}", "PRAGMA foreign_keys=ON", "PRAGMA synchronous=FULL")
_READER = ("PRAGMA query_only=ON",)
_BEGAN = "began"
_STEPS = 1_000_000
"""Of SQLite's machine, some ten ms: so often a read looks whether it has to make room."""


class SqliteFile:
    """A database file that exists.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._uri = f"{path.absolute().as_uri()}?mode=rw"  # never made by merely opening it
        self._engine = create_engine("sqlite://", creator=self.connect, poolclass=NullPool)
        event.listen(self._engine, "begin", _begin)

    def connect(self) -> sqlite3.Connection:
        """Open a bare connection of the driver."""
        # Transactions are begun by us, so that a snapshot begins with its first statement and
        # a writer takes its lock at once; a connection serves one thread at a time, not one for ever.
        return sqlite3.connect(
            self._uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=256
        )

    def open(self, pragmas: tuple[str, ...]) -> Connection:
        """Open a connection with the settings of every one and some of its own."""
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

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what the driver raises into errors of ours."""
        try:
            yield
        except (DBAPIError, sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
            raise translate(error, self.path) from error

    def close(self) -> None:
        """Release what the engine holds; connections are closed by who opened them."""
        self._engine.dispose()


class SqliteReader:
    """Reads a metadata store that some process has made.

    Parameters
    ----------
    file : SqliteFile
        Where it is.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._gate = Gate(file.path)
        self._idle: deque[Connection] = deque()
        self._used: list[None] = []
        self._is_closed = False

    @property
    def is_used(self) -> bool:
        """Return whether somebody reads at this moment."""
        return bool(self._used)

    @property
    def place(self) -> str:
        """Return the file, as messages call it."""
        return f"SQLite, {self._file.path}"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only snapshot; statements that write fail."""
        if self._is_closed:
            raise UnavailableError("the metadata store is closed")
        with self._file.translated():
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._open()
            self._gate.wait()
            connection.info[_BEGAN] = time.monotonic()
            self._used.append(None)
            try:
                with connection.begin():
                    yield connection
            finally:
                self._used.pop()
                self._idle.append(connection)
                self._trim(0 if self._is_closed else _IDLE_READERS)

    def interrupt(self, connection: Connection) -> None:
        """Let the statement that runs on a snapshot's connection fail."""
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.interrupt()

    def close(self) -> None:
        """Close the connections; those in use are closed when they are given back."""
        self._is_closed = True
        self._trim(0)
        self._file.close()
        self._gate.close()

    def _open(self) -> Connection:
        connection = self._file.open(_READER)
        driver, info = connection.connection.driver_connection, connection.info
        assert isinstance(driver, sqlite3.Connection)
        driver.set_progress_handler(lambda: self._gate.is_overdue(info[_BEGAN]), _STEPS)
        return connection

    def _trim(self, keep: int) -> None:
        while len(self._idle) > keep:
            try:
                connection = self._idle.popleft()
            except IndexError:
                return
            connection.close()


def _begin(connection: Connection) -> None:
    # On the driver: each commit and each question begins so, and through Core that is most of what SQLAlchemy costs it.
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    is_writer = connection.get_execution_options().get("is_writer", False)
    driver.execute("BEGIN IMMEDIATE" if is_writer else "BEGIN")
