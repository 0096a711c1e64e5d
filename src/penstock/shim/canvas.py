"""RGB pixels to draw on with rectangles, lines and texts, without any drawing library."""

from __future__ import annotations

from .font import HEIGHT, WIDTH, columns_of, plain_text
from .png import encode_png

Colour = tuple[int, int, int]

ADVANCE = WIDTH + 1
BLUE = (8, 81, 156)
DARK, WHITE, GREY, PALE = (40, 40, 40), (255, 255, 255), (205, 205, 205), (120, 120, 120)


class Canvas:
    """RGB pixels, white at first; what lies outside is left out."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.pixels = bytearray(b"\xff") * (width * height * 3)

    def fill(self, left: int, top: int, width: int, height: int, colour: Colour) -> None:
        """Paint a rectangle."""
        right, left = min(self.width, left + width), max(0, left)
        row = bytes(colour) * max(0, right - left)
        for y in range(max(0, top), min(self.height, top + height)):
            start = (y * self.width + left) * 3
            self.pixels[start : start + len(row)] = row

    def line(self, start: tuple[int, int], end: tuple[int, int], colour: Colour, thickness: int = 2) -> None:
        """Draw a straight line between two points (x, y)."""
        (x, y), (to_x, to_y) = start, end
        steps = max(abs(to_x - x), abs(to_y - y), 1)
        for step in range(steps + 1):
            column = x + round((to_x - x) * step / steps)
            row = y + round((to_y - y) * step / steps)
            self.fill(column - thickness // 2, row - thickness // 2, thickness, thickness, colour)

    def write(self, x: int, y: int, text: str, colour: Colour = DARK, *, anchor: float = 0.5, scale: int = 2) -> None:
        """Write a text whose middle is at height ``y``; ``anchor`` is the share of it that lies left of ``x``."""
        left, top = x - round(text_width(text, scale) * anchor), y - HEIGHT * scale // 2
        for number, sign in enumerate(plain_text(text)):
            for column, bits in enumerate(columns_of(sign)):
                for row in range(HEIGHT + 1):
                    if bits >> row & 1:
                        across = left + (number * ADVANCE + column) * scale
                        self.fill(across, top + row * scale, scale, scale, colour)

    def write_up(
        self, x: int, y: int, text: str, colour: Colour = DARK, *, anchor: float = 0.5, scale: int = 2
    ) -> None:
        """Write a text from the bottom to the top, its middle at ``x``; ``anchor`` is the share of it below ``y``."""
        left, bottom = x - HEIGHT * scale // 2, y + round(text_width(text, scale) * anchor)
        for number, sign in enumerate(plain_text(text)):
            for column, bits in enumerate(columns_of(sign)):
                for row in range(HEIGHT + 1):
                    if bits >> row & 1:
                        up = bottom - (number * ADVANCE + column + 1) * scale
                        self.fill(left + row * scale, up, scale, scale, colour)

    def as_png(self) -> bytes:
        """Return the picture as a PNG file."""
        return encode_png(self.width, self.height, 3, bytes(self.pixels))


def text_width(text: str, scale: int = 2) -> int:
    """Return how many pixels a text takes."""
    return max(len(plain_text(text)) * ADVANCE - 1, 0) * scale


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour ``share`` of the way from ``first`` to ``second``."""
    red, green, blue = (round(first[n] + (second[n] - first[n]) * share) for n in range(3))
    return red, green, blue
