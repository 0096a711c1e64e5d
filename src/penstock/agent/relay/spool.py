"""The calls that a relay acknowledged while the server was away, on the disk before they are.

``relay/calls`` holds a line of JSON a call with its number; ``relay/files`` what was uploaded. A line counts once it is
fsynced, and is delivered then; calls that come together share an fsync. Where that fails, none of their lines is kept:
the kernel may forget what it could not write, so a later fsync that succeeds says nothing of them. When everything was
delivered the file starts anew, numbers go on.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

READ_BYTES = 1 << 20
MAX_CALLS = 200


class Stored:
    """One spooled call and where its line ends."""

    __slots__ = ("end", "entry")

    def __init__(self, entry: dict[str, Any], end: int) -> None:
        self.entry = entry
        self.end = end


class CallSpool:
    """The spooled calls of one attempt; its methods may be called from any thread.

    Parameters
    ----------
    folder : str
        The attempt's spool folder.
    """

    def __init__(self, folder: str) -> None:
        self._folder = os.path.join(folder, "relay")
        self._files = os.path.join(self._folder, "files")
        self._path = os.path.join(self._folder, "calls")
        self._lock = threading.Lock()
        self._syncing = threading.Lock()
        self._descriptor = -1
        self._size = 0
        self._synced_size = 0
        self._synced = 0
        self._taken = 0
        self._names = 0
        self._losses = 0
        self._is_torn = False
        self._is_broken = False
        self.last = 0
        self.delivered = 0
        with contextlib.suppress(OSError):
            self._size = self._synced_size = os.stat(self._path).st_size

    @property
    def is_empty(self) -> bool:
        """Return whether nothing waits to be delivered."""
        return self._taken >= self._synced_size

    def append(self, entry: dict[str, Any]) -> int:
        """Keep a call and return its number once it is on the disk; raises OSError, and then nothing is kept."""
        with self._lock:
            if self._is_broken:
                raise OSError(errno.EIO, "the spool cannot be written any more")
            if self._descriptor < 0:
                self._open()
            line = json.dumps({"seq": self.last + 1, **entry}, separators=(",", ":")).encode("ascii") + b"\n"
            if self._is_torn:
                line = b"\n" + line
            try:
                _write_all(self._descriptor, line)
            except OSError:
                self._is_torn = True
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, self._size)
                    self._is_torn = False
                if self._is_torn:
                    self._size = os.fstat(self._descriptor).st_size
                raise
            self._is_torn = False
            self._size += len(line)
            self.last += 1
            number, losses = self.last, self._losses
        with self._syncing:
            if self._losses != losses:
                raise OSError(errno.EIO, "what was written together with it could not be kept")
            if self._synced < number:
                self._sync()
        return number

    def _sync(self) -> None:
        """Bring every line there is to the disk, or none; the caller holds ``_syncing``."""
        with self._lock:
            number, size = self.last, self._size
        try:
            os.fdatasync(self._descriptor)
        except OSError:
            with self._lock:
                self._losses += 1
                self.last = self._synced
                self._is_torn = False
                self._is_broken = True
                self._size = self._synced_size
                os.ftruncate(self._descriptor, self._size)
                self._is_broken = False
            raise
        with self._lock:
            self._synced, self._synced_size = number, size

    def put_file(self, pieces: Iterable[bytes]) -> dict[str, Any]:
        """Keep an uploaded file and return ``digest``, ``size`` and ``file``, its name here; raises OSError."""
        os.makedirs(self._files, mode=0o700, exist_ok=True)
        with self._lock:
            self._names += 1
            name = str(self._names)
        path = os.path.join(self._files, name)
        digest, size = hashlib.sha256(), 0
        try:
            with open(path, "wb", buffering=0) as file:
                for piece in pieces:
                    _write_all(file.fileno(), piece)
                    digest.update(piece)
                    size += len(piece)
                os.fsync(file.fileno())
            _sync_folder(self._files)
            _sync_folder(self._folder)
        except BaseException:
            self.remove_file(name)
            raise
        return {"digest": digest.hexdigest(), "size": size, "file": name}

    def file_path(self, name: str) -> str:
        """Return where a kept file is."""
        return os.path.join(self._files, os.path.basename(name))

    def remove_file(self, name: str) -> None:
        """Forget a kept file."""
        with contextlib.suppress(OSError):
            os.unlink(self.file_path(name))

    def read(self) -> list[Stored]:
        """Return the first calls that were not delivered, in order; damaged lines, which nobody was promised, go."""
        with self._lock:
            start, end = self._taken, self._synced_size
        if start >= end:
            return []
        found: list[Stored] = []
        with open(self._path, "rb") as file:
            file.seek(start)
            while start < end and start - self._taken < READ_BYTES and len(found) < MAX_CALLS:
                line = file.readline()
                start += len(line)
                try:
                    entry = json.loads(line)
                except ValueError:
                    entry = None
                if isinstance(entry, dict) and isinstance(entry.get("seq"), int):
                    found.append(Stored(entry, start))
                if not line:
                    break
        if not found:
            self.advance(end, 0)
        return found

    def count(self) -> int:
        """Return how many calls wait to be delivered; raises OSError."""
        with self._lock:
            start, end = self._taken, self._synced_size
        left = 0
        with open(self._path, "rb") as file:
            file.seek(start)
            while start < end and (line := file.readline()):
                start += len(line)
                left += line.startswith(b"{") and line.endswith(b"}\n")
        return left

    def advance(self, end: int, number: int) -> None:
        """Count everything before ``end`` as delivered, up to the call ``number``."""
        with self._lock:
            self._taken = max(self._taken, end)
            self.delivered = max(self.delivered, number)
            if self._taken >= self._size and self._descriptor >= 0:
                os.ftruncate(self._descriptor, 0)
                self._taken = self._size = self._synced_size = 0

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        _sync_folder(self._folder)
        _sync_folder(os.path.dirname(self._folder))


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
