"""The embedded metadata store: one SQLite file in write-ahead mode.

``synchronous=FULL`` with a write-ahead log costs one fsync a commit; group commit shares it. Readers keep
their own connections, see the last commit and never wait.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from penstock.clock import now_ms
from penstock.entities.errors import UnavailableError
from penstock.stores.metadata.base import Space
from penstock.stores.metadata.engine.checkpoints import LONG_BYTES, PAGE_BYTES, Checkpoints
from penstock.stores.metadata.engine.failures import is_lock, translate
from penstock.stores.metadata.engine.filesystem import refuse_network
from penstock.stores.metadata.engine.gate import GateKeeper
from penstock.stores.metadata.engine.schema import prepare_schema
from penstock.stores.metadata.engine.space import file_space, shrink_file
from penstock.stores.metadata.engine.sqlite_file import PATIENCE_MS, SqliteFile, SqliteReader
from penstock.stores.metadata.engine.writer import Link, Writer

T = TypeVar("T")

LONGEST_LOG_BYTES = 256 * 2**20

_WRITER = (
    "PRAGMA auto_vacuum=INCREMENTAL",  # works on a new file only; see space.py
    "PRAGMA journal_mode=WAL",
    "PRAGMA cache_size=-16384",
    "PRAGMA wal_autocheckpoint=0",  # see checkpoints.py
)


class SqliteMetadataStore:
    """A metadata store in one SQLite file, which is made or brought up to date when it is opened.

    Parameters
    ----------
    path : Path
        The database file; its folder is made where it is missing.
    clock : callable
        Returns ms UTC; used only for rows that opening a new database makes.
    longest_log_bytes : int
        Of the write-ahead log: from this size on the writer waits for readers to make it short again, and at twice
        the size until they are done or given up.

    Raises
    ------
    RefusedError
        If the file is of a newer program, not a Penstock database, or on a network file system.
    UnavailableError
        If the file or its folder cannot be opened or written.
    """

    def __init__(
        self, path: Path, *, clock: Callable[[], int] = now_ms, longest_log_bytes: int = LONGEST_LOG_BYTES
    ) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            refuse_network(path.parent)
            # Endpoint keys are in it; SQLite gives its log files the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise UnavailableError(
                f"{path} cannot be opened: {error.strerror}", hint="Check the owner and mode of the workspace folder."
            ) from error
        self._path = path
        file = SqliteFile(path)
        shortened = f"PRAGMA journal_size_limit={min(LONG_BYTES, longest_log_bytes)}"
        self._reader = SqliteReader(file)
        self._elsewhere: list[None] = []
        with file.translated():
            writer = file.open((*_WRITER, shortened)).execution_options(is_writer=True)
            try:
                with writer.begin():
                    prepare_schema(writer, path, now=clock())
            except BaseException:
                writer.close()
                raise
        self._writer = Writer(writer, _FileLink(path, file.connect, self._is_read, longest_log_bytes))

    @property
    def address(self) -> tuple[str, Path]:
        """Return no URL, and the file."""
        return "", self._path

    @property
    def place(self) -> str:
        """Return the file, as messages call it."""
        return self._reader.place

    def write(self, operation: Callable[[Connection], T]) -> T:
        """Run ``operation`` on the writer, return its result once it is durable."""
        return self._writer.write(operation)

    def submit(self, operation: Callable[[Connection], T]) -> Future[T]:
        """Queue ``operation`` for the writer; the future resolves once it is durable."""
        return self._writer.submit(operation)

    def read(self) -> AbstractContextManager[Connection]:
        """Open a read-only snapshot; statements that write fail."""
        return self._reader.read()

    def interrupt(self, connection: Connection) -> None:
        """Let the statement that runs on a snapshot's connection fail."""
        self._reader.interrupt(connection)

    @contextmanager
    def read_elsewhere(self) -> Iterator[None]:
        """Know of a process that reads; the log is not begun anew meanwhile."""
        self._elsewhere.append(None)
        try:
            yield
        finally:
            self._elsewhere.pop()

    def space(self) -> Space:
        """Return the size of the pages that hold nothing."""
        with self.read() as connection:
            return file_space(connection)

    def give_space_back(self) -> Iterator[int]:
        """Move the file's last pages into the holes, half a megabyte a transaction."""
        return shrink_file(self.write, self.space())

    def close(self) -> None:
        """Finish queued operations, then release everything; idempotent."""
        self._writer.close()
        self._reader.close()

    def _is_read(self) -> bool:
        return self._reader.is_used or bool(self._elsewhere)


class _FileLink(Link):
    """The writer's link to a file: it never breaks, and has a log that somebody has to look after."""

    def __init__(
        self,
        path: Path,
        connect: Callable[[], sqlite3.Connection],
        is_read: Callable[[], bool],
        longest_log_bytes: int,
    ) -> None:
        super().__init__(self._translate)
        self._path = path
        self._is_locked = self._is_impatient = False
        log = path.with_name(f"{path.name}-wal")
        self._gate = GateKeeper(path)
        self._checkpoints = Checkpoints(connect, log, is_read, self._gate, longest_log_bytes // PAGE_BYTES)

    def after_group(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        self._checkpoints.after_commit(driver)
        if self._is_locked != self._is_impatient:
            # Who queued up behind a group that waited in vain has waited as long.
            patience_ms = PATIENCE_MS // 20 if self._is_locked else PATIENCE_MS
            driver.execute(f"PRAGMA busy_timeout={patience_ms}").close()
            self._is_impatient = self._is_locked
        self._is_locked = False

    def close(self) -> None:
        self._checkpoints.close()
        self._gate.close()

    def _translate(self, error: BaseException) -> BaseException:
        self._is_locked = self._is_locked or is_lock(error)
        return translate(error, self._path)
