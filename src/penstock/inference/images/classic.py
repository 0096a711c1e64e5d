"""The decoder ``pillow``: decode, turn, resize, pad and crop with Pillow, whose resampling is the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from penstock.entities.image import ImagePreprocessing, Pad, Resize
from penstock.inference.images.reading import check_pixels, crop_box, open_image, to_mode, to_upright
from penstock.plugins import load_module
from penstock.rules.pictures import place, resized

if TYPE_CHECKING:
    from PIL.Image import Image

Colour = int | tuple[int, int, int]


def read_pixels(image: Any, preprocessing: ImagePreprocessing) -> npt.NDArray[np.uint8]:
    """Return a picture after the steps up to the crop: (height, width) or, RGB, (height, width, 3)."""
    picture = open_image(image)
    if preprocessing.orientation == "exif":
        picture = to_upright(picture)
    mode: Literal["L", "RGB"] = "L" if preprocessing.mode == "L" else "RGB"
    picture = to_mode(picture, mode)
    if preprocessing.resizing is not None:
        picture = _resize(picture, preprocessing.resizing)
    if preprocessing.pad is not None:
        picture = _pad(picture, preprocessing.pad)
    if preprocessing.crop is not None:
        picture = picture.crop(crop_box(picture.size, preprocessing.crop))
    return np.asarray(picture)


def _resize(picture: Image, resize: Resize) -> Image:
    size = resized(picture.size, resize)
    if size == picture.size:
        return picture
    check_pixels(*size, what="resized, the picture would have")
    pillow = load_module("PIL.Image")
    resampling = pillow.Resampling[resize.interpolation.upper()]
    if resize.antialias or resize.interpolation == "nearest":
        return picture.resize(size, resampling)
    whole = (0, 0, picture.width, picture.height)
    return picture.transform(size, pillow.Transform.EXTENT, whole, resampling)


def _pad(picture: Image, pad: Pad) -> Image:
    outer = (max(picture.width, pad.width), max(picture.height, pad.height))
    if outer == picture.size:
        return picture
    check_pixels(*outer, what="padded, the picture would have")
    colour: Colour = colour_of(pad, picture.mode)
    padded: Image = load_module("PIL.Image").new(picture.mode, outer, colour)
    padded.paste(picture, place(outer, picture.size, pad.anchor))
    return padded


def colour_of(pad: Pad, mode: str) -> Colour:
    """Return the colour to fill with, as many values as there are channels."""
    if mode != "L" and isinstance(pad.colour, int):
        return (pad.colour,) * 3
    return pad.colour
