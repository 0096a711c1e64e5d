"""A gate before the database that readers of all processes pass, and that the writer may close for a moment.

SQLite begins its log anew only when nobody reads from it; where reads overlap, that is never. While the gate is closed
those of the moment come to their end and no others begin. It is a lock on a file beside the database: the kernel opens
it again when a writer dies.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LONGEST_SNAPSHOT_S = 5.0
"""A read that takes longer is given up where the writer can wait no more."""
_CLOSE_S = 0.2
_URGENT, _CALM = b"!", b"."


def _file(database: Path) -> Path:
    return database.with_name(f"{database.name}-gate")


class Gate:
    """The readers' side; used by any thread.

    Parameters
    ----------
    database : Path
        The file that is read; without a gate beside it everybody may.
    """

    def __init__(self, database: Path) -> None:
        self._path = _file(database)
        self._opening = threading.Lock()
        self._fd: int | None = None

    def wait(self) -> None:
        """Return when a read may begin: mostly at once."""
        fd = self._descriptor()
        if fd is None:
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(fd, fcntl.LOCK_SH)
        fcntl.flock(fd, fcntl.LOCK_UN)  # who is through does not hold it: it only must not be closed now

    def is_overdue(self, began: float) -> bool:
        """Tell whether a read that began then has to make room."""
        if time.monotonic() - began < LONGEST_SNAPSHOT_S or self._fd is None:
            return False
        return os.pread(self._fd, 1, 0) == _URGENT

    def close(self) -> None:
        """Let go of the file; idempotent."""
        with self._opening:
            fd, self._fd = self._fd, None
            if fd is not None:
                os.close(fd)

    def _descriptor(self) -> int | None:
        if self._fd is None:
            with self._opening, suppress(FileNotFoundError):
                if self._fd is None:
                    self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return self._fd


class GateKeeper:
    """The writer's side.

    Parameters
    ----------
    database : Path
        The file that is written.
    """

    def __init__(self, database: Path) -> None:
        self._path = _file(database)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.pwrite(self._fd, _CALM, 0)

    @contextmanager
    def closed(self, *, is_urgent: bool) -> Iterator[None]:
        """Let no read begin until the block ends; where it is urgent, those that take too long are given up."""
        os.pwrite(self._fd, _URGENT if is_urgent else _CALM, 0)
        try:
            self._lock()
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.pwrite(self._fd, _CALM, 0)

    def close(self) -> None:
        """Remove the gate."""
        self._path.unlink(missing_ok=True)
        os.close(self._fd)

    def _lock(self) -> None:
        # Readers hold it for microseconds; one that was stopped just then must not stop the writer.
        end = time.monotonic() + _CLOSE_S
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    return
                time.sleep(0.0005)
            else:
                return
