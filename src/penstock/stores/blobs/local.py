"""Blobs in a local folder: ``<root>/ab/<sha256>``, read-only files, written elsewhere and renamed into place.

A file is written and fsynced in ``<root>/incoming`` under a name of its own, renamed to its digest, and the
folder fsynced; so a digest names the whole content or nothing. What a killed process left in ``incoming`` is
removed when the store is next opened: a file in use is locked, and a lock ends with its process.

A blob's modification time is when it was last used. One that a collection takes is moved into ``incoming`` first
and looked at there: a use that came before the move is seen in its time and the blob is moved back, one that comes
after finds no file and stores the content again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from penstock.entities.errors import ConflictError, NotFoundError, RefusedError, UsageError
from penstock.stores.blobs.base import StoredBlob
from penstock.stores.blobs.files import (
    CHUNK,
    append,
    chunks_of,
    hash_descriptor,
    read_range,
    sync_folder,
    translated,
    write_hashed,
)

Content = bytes | BinaryIO | Iterable[bytes]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_UPLOAD = re.compile(r"[0-9a-f]{32}")
_FOLDER = re.compile(r"[0-9a-f]{2}")
_ASIDE = ".aside"
_SMALL_BYTES = 1 << 20
_PART_KEPT_S = 60
_UPLOAD_KEPT_S = 7 * 24 * 3600


class LocalBlobStore:
    """A content-addressed folder; see :class:`penstock.stores.blobs.base.BlobStore` for the promise.

    Parameters
    ----------
    root : Path
        The folder; made where it is missing. Any number of processes may open it.

    Raises
    ------
    UnavailableError
        If the folder cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._durable_folders: set[str] = set()
        with translated(root):
            self._incoming.mkdir(parents=True, exist_ok=True)
            sync_folder(root)
        self._remove_abandoned(time.time())

    def put(self, content: Content, *, expected: str | None = None) -> tuple[str, int]:
        """Store content, return (sha256 hex, size in bytes)."""
        if expected is not None:
            _check_digest(expected)
        digest, size = self._write(content, expected)
        self._sync([digest])
        return digest, size

    def put_file(self, path: Path) -> tuple[str, int]:
        """Store a local file's content; the file stays as it is."""
        return self.put_files([path])[0]

    def put_files(self, paths: Sequence[Path]) -> list[tuple[str, int]]:
        """Store local files' contents with one fsync for each new file and each folder.

        Small content that is there already is only read.
        """
        found: list[tuple[str, int]] = []
        for path in paths:
            with path.open("rb", buffering=0) as source:
                start = source.read(_SMALL_BYTES)
                digest = hashlib.sha256(start).hexdigest()
                if len(start) < _SMALL_BYTES and self._use(digest):
                    found.append((digest, len(start)))
                else:
                    found.append(self._write(_chain(start, source), None))
        self._sync([digest for digest, _ in found])
        return found

    def exists(self, digest: str) -> bool:
        """Return whether the blob is there."""
        return self._path(digest).exists()

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Return those of ``digests`` that are not there, each once, in order; the others count as used now."""
        return [digest for digest in dict.fromkeys(digests) if not self._use(digest)]

    def find(self, digest: str) -> StoredBlob | None:
        """Return what is known of a blob without using it, or None."""
        try:
            return _stored(digest, self._path(digest).stat())
        except FileNotFoundError:
            return None

    def walk(self) -> Iterator[StoredBlob]:
        """Yield every blob without using it, a folder after the other."""
        for folder in sorted(entry for entry in self._root.iterdir() if _FOLDER.fullmatch(entry.name)):
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _DIGEST.fullmatch(entry.name):
                        with suppress(FileNotFoundError):  # taken meanwhile
                            yield _stored(entry.name, entry.stat())

    def set_aside(self, digest: str, *, unused_since: int) -> bool:
        """Take a blob out of reach unless it was used at or after ``unused_since`` (ms UTC); return whether it was."""
        path, aside = self._path(digest), self._incoming / f"{digest}{_ASIDE}"
        with translated(self._root):
            try:
                path.rename(aside)
            except FileNotFoundError:
                return False
            if _stored(digest, aside.stat()).used_at < unused_since:
                return True
            with suppress(FileExistsError):  # stored again meanwhile
                os.link(aside, path)
            aside.unlink()
            return False

    def discard(self, digest: str) -> None:
        """Free the bytes of a blob that was set aside; idempotent."""
        _check_digest(digest)
        with translated(self._root):
            (self._incoming / f"{digest}{_ASIDE}").unlink(missing_ok=True)

    def size(self, digest: str) -> int:
        """Return the size in bytes."""
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError as error:
            raise _no_blob(digest) from error

    def open(self, digest: str, *, start: int = 0, end: int | None = None, chunk: int = CHUNK) -> Iterator[bytes]:
        """Yield the bytes ``[start, end)`` in chunks; raises NotFoundError before the first one."""
        size = self.size(digest)
        return read_range(self._path(digest), max(0, start), size if end is None else min(end, size), chunk)

    def read(self, digest: str) -> bytes:
        """Return the whole content; for small blobs."""
        try:
            return self._path(digest).read_bytes()
        except FileNotFoundError as error:
            raise _no_blob(digest) from error

    def local_path(self, digest: str) -> Path | None:
        """Return the read-only file with the content; raises NotFoundError where there is none."""
        path = self._path(digest)
        if not path.exists():
            raise _no_blob(digest)
        return path

    def begin_upload(self) -> str:
        """Start a resumable upload and return its id (32 hex digits)."""
        upload_id = secrets.token_hex(16)
        with translated(self._root):
            os.close(os.open(self._upload_path(upload_id), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
            sync_folder(self._incoming)
        return upload_id

    def append_upload(self, upload_id: str, offset: int, content: Content) -> int:
        """Append at ``offset`` and return the new length in bytes."""
        with self._locked_upload(upload_id) as descriptor:
            length = os.fstat(descriptor).st_size
            if offset != length:
                raise ConflictError(f"the upload has {length} bytes, not {offset}", hint=f"Continue at {length}.")
            return append(descriptor, length, chunks_of(content), self._root)

    def upload_offset(self, upload_id: str) -> int:
        """Return how many bytes of the upload are kept, also after a restart."""
        try:
            return self._upload_path(upload_id).stat().st_size
        except FileNotFoundError as error:
            raise _no_upload(upload_id) from error

    def finish_upload(self, upload_id: str, *, expected: str | None = None) -> tuple[str, int]:
        """Turn the upload into a blob and return (sha256 hex, size); a refused one stays as it is."""
        if expected is not None:
            _check_digest(expected)
        with self._locked_upload(upload_id) as descriptor:
            digest, size = hash_descriptor(descriptor)
            _refuse_other(digest, expected)
            self._place(descriptor, self._upload_path(upload_id), digest)
        self._sync([digest])
        return digest, size

    def abort_upload(self, upload_id: str) -> None:
        """Forget the upload; idempotent."""
        with translated(self._root):
            self._upload_path(upload_id).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        _check_digest(digest)
        return self._root / digest[:2] / digest

    def _upload_path(self, upload_id: str) -> Path:
        if not _UPLOAD.fullmatch(upload_id):
            raise _no_upload(upload_id)
        return self._incoming / f"{upload_id}.upload"

    def _write(self, content: Content, expected: str | None) -> tuple[str, int]:
        path = self._incoming / f"{secrets.token_hex(16)}.part"
        with translated(self._root):
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            digest, size = write_hashed(chunks_of(content), descriptor, self._root)
            _refuse_other(digest, expected)
            self._place(descriptor, path, digest)
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)
        return digest, size

    def _place(self, descriptor: int, path: Path, digest: str) -> None:
        """Make a whole file durable and give it its name; ``_sync`` then makes the name durable."""
        target = self._path(digest)
        with translated(self._root):
            if self._use(digest):
                path.unlink()
                return
            os.fchmod(descriptor, 0o444)
            os.utime(descriptor)  # a resumed upload may have been written days ago
            os.fsync(descriptor)
            target.parent.mkdir(exist_ok=True)
            path.rename(target)

    def _use(self, digest: str) -> bool:
        """Note that a blob is used now and return whether there is one."""
        try:
            os.utime(self._path(digest))
        except FileNotFoundError:
            return False
        return True

    def _sync(self, digests: Iterable[str]) -> None:
        """Make names durable, also those another process has just given."""
        folders = {digest[:2] for digest in digests}
        with translated(self._root):
            for name in folders:
                sync_folder(self._root / name)
            if not folders <= self._durable_folders:
                sync_folder(self._root)
                self._durable_folders |= folders

    @contextmanager
    def _locked_upload(self, upload_id: str) -> Iterator[int]:
        try:
            descriptor = os.open(self._upload_path(upload_id), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise _no_upload(upload_id) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError(
                    "another request is writing this upload", hint="Try again when it ended."
                ) from error
            if not self._upload_path(upload_id).exists():
                raise _no_upload(upload_id)  # finished or aborted between opening and locking
            yield descriptor
        finally:
            os.close(descriptor)

    def _remove_abandoned(self, now: float) -> None:
        for path in self._incoming.iterdir():
            if path.suffix == _ASIDE:
                self._put_back(path)
                continue
            kept = _UPLOAD_KEPT_S if path.suffix == ".upload" else _PART_KEPT_S
            with suppress(OSError):  # in use by, or already removed by, another process
                if path.stat().st_mtime > now - kept:
                    continue
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                finally:
                    os.close(descriptor)

    def _put_back(self, aside: Path) -> None:
        """Give a blob its name again that a collection had set aside when it was killed."""
        target = self._path(aside.stem)
        with suppress(OSError):  # a collection in another process has just freed it
            if target.exists():
                aside.unlink()
            else:
                aside.rename(target)


def _stored(digest: str, status: os.stat_result) -> StoredBlob:
    return StoredBlob(digest, status.st_size, status.st_mtime_ns // 1_000_000)


def _chain(start: bytes, rest: BinaryIO) -> Iterator[bytes]:
    yield start
    while piece := rest.read(CHUNK):
        yield piece


def _check_digest(digest: str) -> None:
    if not _DIGEST.fullmatch(digest):
        raise UsageError(f'"{digest[:80]}" is not a SHA-256 digest', hint="Give 64 lower-case hex digits.")


def _refuse_other(digest: str, expected: str | None) -> None:
    if expected is not None and digest != expected:
        raise RefusedError(
            f"the content has the digest {digest}, not {expected}", hint="It was damaged on its way; send it again."
        )


def _no_blob(digest: str) -> NotFoundError:
    return NotFoundError(f"no blob with the digest {digest}", hint="Upload it first.", ref=f"blob:{digest}")


def _no_upload(upload_id: str) -> NotFoundError:
    return NotFoundError(f'no upload "{upload_id[:64]}"', hint="Start a new one.", ref=f"upload:{upload_id[:64]}")
