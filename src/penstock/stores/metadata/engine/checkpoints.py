"""Move what SQLite's log holds into the database file, beside the writer and without growing for ever.

SQLite's own way is to do it within a commit, again with every commit as long as some reader still looks at an
older snapshot, and never to begin the log anew while readers overlap: a client that searches all the time slows
every write and lets the log grow as long as it goes on. Here a thread of its own copies while the writer goes on;
when the log has become long nevertheless, the writer pauses between two groups until the readers of the moment are
done, which those that come after do not hold up, and begins it anew.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger(__name__)

_PAGES = 1000
"""After about so many pages the log is copied, as by SQLite's own default."""
_PAGES_PER_COMMIT = 5
_ROWS_PER_PAGE = 20
"""A point that is logged alone changes about five pages, and a thousand of one run forty more."""
_BYTES = 4 * 2**20
"""Or when the file has grown by so much, because rows were long."""
_LONG_PAGES = 8192
"""A log of so many pages, 32 MB, is begun anew."""
_PAUSE_MS = 250
"""So long the writer waits for readers; one that takes longer lets the log grow to twice its size first."""


class Checkpoints:
    """Looks after the log of one database.

    Parameters
    ----------
    connect : callable
        Opens a connection of its own for the thread.
    log : Path
        The file of the log.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], log: Path) -> None:
        self._connect = connect
        self._log = log
        self._commits = 0
        self._seen_rows = 0
        self._seen_bytes = 0
        self._long_pages = _LONG_PAGES
        self._is_long = False
        self._is_closed = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._copy, name="metadata-checkpoints", daemon=True)
        self._thread.start()

    def after_commit(self, writer: sqlite3.Connection) -> None:
        """Look whether there is something to do; called by the writer between two transactions."""
        self._commits += 1
        rows, size = writer.total_changes, self._size()
        pages = _PAGES_PER_COMMIT * self._commits + (rows - self._seen_rows) // _ROWS_PER_PAGE
        if pages >= _PAGES or size - self._seen_bytes >= _BYTES:
            self._commits, self._seen_rows, self._seen_bytes = 0, rows, size
            self._wake.set()
        if self._is_long:
            self._is_long = False
            self._begin_anew(writer)

    def close(self) -> None:
        """End the thread; the last connection to close empties the log."""
        self._is_closed = True
        self._wake.set()
        self._thread.join()

    def _size(self) -> int:
        try:
            return os.stat(self._log).st_size
        except OSError:
            return 0

    def _copy(self) -> None:
        connection = self._connect()
        try:
            while self._wake.wait() and not self._is_closed:
                self._wake.clear()
                try:
                    _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                except sqlite3.Error:
                    # A full disk or a failing one: the writer meets it too, and says so to those who wait.
                    logger.warning("the log of the metadata store could not be copied", exc_info=True)
                    continue
                self._is_long = pages >= self._long_pages
        finally:
            connection.close()

    def _begin_anew(self, writer: sqlite3.Connection) -> None:
        (patience_ms,) = writer.execute("PRAGMA busy_timeout").fetchone()
        try:
            writer.execute(f"PRAGMA busy_timeout={_PAUSE_MS}").close()
            is_busy, pages, _ = writer.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            self._long_pages = max(_LONG_PAGES, 2 * pages) if is_busy else _LONG_PAGES
        except sqlite3.Error:
            logger.warning("the log of the metadata store could not be begun anew", exc_info=True)
        finally:
            writer.execute(f"PRAGMA busy_timeout={patience_ms}").close()
