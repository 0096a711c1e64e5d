"""Say how far a download is, on a terminal only, and write the file at once or not at all."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.sdk.response import Response

EVERY_S = 0.2
ERASE_LINE = "\r\x1b[2K"


def save_with_progress(answer: Response, target: Path) -> int:
    """Write an answer's body to a file and return its size in bytes; a line says how much has come."""
    if not sys.stderr.isatty():
        return answer.save(target)
    pieces = answer.iter_bytes

    def counted() -> Iterator[bytes]:
        size, shown, started = 0, 0.0, time.monotonic()
        for piece in pieces():
            yield piece
            size += len(piece)
            now = time.monotonic()
            if now - shown > EVERY_S:
                shown = now
                rate = size / max(now - started, 0.001)
                sys.stderr.write(f"{ERASE_LINE}{target.name}: {size / 1e6:.1f} MB, {rate / 1e6:.1f} MB/s")
                sys.stderr.flush()
        sys.stderr.write(ERASE_LINE)

    answer.iter_bytes = counted  # type: ignore[method-assign] # what save() reads
    return answer.save(target)
