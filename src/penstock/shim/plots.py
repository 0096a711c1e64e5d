"""Draw curves, bars and points with error bars between two axes, without any drawing library."""

from __future__ import annotations

import math
from typing import Sequence

from .canvas import BLUE, DARK, GREY, SCALE, SIGN_WIDTH, Canvas, Colour, mix

SIDE, LEFT, ABOVE, BELOW, RIGHT = 300, 62, 26, 30, 22
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
Points = Sequence[tuple[float, float]]


class Axes:
    """A square of a canvas and the ranges of numbers it shows; ``title`` is written in signs of the font."""

    def __init__(
        self, canvas: Canvas, left: int, xs: tuple[float, float], ys: tuple[float, float], title: str = ""
    ) -> None:
        self._canvas = canvas
        self._left = left + LEFT
        self._xs, self._ys = _wide(xs), _wide(ys)
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            x, y = self._left + round(SIDE * share), ABOVE + SIDE - round(SIDE * share)
            canvas.fill(x, ABOVE, 1, SIDE, GREY)
            canvas.fill(self._left, y, SIDE, 1, GREY)
            if share in (0.0, 0.5, 1.0):
                canvas.write(x, ABOVE + SIDE + BELOW // 2, tick(_at(self._xs, share)))
                text = tick(_at(self._ys, share))
                canvas.write(self._left - 6 - len(text) * SIGN_WIDTH * SCALE // 2, y, text)
        canvas.write(self._left + SIDE // 2, ABOVE // 2, title)

    def place(self, x: float, y: float) -> tuple[int, int]:
        """Return the pixel of a point; what is outside lies on the edge."""
        across = min(max((x - self._xs[0]) / (self._xs[1] - self._xs[0]), 0.0), 1.0)
        up = min(max((y - self._ys[0]) / (self._ys[1] - self._ys[0]), 0.0), 1.0)
        return self._left + round(SIDE * across), ABOVE + SIDE - round(SIDE * up)

    def curve(self, points: Points, colour: Colour, thickness: int = 2) -> None:
        """Join points by straight lines."""
        places = [self.place(x, y) for x, y in points]
        for start, end in zip(places, places[1:]):
            if start != end:
                self._canvas.line(start, end, colour, thickness)

    def bar(self, left: float, right: float, height: float) -> None:
        """Draw a bar from the lower edge."""
        (x, top), (to_x, _) = self.place(left, height), self.place(right, height)
        self._canvas.fill(x + 1, top, max(1, to_x - x - 1), ABOVE + SIDE - top, mix(BLUE, (255, 255, 255), 0.35))

    def point(self, x: float, y: float, error: float) -> None:
        """Draw a point with a bar of its error up and down."""
        column, row = self.place(x, y)
        self._canvas.line(self.place(x, y - error), self.place(x, y + error), mix(BLUE, (255, 255, 255), 0.5), 2)
        self._canvas.fill(column - 3, row - 3, 7, 7, BLUE)


def draw_curves(panels: Sequence[tuple[str, Sequence[Points]]]) -> bytes:
    """Return a PNG of panels side by side, both axes from 0 to 1: (title, curves), a colour a curve."""
    width = LEFT + SIDE + RIGHT
    canvas = Canvas(width * len(panels), ABOVE + SIDE + BELOW)
    for number, (title, curves) in enumerate(panels):
        axes = Axes(canvas, number * width, (0.0, 1.0), (0.0, 1.0), title)
        for index, points in enumerate(curves[:MAX_CURVES]):
            axes.curve(points, SERIES[index % len(SERIES)])
    return canvas.as_png()


def draw_bars(edges: Sequence[float], counts: Sequence[float]) -> bytes:
    """Return a PNG of a histogram."""
    canvas = Canvas(LEFT + SIDE + RIGHT, ABOVE + SIDE + BELOW)
    axes = Axes(canvas, 0, (edges[0], edges[-1]), (0.0, max(counts, default=1.0) or 1.0), "RESIDUALS")
    for left, right, count in zip(edges, edges[1:], counts):
        if count > 0:
            axes.bar(left, right, count)
    return canvas.as_png()


def draw_predictions(
    edges: Sequence[float], averages: Sequence[float], errors: Sequence[float], counts: Sequence[float]
) -> bytes:
    """Return a PNG of the average prediction in bins of the true value, beside the line of perfect ones."""
    canvas = Canvas(LEFT + SIDE + RIGHT, ABOVE + SIDE + BELOW)
    shown = [
        ((left + right) / 2, average, error if math.isfinite(error) else 0.0)
        for left, right, average, error, count in zip(edges, edges[1:], averages, errors, counts)
        if count > 0 and math.isfinite(average)
    ]
    low = min([edges[0], *(average - error for _, average, error in shown)])
    high = max([edges[-1], *(average + error for _, average, error in shown)])
    axes = Axes(canvas, 0, (edges[0], edges[-1]), (low, high), "PREDICTED ON TRUE")
    axes.curve([(edges[0], edges[0]), (edges[-1], edges[-1])], DARK, 1)
    for middle, average, error in shown:
        axes.point(middle, average, error)
    return canvas.as_png()


def tick(value: float) -> str:
    """Return a number for an axis: three digits, ``1.5E+06``."""
    return ("%.3g" % value).upper().replace("INF", "-").replace("NAN", "-")


def _wide(ends: tuple[float, float]) -> tuple[float, float]:
    low, high = ends
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _at(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share
