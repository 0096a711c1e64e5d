"""Draw a confusion matrix as a picture without any drawing library: coloured cells, counts, class numbers."""

from __future__ import annotations

from typing import Sequence

from .png import encode_png

Colour = tuple[int, int, int]

# 3 x 5 pixels a sign, one octal digit a row from the top.
FONT = {
    "0": 0o75557,
    "1": 0o26227,
    "2": 0o71747,
    "3": 0o71717,
    "4": 0o55711,
    "5": 0o74717,
    "6": 0o74757,
    "7": 0o71111,
    "8": 0o75757,
    "9": 0o75717,
    ".": 0o00002,
    "-": 0o00700,
    "k": 0o45655,
    "M": 0o57755,
}
SIGN_WIDTH, SIGN_HEIGHT, SCALE = 4, 5, 2
BLUE = (8, 81, 156)
DARK, LIGHT, WHITE = (40, 40, 40), (255, 255, 255), (255, 255, 255)
LARGEST = 1200


def draw_matrix(matrix: Sequence[Sequence[float]], labels: Sequence[str] | None = None) -> bytes:
    """Return a PNG of a square matrix, rows the true classes.

    Each row is shaded by its share of the row's sum. Counts are written where cells are large enough; the margins show
    the labels where they are numbers, else the classes' positions.
    """
    size = len(matrix)
    cell = max(2, min(44, LARGEST // size))
    signs = list(labels) if labels and all(set(label) <= set(FONT) for label in labels) else list(map(str, range(size)))
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
    return encode_png(canvas.width, canvas.height, 3, bytes(canvas.pixels))


class Canvas:
    """RGB pixels, white at first."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.pixels = bytearray(b"\xff") * (width * height * 3)

    def fill(self, left: int, top: int, width: int, height: int, colour: Colour) -> None:
        """Paint a rectangle; parts outside are left out."""
        left, right = max(0, left), min(self.width, left + width)
        row = bytes(colour) * max(0, right - left)
        for y in range(max(0, top), min(self.height, top + height)):
            start = (y * self.width + left) * 3
            self.pixels[start : start + len(row)] = row

    def write(self, middle_x: int, middle_y: int, text: str, colour: Colour) -> None:
        """Write signs of FONT around a point."""
        left = middle_x - (len(text) * SIGN_WIDTH - 1) * SCALE // 2
        top = middle_y - SIGN_HEIGHT * SCALE // 2
        for number, sign in enumerate(text):
            for row in range(SIGN_HEIGHT):
                bits = FONT[sign] >> 3 * (SIGN_HEIGHT - 1 - row) & 7
                for column in range(3):
                    if bits & 4 >> column:
                        x = left + (number * SIGN_WIDTH + column) * SCALE
                        self.fill(x, top + row * SCALE, SCALE, SCALE, colour)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour ``share`` of the way from ``first`` to ``second``."""
    red, green, blue = (round(first[n] + (second[n] - first[n]) * share) for n in range(3))
    return red, green, blue


def short(value: float) -> str:
    """Return a number in few signs: ``17``, ``0.25``, ``12k``."""
    if value != int(value):
        return "%.2f" % value if abs(value) < 100 else "%.0f" % value
    number = int(value)
    if abs(number) >= 10000000:
        return "%dM" % (number // 1000000)
    return "%dk" % (number // 1000) if abs(number) >= 10000 else str(number)


def square(matrix: Sequence[Sequence[object]]) -> list[list[float]]:
    """Return a matrix as lists of numbers; raises ValueError unless it is square and not empty."""
    rows = [[float(value) for value in row] for row in matrix]  # type: ignore[arg-type] # float itself refuses what is none
    if not rows or any(len(row) != len(rows) for row in rows):
        raise ValueError("a confusion matrix is square: one row and one column a class")
    return rows
