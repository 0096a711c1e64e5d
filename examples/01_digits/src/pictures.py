"""Draw a confusion matrix with Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CELL = 44
MARGIN = 64
INK = (23, 37, 63)
PAPER = (255, 255, 255)
RIGHT = np.array((36, 113, 163))
WRONG = np.array((203, 67, 53))


def draw_confusion_matrix(matrix: NDArray[np.int64], labels: Sequence[str]) -> Image.Image:
    """Return a picture of the matrix: a row per true class, a column per predicted one.

    Parameters
    ----------
    matrix : ndarray, shape (n, n), int64
        Counts.
    labels : sequence of str, length n
        Names of the classes.
    """
    size = MARGIN + CELL * len(labels) + 16
    picture = Image.new("RGB", (size, size), PAPER)
    draw = ImageDraw.Draw(picture)
    small, plain = ImageFont.load_default(13), ImageFont.load_default(15)
    middle = MARGIN + CELL * len(labels) / 2
    draw.text((middle, 16), "predicted", INK, plain, anchor="mm")
    draw.text((8, middle), "true", INK, plain, anchor="lm")
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    for row, label in enumerate(labels):
        center = MARGIN + CELL * row + CELL / 2
        draw.text((center, MARGIN - 14), label, INK, plain, anchor="mm")
        draw.text((MARGIN - 14, center), label, INK, plain, anchor="mm")
        for column, share in enumerate(shares[row]):
            left = MARGIN + CELL * column
            top = MARGIN + CELL * row
            tint = RIGHT if row == column else WRONG
            # A single mistake must stay visible beside a full diagonal.
            strength = share if row == column else min(1.0, 4 * share)
            color = tuple(int(value) for value in np.rint(255 + (tint - 255) * strength))
            draw.rectangle((left, top, left + CELL - 2, top + CELL - 2), fill=color, outline=(224, 228, 234))
            if count := int(matrix[row, column]):
                ink = PAPER if strength > 0.5 else INK
                draw.text((left + CELL / 2, top + CELL / 2), str(count), ink, small, anchor="mm")
    return picture
