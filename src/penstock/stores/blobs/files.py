"""Writing files so that they stay: chunks, digests, fsync, and the disk's errors in one sentence."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from penstock.entities.errors import OutOfSpaceError, UnavailableError

CHUNK = 1 << 18
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST})


@contextmanager
def translated(place: Path) -> Iterator[None]:
    """Turn the errors of writing under ``place`` into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise OutOfSpaceError(
                f"the disk under {place} is full", hint="Free space there or move the workspace; nothing was kept."
            ) from error
        if error.errno in _REFUSED:
            raise UnavailableError(
                f"{place} cannot be written: {error.strerror}", hint="Check the owner and mode of the folder."
            ) from error
        if error.errno == errno.EIO:
            raise UnavailableError(
                f"writing under {place} failed: {error.strerror}", hint="Check the disk; nothing was kept."
            ) from error
        raise


def chunks_of(content: bytes | BinaryIO | Iterable[bytes]) -> Iterator[bytes | memoryview]:
    """Yield content in pieces, whatever form it comes in."""
    if isinstance(content, bytes | bytearray | memoryview):
        view = memoryview(content)
        yield from (view[start : start + CHUNK] for start in range(0, len(view), CHUNK))
    elif hasattr(content, "read"):
        while piece := content.read(CHUNK):
            yield piece
    else:
        yield from content


def write_hashed(content: Iterable[bytes | memoryview], descriptor: int, place: Path) -> tuple[str, int]:
    """Write content to a file and return (sha256 hex, size in bytes) of what was written."""
    digest = hashlib.sha256()
    size = 0
    for piece in content:
        digest.update(piece)
        with translated(place):
            write_all(descriptor, piece)
        size += len(piece)
    return digest.hexdigest(), size


def write_all(descriptor: int, piece: bytes | memoryview) -> None:
    """Write all of a piece; the system may take it in parts."""
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


def append(descriptor: int, length: int, content: Iterable[bytes | memoryview], place: Path) -> int:
    """Append to a file of ``length`` bytes, make it durable, return its new length.

    A stream that breaks off leaves what arrived; a full disk leaves the file as it was.
    """
    end = length
    os.lseek(descriptor, length, os.SEEK_SET)
    try:
        for piece in content:
            with translated(place):
                write_all(descriptor, piece)
            end += len(piece)
    except OutOfSpaceError:
        os.ftruncate(descriptor, length)
        raise
    finally:
        with translated(place):
            os.fsync(descriptor)
    return end


def hash_descriptor(descriptor: int) -> tuple[str, int]:
    """Return (sha256 hex, size in bytes) of an open file, from its start."""
    digest = hashlib.sha256()
    size = 0
    while piece := os.pread(descriptor, CHUNK * 4, size):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def read_range(path: Path, start: int, stop: int, chunk: int) -> Iterator[bytes]:
    """Yield the bytes ``[start, stop)`` of a file; it is opened with the first chunk."""
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while start < stop and (piece := file.read(min(chunk, stop - start))):
            start += len(piece)
            yield piece


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
