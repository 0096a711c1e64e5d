"""The decoder ``fast``: JPEG by libjpeg-turbo (simplejpeg), resizing by OpenCV; the extra ``fast-images`` brings both.

What it does is defined, not only quick: shrinking averages over areas (``INTER_AREA``), enlarging interpolates as was
asked for. A JPEG at least four times as large as needed is decoded to a smaller one, still twice the size, by its
own transform. Other formats, and JPEGs in CMYK or with damage, are decoded by Pillow.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from penstock.entities.image import ImagePreprocessing, Pad, Resize
from penstock.inference.images.classic import colour_of
from penstock.inference.images.reading import (
    check_pixels,
    crop_box,
    open_image,
    read_orientation,
    to_mode,
    to_upright,
)
from penstock.plugins import load_module
from penstock.rules.pictures import Size, place, resized

Pixels = npt.NDArray[np.uint8]
EXTRA = "fast-images"
_JPEG_START = b"\xff\xd8\xff"
_KNOWN_COLOURS = {"YCbCr", "Gray", "RGB"}
_SCALED_FROM, _SCALED_TO = 4, 2
_TURNED = {5, 6, 7, 8}
_METHODS = {
    "nearest": "INTER_NEAREST_EXACT",
    "box": "INTER_NEAREST_EXACT",
    "bilinear": "INTER_LINEAR",
    "hamming": "INTER_LINEAR",
    "bicubic": "INTER_CUBIC",
    "lanczos": "INTER_LANCZOS4",
}


def load_fast() -> None:
    """Import both libraries; OpenCV uses one thread, as the replica has one per core.

    Raises
    ------
    MissingPartError
        If one of them is not installed.
    """
    load_module("simplejpeg", extra=EXTRA)
    load_module("cv2", extra=EXTRA).setNumThreads(1)


def read_pixels(image: Any, preprocessing: ImagePreprocessing) -> Pixels:
    """Return a picture after the steps up to the crop: (height, width) or, RGB, (height, width, 3)."""
    if isinstance(image, str | PathLike):
        image = Path(image).read_bytes()
    resize = preprocessing.resizing
    pixels = None
    if isinstance(image, bytes | bytearray | memoryview) and bytes(image[:3]) == _JPEG_START:
        pixels = _decode_jpeg(bytes(image), preprocessing, resize)
    if pixels is None:
        pixels = _open(image, preprocessing)
    if resize is not None:
        pixels = _resize(pixels, resize)
    if preprocessing.pad is not None:
        pixels = _pad(pixels, preprocessing.pad)
    if preprocessing.crop is not None:
        left, top, right, bottom = crop_box(_size(pixels), preprocessing.crop)
        pixels = pixels[top:bottom, left:right]
    return pixels


def _decode_jpeg(content: bytes, preprocessing: ImagePreprocessing, resize: Resize | None) -> Pixels | None:
    """Return a JPEG's pixels, None where Pillow should look at it."""
    decoder = load_module("simplejpeg", extra=EXTRA)
    try:
        height, width, colours, _ = decoder.decode_jpeg_header(content)
    except ValueError:
        return None
    check_pixels(width, height)
    if colours not in _KNOWN_COLOURS:
        return None
    orientation = read_orientation(content) if preprocessing.orientation == "exif" else 1
    least = _least_decoded((width, height), resize, is_turned=orientation in _TURNED)
    try:
        pixels: Pixels = decoder.decode_jpeg(
            content, "GRAY" if preprocessing.mode == "L" else "RGB", min_width=least[0], min_height=least[1]
        )
    except ValueError:
        return None
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return _turned(pixels, orientation)


def _least_decoded(size: Size, resize: Resize | None, *, is_turned: bool) -> Size:
    """Return the least width and height to decode to, zeros for the whole picture."""
    if resize is None or not resize.antialias:
        return 0, 0
    upright = size[::-1] if is_turned else size
    wanted = resized(upright, resize)
    if any(has < need * _SCALED_FROM for has, need in zip(upright, wanted, strict=True)):
        return 0, 0
    width, height = wanted[::-1] if is_turned else wanted
    return width * _SCALED_TO, height * _SCALED_TO


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _open(image: Any, preprocessing: ImagePreprocessing) -> Pixels:
    picture = open_image(image)
    if preprocessing.orientation == "exif":
        picture = to_upright(picture)
    mode: Literal["L", "RGB"] = "L" if preprocessing.mode == "L" else "RGB"
    return np.asarray(to_mode(picture, mode))


def _resize(pixels: Pixels, resize: Resize) -> Pixels:
    size = resized(_size(pixels), resize)
    if size == _size(pixels):
        return pixels
    check_pixels(*size, what="resized, the picture would have")
    opencv = load_module("cv2", extra=EXTRA)
    if resize.antialias and resize.interpolation != "nearest":
        smaller = (min(size[0], pixels.shape[1]), min(size[1], pixels.shape[0]))
        if smaller != _size(pixels):
            pixels = opencv.resize(pixels, smaller, interpolation=opencv.INTER_AREA)
    if size != _size(pixels):
        pixels = opencv.resize(pixels, size, interpolation=getattr(opencv, _METHODS[resize.interpolation]))
    return pixels


def _pad(pixels: Pixels, pad: Pad) -> Pixels:
    size = _size(pixels)
    outer = (max(size[0], pad.width), max(size[1], pad.height))
    if outer == size:
        return pixels
    check_pixels(*outer, what="padded, the picture would have")
    padded = np.empty((outer[1], outer[0], *pixels.shape[2:]), np.uint8)
    padded[:] = colour_of(pad, "L" if pixels.ndim == 2 else "RGB")
    left, top = place(outer, size, pad.anchor)
    padded[top : top + size[1], left : left + size[0]] = pixels
    return padded


def _size(pixels: Pixels) -> Size:
    return pixels.shape[1], pixels.shape[0]
