"""Read what the command wrote, in slices that start where the server's copy ends.

Offsets are bytes in the files, so the server can apply each slice exactly once. The files stay as they are.
"""

from __future__ import annotations

import codecs
import os

LOG_SLICE = 1 << 18
EVENT_SLICE = 1 << 19


class LogTail:
    """The command's output as text.

    Carriage returns stay: a progress bar rewrites its line in the reader's terminal too, and nothing waits for the end
    of a line. A character cut by the end of a slice waits for its other half; bytes that are no UTF-8 become lone
    surrogates, so ``text.encode("utf-8", "surrogateescape")`` is exactly what the command wrote.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def size(self) -> int:
        """Return the bytes written so far."""
        return size_of(self._path)

    def read(self, offset: int, *, is_final: bool) -> tuple[str, int]:
        """Return (text, next offset) of at most LOG_SLICE bytes; ``is_final``: no more will be written."""
        data = read_at(self._path, offset, LOG_SLICE)
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        text = decoder.decode(data, final=is_final and len(data) < LOG_SLICE)
        pending = len(decoder.getstate()[0])
        return text, offset + len(data) - pending


class EventTail:
    """The shim's events, one JSON text a line; only whole lines, and only what the disk has."""

    def __init__(self, path: str) -> None:
        self._path = path

    def size(self) -> int:
        """Return the bytes written so far."""
        return size_of(self._path)

    def read(self, offset: int, *, is_final: bool) -> tuple[list[str], int]:
        """Return (lines, next offset); with ``is_final`` a torn last line is passed over."""
        if size_of(self._path) <= offset:
            return [], offset
        sync(self._path)
        limit = EVENT_SLICE
        while True:
            data = read_at(self._path, offset, limit)
            end = data.rfind(b"\n") + 1
            if end or len(data) < limit:
                break
            limit *= 2
        lines = [line.decode("utf-8", "replace") for line in data[:end].split(b"\n") if line.strip()]
        if is_final and len(data) < limit:
            end = len(data)
        return lines, offset + end


def size_of(path: str) -> int:
    """Return a file's size in bytes, 0 if there is none."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def read_at(path: str, offset: int, limit: int) -> bytes:
    """Return at most ``limit`` bytes from ``offset``; nothing if there is no file or it ends before."""
    if size_of(path) <= offset:
        return b""
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            return file.read(limit) or b""
    except FileNotFoundError:
        return b""


def sync(path: str) -> None:
    """Put a file's content on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
