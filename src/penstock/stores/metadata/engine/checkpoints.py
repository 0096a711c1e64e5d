"""Move what SQLite's log holds into the database file, beside the writer and without growing for ever.

SQLite's own way is to do it within a commit, again with every commit as long as some reader still looks at an
older snapshot, and never to begin the log anew while readers overlap: a client that searches all the time slows
every write and lets the log grow as long as it goes on. Here a thread of its own copies while the writer goes on;
a log that has become long is begun anew between two groups of writes when nobody reads, which costs the writer no
wait. Only where there is always a reader and the log has become far longer, the writer closes the gate to new ones
and pauses until those of the moment are done. At twice that length it waits until they are done or given up.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from penstock.stores.metadata.engine.gate import GateKeeper

logger = logging.getLogger(__name__)

_PAGES = 1000
"""After about so many pages the log is copied, as by SQLite's own default."""
_PAGES_PER_COMMIT = 5
_ROWS_PER_PAGE = 20
"""A point that is logged alone changes about five pages, and a thousand of one run forty more."""
_BYTES = 4 * 2**20
"""Or when the file has grown by so much, because rows were long."""
_LOOK_EVERY_S = 0.005
"""To look at the file costs a commit an eighth of its time."""
_LONG_PAGES = 8192
"""A log of so many pages, 32 MB, is begun anew when nobody reads."""
PAGE_BYTES = 4096
LONG_BYTES = _LONG_PAGES * PAGE_BYTES
_PAUSE_MS = 2000
"""So long it waits for readers; where that is not enough, it tries again when the log has grown by a quarter."""
_LAST_PAUSE_MS = 10_000
"""And so long at twice the length. Longer only a process can read that was stopped; then the log grows on."""


class Checkpoints:
    """Looks after the log of one database.

    Parameters
    ----------
    connect : callable
        Opens a connection of its own for the thread.
    log : Path
        The file of the log.
    is_read : callable
        Tells whether somebody reads now, as far as is known.
    gate : GateKeeper
        Closed while the writer waits.
    longest_pages : int
        From so many pages on the writer waits for readers. Where that is seldom, as for 256 MB, such a pause is
        met by less than one write in a hundred.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        log: Path,
        is_read: Callable[[], bool],
        gate: GateKeeper,
        longest_pages: int,
    ) -> None:
        self._connect = connect
        self._log = log
        self._is_read = is_read
        self._gate = gate
        self._longest_pages = longest_pages
        self._pause_at = longest_pages
        self._pages = 0
        self._look_at = 0.0
        self._commits = 0
        self._seen_rows = 0
        self._seen_bytes = 0
        self._is_long = False
        self._is_closed = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._copy, name="metadata-checkpoints", daemon=True)
        self._thread.start()

    def after_commit(self, writer: sqlite3.Connection) -> None:
        """Look whether there is something to do; called by the writer between two transactions."""
        self._commits += 1
        now = time.monotonic()
        is_time = now >= self._look_at
        rows = writer.total_changes
        pages = _PAGES_PER_COMMIT * self._commits + (rows - self._seen_rows) // _ROWS_PER_PAGE
        size = self._seen_bytes
        if is_time:
            self._look_at = now + _LOOK_EVERY_S
            size = self._size()
        if pages >= _PAGES or size - self._seen_bytes >= _BYTES:
            self._commits, self._seen_rows, self._seen_bytes = 0, rows, self._size()
            self._wake.set()
        if size // PAGE_BYTES >= max(2 * self._longest_pages, self._pause_at):  # the thread cannot keep up
            self._is_long, self._pages = True, size // PAGE_BYTES
        if self._is_long:
            if self._pages >= self._pause_at:
                self._pause(writer)
            elif not self._is_read():
                self._begin_anew(writer, 0)

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
                self._pages = pages
                self._is_long = pages >= min(_LONG_PAGES, self._longest_pages)
        finally:
            connection.close()

    def _pause(self, writer: sqlite3.Connection) -> None:
        is_last = self._pages >= 2 * self._longest_pages
        with self._gate.closed(is_urgent=is_last):
            is_done = self._begin_anew(writer, _LAST_PAUSE_MS if is_last else _PAUSE_MS)
        if not is_done:
            self._pause_at = self._pages + self._longest_pages // 4
        if is_last and not is_done:
            logger.warning(
                "the log of the metadata store has %d MB, for some process has read all the while", self._size() >> 20
            )

    def _begin_anew(self, writer: sqlite3.Connection, pause_ms: int) -> bool:
        # Whether or not it succeeds, it is tried again only after the thread has copied the next pages.
        self._is_long = False
        (patience_ms,) = writer.execute("PRAGMA busy_timeout").fetchone()
        try:
            writer.execute(f"PRAGMA busy_timeout={pause_ms}").close()
            is_busy, _, _ = writer.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        except sqlite3.Error:
            logger.warning("the log of the metadata store could not be begun anew", exc_info=True)
            return False
        finally:
            writer.execute(f"PRAGMA busy_timeout={patience_ms}").close()
        if not is_busy:
            self._pause_at = self._longest_pages
        return not is_busy
