"""Owning a workspace folder: the lock that one supervisor holds, and the record by which others find it.

The record is written twice, to ``run/server.json`` for everybody and into the lock file in case that one gets lost.
Neither can be relied on to stay: people clean up folders and restore backups, so both are looked at again and again.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, replace

from penstock.app.refusal import explained, say
from penstock.entities.errors import ConflictError
from penstock.home import Home, ServerRecord, write_private
from penstock.rules.names import new_token


class Ownership:
    """The lock of a workspace folder, held until :meth:`release`; makes the folder and the tokens it lacks.

    Parameters
    ----------
    home : Home
        The folder.

    Raises
    ------
    ConflictError
        If another supervisor has it.
    UsageError, OutOfSpaceError
        If it cannot be used.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._record: ServerRecord | None = None
        self._seen: _Seen | None = None
        self._has_trouble = False
        with explained(home.root):
            home.make()
            self._lock = self._take()
            for folder in (home.spool, home.jobs, home.metadata_db.parent, home.blobs, home.secrets):
                folder.mkdir(mode=0o700, exist_ok=True)
            for file in (home.token_file, home.internal_token_file):
                if not file.exists():
                    write_private(file, new_token(os.urandom) + "\n")

    def publish(self, record: ServerRecord) -> None:
        """Write the record to both places."""
        self._record = record
        with explained(self._home.root):
            self._write()

    def keep(self) -> None:
        """Write the record again if one of its places was changed or removed; costs two looks at the folder.

        Raises
        ------
        ConflictError
            If somebody removed the lock file and another supervisor has taken the new one.
        """
        if self._seen is not None and self._look() == self._seen:
            return
        try:
            if not self._is_mine():
                taken = self._take()
                os.close(self._lock)
                self._lock = taken
            self._write()
        except OSError as error:
            if not self._has_trouble:  # said once: a full disk may last
                say(f"penstock: the record of the server could not be written again: {error}; it is tried on")
            self._has_trouble = True
        else:
            self._has_trouble = False

    def withdraw(self) -> None:
        """Remove the record: the server is about to end."""
        try:
            self._home.server_record.unlink(missing_ok=True)
            os.ftruncate(self._lock, 0)
        except OSError as error:  # it names a process that will be gone, and is not believed then
            say(f"penstock: the record of the server could not be removed: {error}")

    def release(self) -> None:
        """Let the lock go."""
        os.close(self._lock)

    def _take(self) -> int:
        home = self._home
        home.run.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            record = home.read_server_record()
            where = f" at {record.url}" if record and record.is_alive() else ""
            raise ConflictError(
                f"workspace {home.root} is already served{where}", hint=f"Stop it with: penstock down -w {home.root}"
            ) from None
        return descriptor

    def _is_mine(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._lock), self._home.lock_file.stat())
        except FileNotFoundError:
            return False

    def _write(self) -> None:
        if self._record is None:
            return
        # Asked each time: the folder may have been put back from a backup under the running server.
        text = replace(self._record, folder=self._home.identity()).to_json()
        content = text.encode()
        os.pwrite(self._lock, content, 0)
        os.ftruncate(self._lock, len(content))
        os.fsync(self._lock)
        write_private(self._home.server_record, text)
        seen = self._look()
        # Somebody may have changed it between the writing and the look: then it is written again.
        self._seen = seen if self._holds(content) else None

    def _holds(self, content: bytes) -> bool:
        try:
            return self._home.server_record.read_bytes() == content
        except OSError:
            return False

    def _look(self) -> _Seen | None:
        try:
            record, lock = self._home.server_record.stat(), self._home.lock_file.stat()
        except OSError:
            return None
        return _Seen(*((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for s in (record, lock)))


@dataclass(frozen=True, slots=True)
class _Seen:
    """Device, inode, size and time of change of the two files."""

    record: tuple[int, int, int, int]
    lock: tuple[int, int, int, int]
