"""Draw a confusion matrix as a picture without any drawing library: coloured cells, counts, labels, axes, a scale."""

from __future__ import annotations

import math
from typing import Sequence

from .canvas import BLUE, DARK, GREY, PALE, WHITE, Canvas, mix, text_width
from .font import clipped

LEAST, LARGEST = 420, 940
SMALLEST_CELL = 12
"""Pixels; in smaller ones only every so many classes are labelled, and no counts are written."""
MAX_LABEL = 16
LINE, PAD = 20, 10
HATCH = (170, 60, 60)


def draw_matrix(matrix: Sequence[Sequence[float]], labels: Sequence[str] | None = None, title: str = "") -> bytes:
    """Return a PNG of a square matrix, rows the true classes.

    Each cell is shaded by its share of its row's sum, and has its count where that fits; one that is no number is
    struck out. Above stand the title and the share of all samples on the diagonal, below what the shades mean.
    """
    size = len(matrix)
    cell = max(2, min(max(44, -(-LEAST // size)), LARGEST // size))
    side = cell * size
    names = [clipped(name, MAX_LABEL) for name in labels or map(str, range(size))]
    scale = 2 if cell >= 18 else 1
    widest = max(text_width(name, scale) for name in names)
    are_upright = any(text_width(name, scale) > cell - 6 for name in names)
    left = PAD + LINE + 8 + widest + 8
    below = (widest + 12 if are_upright else LINE) + 2 * LINE
    heads = [line for line in (title, _summary(matrix)) if line]
    top = PAD + LINE * len(heads) + 6
    width = max(left + side, 2 * PAD + 300) + 2 * PAD
    canvas = Canvas(width, top + side + below + LINE + 2 * PAD)
    middle = left + side // 2
    for number, line in enumerate(heads):
        shown = clipped(line, (width - 2 * PAD) // 12)
        canvas.write(width // 2, PAD + LINE // 2 + LINE * number, shown, DARK if number == 0 else PALE)
    digits = _scale_of_counts(matrix, cell)
    for row, values in enumerate(matrix):
        total = math.fsum(value for value in values if math.isfinite(value) and value > 0) or 1.0
        for column, value in enumerate(values):
            _draw_cell(canvas, left + column * cell, top + row * cell, cell, value, value / total, digits)
    for edge in (0, side):
        canvas.fill(left, top + edge, side + 1, 1, GREY)
        canvas.fill(left + edge, top, 1, side + 1, GREY)
    every = -(-SMALLEST_CELL // cell)
    for position in range(0, size, every):
        centre = position * cell + cell // 2
        canvas.write(left - 8, top + centre, names[position], anchor=1.0, scale=scale)
        if are_upright:
            canvas.write_up(left + centre, top + side + 8, names[position], anchor=1.0, scale=scale)
        else:
            canvas.write(left + centre, top + side + LINE // 2, names[position], scale=scale)
    canvas.write_up(PAD + LINE // 2, top + side // 2, "True class")
    canvas.write(middle, top + side + below - LINE - 6, "Predicted class")
    _draw_scale(canvas, top + side + below + LINE // 2)
    return canvas.as_png()


def _draw_cell(canvas: Canvas, left: int, top: int, cell: int, value: float, share: float, scale: int) -> None:
    gap = 1 if cell > 4 else 0
    middle_x, middle_y = left + cell // 2, top + cell // 2
    if not math.isfinite(value):
        for offset in range(0, cell, 6):
            canvas.line((left + offset, top + gap), (left, top + offset), HATCH, 1)
            canvas.line((left + cell - 1, top + offset), (left + offset, top + cell - 1), HATCH, 1)
        if scale:
            width, height = text_width("nan", scale) + 4, 10 * scale
            canvas.fill(middle_x - width // 2, middle_y - height // 2, width, height, WHITE)
            canvas.write(middle_x, middle_y, "nan", scale=scale)
        return
    share = min(max(share, 0.0), 1.0)
    canvas.fill(left + gap, top + gap, cell - gap, cell - gap, mix(WHITE, BLUE, share))
    if scale:
        fitting = [text for text in _spellings(value) if text_width(text, scale) <= cell - 4]
        colour = WHITE if share > 0.5 else DARK if value else PALE
        canvas.write(middle_x, middle_y, (fitting or [""])[0], colour, scale=scale)


def _scale_of_counts(matrix: Sequence[Sequence[float]], cell: int) -> int:
    """Return the largest scale at which every count fits its cell in some spelling; 0 where none is written."""
    texts = {_spellings(value)[-1] if math.isfinite(value) else "nan" for row in matrix for value in row}
    widest = max(texts, key=len)
    if cell < SMALLEST_CELL:
        return 0
    return 2 if text_width(widest, 2) <= cell - 4 and cell >= 20 else 1


def _draw_scale(canvas: Canvas, y: int) -> None:
    """Say what the shades mean."""
    words, steps = ("share of the true class  0", "1"), 50
    left = (canvas.width - text_width(words[0], 1) - 2 * steps - 24) // 2
    canvas.write(left, y, words[0], PALE, anchor=0.0, scale=1)
    left += text_width(words[0], 1) + 6
    for step in range(steps):
        canvas.fill(left + 2 * step, y - 5, 2, 10, mix(WHITE, BLUE, step / (steps - 1)))
    canvas.fill(left, y - 5, 2 * steps, 1, GREY)
    canvas.fill(left, y + 5, 2 * steps, 1, GREY)
    canvas.write(left + 2 * steps + 6, y, words[1], PALE, anchor=0.0, scale=1)


def _summary(matrix: Sequence[Sequence[float]]) -> str:
    """Return the number of samples and the share that is on the diagonal, where the matrix holds counts."""
    values = [value for row in matrix for value in row]
    if not all(math.isfinite(value) and value >= 0 and value == int(value) for value in values):
        return ""
    total = sum(values)
    right = sum(row[number] for number, row in enumerate(matrix))
    return "%d samples, accuracy %.3f" % (total, right / total) if total else "0 samples"


def _spellings(value: float) -> list[str]:
    """Return a number from its most exact spelling to the shortest: ``12345``, ``12.3k``, ``12k``."""
    if value != int(value):
        return ["%.3g" % value, "%.2g" % value, "%.1g" % value]
    found = [str(int(value))]
    for letter, unit in (("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)):
        if unit <= abs(value) < 1000 * unit:
            found += ["%.1f%s" % (value / unit, letter), "%.0f%s" % (value / unit, letter)]
    return found if abs(value) < 1e15 else ["%.1e" % value, "%.0e" % value]


def square(matrix: Sequence[Sequence[object]]) -> list[list[float]]:
    """Return a matrix as lists of numbers; raises ValueError unless it is square and not empty."""
    rows = [[float(value) for value in row] for row in matrix]  # type: ignore[arg-type] # float itself refuses what is none
    if not rows or any(len(row) != len(rows) for row in rows):
        raise ValueError("a confusion matrix is square: one row and one column a class")
    return rows
