"""Draw curves, bars and points with error bars between two named axes, without any drawing library."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

from .canvas import ADVANCE, BLUE, DARK, GREY, PALE, WHITE, Canvas, Colour, mix, text_width
from .font import clipped

SIDE, LEFT, ABOVE, BELOW, RIGHT = 360, 136, 56, 68, 52
LINE, MAX_LABEL = 20, 28
SERIES: tuple[Colour, ...] = (
    (31, 119, 180),
    (255, 127, 14),
    (44, 160, 44),
    (214, 39, 40),
    (148, 103, 189),
    (140, 86, 75),
    (227, 119, 194),
    (127, 127, 127),
    (188, 189, 34),
    (23, 190, 207),
)
MAX_CURVES = 50
LIGHT_BLUE = mix(BLUE, WHITE, 0.45)
Points = Sequence[tuple[float, float]]
Ends = tuple[float, float]
Legend = Sequence[tuple[str, Colour]]


@dataclass(frozen=True)
class Panel:
    """A square with curves in it: what it is, what its axes are, and a curve a series."""

    title: str
    across: str
    up: str
    curves: Sequence[Points]
    has_chance_line: bool = False


class Axes:
    """A square of a canvas and the ranges of numbers it shows."""

    def __init__(
        self, canvas: Canvas, left: int, xs: Ends, ys: Ends, *, title: str, across: str, up: str, below: int = ABOVE
    ) -> None:
        self._canvas = canvas
        self._left, self._top = left + LEFT, below
        self._xs, self._ys = _wide(xs), _wide(ys)
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            x, y = self._left + round(SIDE * share), self._top + SIDE - round(SIDE * share)
            canvas.fill(x, self._top, 1, SIDE, GREY)
            canvas.fill(self._left, y, SIDE, 1, GREY)
            if share in (0.0, 0.5, 1.0):
                canvas.write(x, self._top + SIDE + 18, tick(_at(self._xs, share)))
                canvas.write(self._left - 10, y, tick(_at(self._ys, share)), anchor=1.0)
        canvas.write(self._left + SIDE // 2, self._top - 14, clipped(title, SIDE // (2 * ADVANCE)))
        canvas.write(self._left + SIDE // 2, self._top + SIDE + 44, across)
        canvas.write_up(left + 14, self._top + SIDE // 2, up)

    def place(self, x: float, y: float) -> tuple[int, int]:
        """Return the pixel of a point; what is outside lies on the edge."""
        across = min(max((x - self._xs[0]) / (self._xs[1] - self._xs[0]), 0.0), 1.0)
        up = min(max((y - self._ys[0]) / (self._ys[1] - self._ys[0]), 0.0), 1.0)
        return self._left + round(SIDE * across), self._top + SIDE - round(SIDE * up)

    def curve(self, points: Points, colour: Colour, thickness: int = 2) -> None:
        """Join points by straight lines; what is no number is left out."""
        places = [self.place(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        for start, end in zip(places, places[1:]):
            if start != end:
                self._canvas.line(start, end, colour, thickness)

    def bar(self, left: float, right: float, height: float) -> None:
        """Draw a bar from the lower edge."""
        (x, top), (to_x, _) = self.place(left, height), self.place(right, height)
        self._canvas.fill(x + 1, top, max(1, to_x - x - 1), self._top + SIDE - top, LIGHT_BLUE)

    def mark(self, x: float, colour: Colour = DARK) -> None:
        """Draw a line up at a place of the lower axis, if it shows it."""
        if self._xs[0] <= x <= self._xs[1]:
            self._canvas.line(self.place(x, self._ys[0]), self.place(x, self._ys[1]), colour, 1)

    def point(self, x: float, y: float, error: float) -> None:
        """Draw a point with a bar of its error up and down."""
        column, row = self.place(x, y)
        (_, low), (_, high) = self.place(x, y - error), self.place(x, y + error)
        self._canvas.line((column, low), (column, high), LIGHT_BLUE, 2)
        for end in (low, high):
            self._canvas.fill(column - 4, end - 1, 9, 2, LIGHT_BLUE)
        self._canvas.fill(column - 3, row - 3, 7, 7, BLUE)


def draw_curves(panels: Sequence[Panel], legend: Sequence[str], title: str = "") -> bytes:
    """Return a PNG of panels side by side, both axes from 0 to 1; all have the series that the legend names."""
    width = (LEFT + SIDE + RIGHT) * len(panels)
    shown = [
        (clipped(label, MAX_LABEL), SERIES[index % len(SERIES)]) for index, label in enumerate(legend[:MAX_CURVES])
    ]
    if len(legend) > MAX_CURVES:
        shown.append(("and %d more" % (len(legend) - MAX_CURVES), WHITE))
    head = ABOVE + LINE
    canvas = Canvas(width, head + SIDE + BELOW + _legend_height(shown, width))
    canvas.write(width // 2, LINE, clipped(title, width // (2 * ADVANCE) - 2))
    for number, panel in enumerate(panels):
        left = number * (LEFT + SIDE + RIGHT)
        ends = (0.0, 1.0)
        axes = Axes(canvas, left, ends, ends, title=panel.title, across=panel.across, up=panel.up, below=head)
        if panel.has_chance_line:
            axes.curve([(0.0, 0.0), (1.0, 1.0)], PALE, 1)
        for index, points in enumerate(panel.curves[:MAX_CURVES]):
            axes.curve(points, SERIES[index % len(SERIES)])
    _draw_legend(canvas, head + SIDE + BELOW, shown)
    return canvas.as_png()


def draw_bars(edges: Sequence[float], counts: Sequence[float], title: str = "") -> bytes:
    """Return a PNG of a histogram of residuals; a dark line stands at zero."""
    canvas = Canvas(LEFT + SIDE + RIGHT, ABOVE + SIDE + BELOW)
    tallest = max((count for count in counts if math.isfinite(count)), default=1.0)
    ends = (0.0, tallest if tallest > 0 else 1.0)
    axes = Axes(canvas, 0, (edges[0], edges[-1]), ends, title=title, across="True - predicted", up="Samples")
    for left, right, count in zip(edges, edges[1:], counts):
        if count > 0 and math.isfinite(left) and math.isfinite(right):
            axes.bar(left, right, count)
    axes.mark(0.0)
    return canvas.as_png()


def draw_predictions(
    edges: Sequence[float],
    averages: Sequence[float],
    errors: Sequence[float],
    counts: Sequence[float],
    title: str = "",
) -> bytes:
    """Return a PNG of the average prediction in bins of the true value, beside the line of perfect ones."""
    legend = [("mean +- std of a bin", BLUE), ("perfect", DARK)]
    width = LEFT + SIDE + RIGHT
    canvas = Canvas(width, ABOVE + SIDE + BELOW + _legend_height(legend, width))
    shown = [
        ((left + right) / 2, average, error if math.isfinite(error) else 0.0)
        for left, right, average, error, count in zip(edges, edges[1:], averages, errors, counts)
        if count > 0 and math.isfinite(average) and math.isfinite(left) and math.isfinite(right)
    ]
    low = min([edges[0], *(average - error for _, average, error in shown)])
    high = max([edges[-1], *(average + error for _, average, error in shown)])
    axes = Axes(canvas, 0, (edges[0], edges[-1]), (low, high), title=title, across="True value", up="Predicted value")
    axes.curve([(edges[0], edges[0]), (edges[-1], edges[-1])], DARK, 1)
    for middle, average, error in shown:
        axes.point(middle, average, error)
    _draw_legend(canvas, ABOVE + SIDE + BELOW, legend)
    return canvas.as_png()


def area(points: Points) -> float:
    """Return the area below a curve by the trapezoid rule, whatever direction it runs in."""
    return abs(math.fsum((x - to_x) * (y + to_y) / 2 for (x, y), (to_x, to_y) in zip(points, points[1:])))


def tick(value: float) -> str:
    """Return a number for an axis in at most three digits and nine signs."""
    text = "%.3g" % value
    if len(text) > 7 and "e" not in text:
        text = "%.2e" % value
    return text.replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")


def _cell_width(legend: Legend) -> int:
    return 30 + max((text_width(label) for label, _ in legend), default=0) + 14


def _rows(legend: Legend, width: int) -> tuple[int, int]:
    columns = max(1, (width - 40) // _cell_width(legend))
    return -(-len(legend) // columns), columns


def _legend_height(legend: Legend, width: int) -> int:
    return _rows(legend, width)[0] * LINE + 10 if legend else 0


def _draw_legend(canvas: Canvas, top: int, legend: Legend) -> None:
    """Write series by series in as many columns as fit, each beside its colour."""
    _, columns = _rows(legend, canvas.width)
    cell = _cell_width(legend)
    start = max(10, (canvas.width - cell * min(columns, len(legend))) // 2)
    for index, (label, colour) in enumerate(legend):
        row, column = divmod(index, columns)
        left, middle = start + column * cell, top + row * LINE + LINE // 2
        canvas.fill(left, middle - 2, 22, 5, colour)
        canvas.write(left + 30, middle, label, anchor=0.0)


def _wide(ends: Ends) -> Ends:
    low, high = ends
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _at(ends: Ends, share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share
