"""Draw a confusion matrix as a picture without any drawing library: coloured cells, counts, class numbers."""

from __future__ import annotations

from typing import Sequence

from .canvas import BLUE, DARK, DIGITS, LIGHT, SCALE, SIGN_WIDTH, WHITE, Canvas, mix, short

LEAST, LARGEST = 480, 1200


def draw_matrix(matrix: Sequence[Sequence[float]], labels: Sequence[str] | None = None) -> bytes:
    """Return a PNG of a square matrix, rows the true classes.

    Each row is shaded by its share of the row's sum. Counts are written where cells are large enough; the margins show
    the labels where they are numbers, else the classes' positions.
    """
    size = len(matrix)
    cell = max(2, min(max(44, -(-LEAST // size)), LARGEST // size))
    are_numbers = bool(labels) and all(set(label) <= DIGITS for label in labels or ())
    signs = list(labels or ()) if are_numbers else list(map(str, range(size)))
    margin = 8 + max(map(len, signs)) * SIGN_WIDTH * SCALE if cell >= 12 else 0
    canvas = Canvas(margin + size * cell + 1, margin + size * cell + 1)
    for row, values in enumerate(matrix):
        total = sum(values) or 1
        for column, value in enumerate(values):
            share = min(max(value / total, 0.0), 1.0)
            left, top = margin + column * cell, margin + row * cell
            canvas.fill(left + 1, top + 1, cell - 1, cell - 1, mix(WHITE, BLUE, share))
            text = short(value)
            if value and len(text) * SIGN_WIDTH * SCALE <= cell - 4:
                canvas.write(left + cell // 2, top + cell // 2, text, LIGHT if share > 0.5 else DARK)
    if margin:
        for position, sign in enumerate(signs):
            middle = margin + position * cell + cell // 2
            canvas.write(middle, margin // 2, sign, DARK)
            canvas.write(margin // 2, middle, sign, DARK)
    return canvas.as_png()


def square(matrix: Sequence[Sequence[object]]) -> list[list[float]]:
    """Return a matrix as lists of numbers; raises ValueError unless it is square and not empty."""
    rows = [[float(value) for value in row] for row in matrix]  # type: ignore[arg-type] # float itself refuses what is none
    if not rows or any(len(row) != len(rows) for row in rows):
        raise ValueError("a confusion matrix is square: one row and one column a class")
    return rows
