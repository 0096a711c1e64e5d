"""Read what the command wrote, in slices that start where the server's copy ends.

Offsets are bytes in the files, so the server can apply each slice exactly once. The files stay as they are. They are
the command's as much as ours: one that cannot be read, or became something else, has nothing more to say.
"""

from __future__ import annotations

import codecs
import os

from penstock.agent.notes import complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LOG_SLICE = 1 << 18
EVENT_SLICE = 1 << 18
MAX_LINE = 1 << 19
LEAST_SLICE = 1 << 12
SCAN = 1 << 20


class LogTail:
    """The command's output as text.

    Carriage returns stay: a progress bar rewrites its line in the reader's terminal too, and nothing waits for the end
    of a line. A character cut by the end of a slice waits for its other half; bytes that are no UTF-8 become lone
    surrogates, so ``text.encode("utf-8", "surrogateescape")`` is exactly what the command wrote.

    Attributes
    ----------
    limit : int
        The most bytes of a slice.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.limit = LOG_SLICE

    def size(self) -> int:
        """Return the bytes written so far."""
        return size_of(self._path)

    def read(self, offset: int, *, is_final: bool) -> tuple[str, int]:
        """Return (text, next offset) of at most ``limit`` bytes; ``is_final``: no more will be written."""
        data = read_at(self._path, offset, self.limit)
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        text = decoder.decode(data, final=is_final and len(data) < self.limit)
        pending = len(decoder.getstate()[0])
        return text, offset + len(data) - pending


class EventTail:
    """The shim's events, one JSON text a line; only whole lines, and only what the disk has.

    A line longer than ``max_line`` bytes is passed over, so that no report grows without bound. As JSON, a byte takes
    six at most: with a slice of the log beside it, a report stays under 5 MiB.

    Attributes
    ----------
    limit, max_line : int
        The most bytes of a slice, unless a single line is longer, and of a line.
    """

    def __init__(self, path: str, note: Callable[[str], None]) -> None:
        self._path = path
        self._note = note
        self._noted = -1
        self._scanned = (0, 0)
        self.limit = EVENT_SLICE
        self.max_line = MAX_LINE

    def size(self) -> int:
        """Return the bytes written so far."""
        return size_of(self._path)

    def read(self, offset: int, *, is_final: bool) -> tuple[list[str], int]:
        """Return (lines, next offset); with ``is_final`` a torn last line is passed over."""
        size = size_of(self._path)
        if size <= offset:
            return [], offset
        sync(self._path)
        data = read_at(self._path, offset, self.limit)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == self.limit:
            data = read_at(self._path, offset, self.max_line)
            end = data.find(b"\n") + 1
        if end:
            return [line.decode("utf-8", "replace") for line in data[:end].split(b"\n") if line.strip()], offset + end
        if len(data) >= self.max_line:
            return [], self._pass_over(offset, size, is_final)
        return [], offset + len(data) if is_final else offset

    def _pass_over(self, offset: int, size: int, is_final: bool) -> int:
        """Return where the line after the long one at ``offset`` starts, or ``offset`` while it has no end yet."""
        start, position = self._scanned
        position = position if start == offset and position > offset else offset
        while data := read_at(self._path, position, SCAN):
            found = data.find(b"\n") + 1
            position += found or len(data)
            if found:
                break
        else:
            self._scanned = (offset, position)
            if not is_final:
                return offset
        if self._noted != offset:
            self._noted = offset
            self._note(f"a logged line of {position - offset} bytes was left out: at most {self.max_line} are kept")
        return position


def size_of(path: str) -> int:
    """Return a file's size in bytes, 0 if there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def read_at(path: str, offset: int, limit: int) -> bytes:
    """Return at most ``limit`` bytes from ``offset``; nothing if there is no file or it ends before."""
    if size_of(path) <= offset:
        return b""
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            return file.read(limit) or b""
    except OSError:
        return b""


def sync(path: str) -> None:
    """Put a file's content on the disk, where that can be done."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        complain(f"{path} may not be on the disk: {error.strerror}")
    finally:
        os.close(descriptor)
