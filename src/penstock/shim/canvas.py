"""RGB pixels to draw on with rectangles, lines and small signs, without any drawing library."""

from __future__ import annotations

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
    "+": 0o02720,
    "k": 0o45655,
    "A": 0o25755,
    "C": 0o34443,
    "D": 0o65556,
    "E": 0o74647,
    "I": 0o72227,
    "L": 0o44447,
    "M": 0o57755,
    "N": 0o65555,
    "O": 0o25552,
    "P": 0o65644,
    "R": 0o65655,
    "S": 0o34216,
    "T": 0o72222,
    "U": 0o55557,
    " ": 0o00000,
}
DIGITS = frozenset("0123456789.-kM")
SIGN_WIDTH, SIGN_HEIGHT, SCALE = 4, 5, 2
BLUE = (8, 81, 156)
DARK, LIGHT, WHITE, GREY = (40, 40, 40), (255, 255, 255), (255, 255, 255), (205, 205, 205)


class Canvas:
    """RGB pixels, white at first; what lies outside is left out."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.pixels = bytearray(b"\xff") * (width * height * 3)

    def fill(self, left: int, top: int, width: int, height: int, colour: Colour) -> None:
        """Paint a rectangle."""
        left, right = max(0, left), min(self.width, left + width)
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

    def write(self, middle_x: int, middle_y: int, text: str, colour: Colour = DARK) -> None:
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

    def as_png(self) -> bytes:
        """Return the picture as a PNG file."""
        return encode_png(self.width, self.height, 3, bytes(self.pixels))


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
