"""Turn what people call an image into the bytes of a PNG file.

Knows Pillow, numpy, PyTorch, TensorFlow and Matplotlib by what their objects can do, so it imports none of them.
"""

from __future__ import annotations

import io
import sys
from typing import Any, Sequence

from .png import encode_png


def picture_png(image: Any) -> bytes:
    """Return an image as a PNG file.

    Parameters
    ----------
    image : PIL image, Matplotlib figure or pyplot, array, tensor or nested list
        Arrays are (height, width) or (height, width, 1 to 4 channels): integers 0 to 255, floats 0 to 1, booleans;
        values outside are clipped, NaN is 0.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If an array has another shape.
    """
    if hasattr(image, "savefig"):
        buffer = io.BytesIO()
        image.savefig(buffer, format="png", bbox_inches="tight")
        return buffer.getvalue()
    if hasattr(image, "save") and hasattr(image, "mode") and hasattr(image, "size"):
        buffer = io.BytesIO()
        known = image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")
        (image if known else image.convert("RGB")).save(buffer, format="PNG")
        return buffer.getvalue()
    if hasattr(image, "detach"):
        image = image.detach().cpu()
    if not hasattr(image, "__array_interface__") and hasattr(image, "numpy"):
        image = image.numpy()
    if hasattr(image, "__array_interface__") and hasattr(image, "dtype"):
        return _array_png(image)
    if isinstance(image, (list, tuple)):
        return _list_png(image)
    raise TypeError(
        "an image is a Pillow image, a Matplotlib figure, an array, a nested list or a path, not %s"
        % type(image).__name__
    )


def _array_png(array: Any) -> bytes:
    kind = array.dtype.kind
    if kind == "f":
        array = (sys.modules["numpy"].nan_to_num(array.astype("float64")).clip(0, 1) * 255).round()
    elif kind == "b":
        array = array.astype("uint8") * 255
    elif kind not in "ui":
        raise TypeError("an image of %s cannot be drawn" % array.dtype)
    height, width, channels = _check_shape(array.shape)
    return encode_png(width, height, channels, array.clip(0, 255).astype("uint8").tobytes())


def _list_png(rows: Sequence[Any]) -> bytes:
    shape = [len(rows)]
    level: Any = rows
    while len(level) and isinstance(level[0], (list, tuple)):
        level = level[0]
        shape.append(len(level))
    flat = _flatten(rows, shape)
    height, width, channels = _check_shape(tuple(shape))
    if any(isinstance(value, float) for value in flat):
        scaled = [0.0 if value != value else min(max(value, 0.0), 1.0) * 255 for value in flat]
    else:
        scaled = [(255 if value else 0) if isinstance(value, bool) else min(max(value, 0), 255) for value in flat]
    return encode_png(width, height, channels, bytes(int(value + 0.5) for value in scaled))


def _flatten(values: Any, shape: list[int]) -> list[Any]:
    if not isinstance(values, (list, tuple)) or len(values) != shape[0]:
        raise ValueError("an image's rows must have equal lengths")
    if len(shape) > 1:
        return [value for part in values for value in _flatten(part, shape[1:])]
    if any(not isinstance(value, (int, float)) for value in values):
        raise TypeError("an image's values are numbers")
    return list(values)


def _check_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or not 1 <= shape[2] <= 4 or 0 in shape:
        raise ValueError("an image is (height, width) or (height, width, 1 to 4 channels), not %s" % (shape,))
    return shape[0], shape[1], shape[2]
