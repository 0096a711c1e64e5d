"""The log files of processes that run for long: room for more, and their last lines.

Imports the standard library alone, as the supervisor reads its children's logs with it too.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

MAX_LOG_BYTES = 10 * 2**20


def rotate_log(log: Path) -> int:
    """Make room for a process's log and return the offset at which its part begins."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        size = log.stat().st_size
        if size < MAX_LOG_BYTES:
            return size
        log.replace(log.with_name(f"{log.name}.1"))
    return 0


def add_line(log: Path, text: str) -> None:
    """Write a line of ours into a process's log, if that can be written."""
    with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} penstock: {text}\n")


def read_tail(log: Path, offset: int = 0, *, max_bytes: int = 4096, max_lines: int = 20) -> str:
    """Return the last lines that a log holds after ``offset``."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(offset, size - max_bytes))
        return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-max_lines:])
    return ""


def read_after(log: Path, offset: int, *, max_bytes: int = 1 << 20) -> tuple[str, int]:
    """Return the whole lines that a log got since it was ``offset`` bytes long, and how long it is with them.

    A log that is shorter by now was begun anew, and is read from its beginning.
    """
    with contextlib.suppress(OSError), log.open("rb") as file:
        if file.seek(0, os.SEEK_END) < offset:
            offset = 0
        file.seek(offset)
        content = file.read(max_bytes)
        end = len(content) if len(content) == max_bytes else content.rfind(b"\n") + 1
        return content[:end].decode("utf-8", "replace"), offset + end
    return "", 0


def length(log: Path) -> int:
    """Return how many bytes a log has."""
    with contextlib.suppress(OSError):
        return log.stat().st_size
    return 0
