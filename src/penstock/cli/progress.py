"""Say how far a download is, on a terminal only, and write the file at once or not at all."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.cli.output import human_size

if TYPE_CHECKING:
    from penstock.sdk.response import Response

EVERY_S = 0.2
BAR_WIDTH = 20
ERASE_LINE = "\r\x1b[2K"


def save_with_progress(answer: Response, target: Path) -> int:
    """Write an answer's body to a file and return its size in bytes; a line says how much has come."""
    if not sys.stderr.isatty():
        return answer.save(target)
    line = _Line(target.name)
    size = 0

    def count(piece: int) -> None:
        nonlocal size
        size += piece
        line.show(size, None)

    try:
        return answer.save(target, on_piece=count)
    finally:
        line.erase()


@contextmanager
def file_progress() -> Iterator[Callable[[int, int], None] | None]:
    """Yield what shows how much of several files has come, None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    line = _Line("Downloading")
    try:
        yield line.show
    finally:
        line.erase()


class _Line:
    """One line that is written over again, a few times a second at most."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._shown, self._started = 0.0, time.monotonic()

    def show(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._shown <= EVERY_S:
            return
        self._shown = now
        rate = human_size(done / max(now - self._started, 0.001))
        if total is None:
            text = f"{self._name}: {human_size(done)}"
        else:
            filled = BAR_WIDTH * done // max(total, 1)
            bar = "█" * filled + "░" * (BAR_WIDTH - filled)
            text = f"{self._name} {bar} {human_size(done)} of {human_size(total)}"
        sys.stderr.write(f"{ERASE_LINE}{text}, {rate}/s")
        sys.stderr.flush()

    def erase(self) -> None:
        sys.stderr.write(ERASE_LINE)
        sys.stderr.flush()
