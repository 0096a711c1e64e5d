"""Pictures made of letters: a curve for a terminal, and one line of it for a table."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = "_.-=+*#@"
# The eight dots of a braille letter, by (row, column).
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BRAILLE = 0x2800
_LABEL_WIDTH = 10

Point = tuple[float, float]


def sparkline(values: Sequence[float], width: int = 24, *, unicode: bool | None = None) -> str:
    """Return values as a row of bars, the lowest at the bottom; what is no number is a gap."""
    shown = _spread(values, width)
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    bars = _BARS if _is_unicode(unicode) else _PLAIN_BARS
    scale = (len(bars) - 1) / (high - low) if high > low else 0.0
    return "".join(bars[round((value - low) * scale)] if math.isfinite(value) else " " for value in shown)


def draw(points: Sequence[Point], *, width: int = 72, height: int = 14, unicode: bool | None = None) -> list[str]:
    """Return the lines of a curve with its axes; points are (x, y), in the order of x.

    Parameters
    ----------
    width, height : int
        Of the picture in letters, its labels among them.
    """
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not finite:
        return ["(nothing to draw: no value is a number)"]
    is_unicode = _is_unicode(unicode)
    columns, rows = max(8, width - _LABEL_WIDTH - 2), max(3, height - 2)
    across, down = (2, 4) if is_unicode else (1, 1)
    left, right = min(x for x, _ in finite), max(x for x, _ in finite)
    bottom, top = min(y for _, y in finite), max(y for _, y in finite)
    cells = [[0] * columns for _ in range(rows)]
    last: tuple[int, int] | None = None
    for x, y in finite:
        column = _place(x, left, right, columns * across)
        row = rows * down - 1 - _place(y, bottom, top, rows * down)
        for dot_column, dot_row in _line(last or (column, row), (column, row)):
            cell = cells[dot_row // down]
            cell[dot_column // across] |= _DOTS[dot_row % down][dot_column % across] if is_unicode else 1
        last = column, row
    bar, corner, dash = ("│", "└", "─") if is_unicode else ("|", "+", "-")
    lines = []
    for index, line in enumerate(cells):
        share = index / (rows - 1)
        label = f"{top - share * (top - bottom):.4g}" if index in {0, rows // 2, rows - 1} else ""
        text = "".join((chr(_BRAILLE + cell) if cell else " ") if is_unicode else " *"[cell] for cell in line)
        lines.append(f"{label:>{_LABEL_WIDTH}} {bar}{text}".rstrip())
    ends = f"{left:g}", f"{right:g}"
    lines.append(" " * (_LABEL_WIDTH + 1) + corner + dash * columns)
    lines.append(" " * (_LABEL_WIDTH + 2) + ends[0] + ends[1].rjust(columns - len(ends[0])))
    return lines


def _spread(values: Sequence[float], width: int) -> list[float]:
    """Return at most ``width`` of the values, evenly apart, the last among them."""
    if len(values) <= width:
        return list(values)
    return [values[round(index * (len(values) - 1) / (width - 1))] for index in range(width)]


def _place(value: float, low: float, high: float, size: int) -> int:
    return size // 2 if high <= low else min(size - 1, int((value - low) / (high - low) * size))


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the dots between two, both included."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (start[0] + round(step * (end[0] - start[0]) / steps), start[1] + round(step * (end[1] - start[1]) / steps))
        for step in range(steps + 1)
    ]


def _is_unicode(wanted: bool | None) -> bool:
    if wanted is not None:
        return wanted
    return (sys.stdout.encoding or "").lower().replace("-", "") in {"utf8", "utf16"}
