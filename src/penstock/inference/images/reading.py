"""Decode pictures with Pillow: bytes, files, arrays and its own pictures, upright and in the channels asked for."""

from __future__ import annotations

import io
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from penstock.entities.image import Crop
from penstock.inference.contract import BadInputError
from penstock.plugins import load_module
from penstock.rules.pictures import Size, place

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 64 * 2**20
ORIENTATION_TAG = 0x0112


def open_image(image: Any) -> Image:
    """Return a decoded picture.

    Raises
    ------
    BadInputError
        If it is no picture, is cut off, or has more than ``MAX_PIXELS`` pixels.
    """
    pillow = load_module("PIL.Image")
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3):
            raise BadInputError(
                f"an array of {image.dtype.name} with {image.ndim} axes is no picture",
                hint="Give uint8 of shape (height, width) or (height, width, channels).",
            )
        squeezed = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
        picture: Image = pillow.fromarray(squeezed)
        return picture
    if isinstance(image, str | PathLike):
        image = Path(image).read_bytes()
    if isinstance(image, bytes | bytearray | memoryview):
        return _decode(bytes(image), pillow)
    if isinstance(image, pillow.Image):
        decoded: Image = image
        return decoded
    raise BadInputError(f"{type(image).__name__} is no picture", hint="Give bytes, a path, a PIL image or an array.")


def check_pixels(width: int, height: int, what: str = "the picture has") -> None:
    """Raise BadInputError for more than ``MAX_PIXELS`` pixels."""
    if width * height > MAX_PIXELS:
        raise BadInputError(f"{what} {width} x {height} pixels", hint=f"At most {MAX_PIXELS} are taken.")


def crop_box(size: Size, crop: Crop) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what is kept; raises BadInputError for a smaller picture."""
    if size[0] < crop.width or size[1] < crop.height:
        raise BadInputError(
            f"the picture is too small ({size[0]} x {size[1]}) to crop {crop.width} x {crop.height} from it",
            hint="Send a larger one; or let preprocessing resize or pad it first.",
        )
    left, top = place(size, (crop.width, crop.height), crop.anchor)
    return left, top, left + crop.width, top + crop.height


def read_orientation(content: bytes) -> int:
    """Return the EXIF orientation of an encoded picture, 1 where it says none; decodes no pixels."""
    try:
        return int(load_module("PIL.Image").open(io.BytesIO(content)).getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # Pillow's parsers raise many types; a damaged tag turns nothing
        return 1


def to_upright(picture: Image) -> Image:
    """Return a picture turned as its EXIF orientation says."""
    try:
        turned: Image = load_module("PIL.ImageOps").exif_transpose(picture)
    except Exception:  # as above
        return picture
    return turned


def to_mode(picture: Image, mode: Literal["L", "RGB"]) -> Image:
    """Return a picture with the channels asked for; of 16 bits the upper 8 are kept, transparency is dropped."""
    if picture.mode == mode:
        return picture
    if picture.mode.startswith("I;16"):
        picture = _from_16_bits(np.asarray(picture, dtype=np.uint16))
    elif picture.mode == "I":  # to which Pillow widens the 16-bit greys of some formats; what is beyond is clipped
        picture = _from_16_bits(np.clip(np.asarray(picture), 0, 0xFFFF).astype(np.uint16))
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture if picture.mode == mode else picture.convert(mode)


def _from_16_bits(pixels: Any) -> Image:
    picture: Image = load_module("PIL.Image").fromarray((pixels >> 8).astype(np.uint8))
    return picture


def _decode(content: bytes, pillow: Any) -> Image:
    if not content:
        raise BadInputError("the picture is empty")
    try:
        picture: Image = pillow.open(io.BytesIO(content))
        check_pixels(picture.width, picture.height)
        picture.load()
    except BadInputError:
        raise
    except Exception as error:  # Pillow's decoders raise many types (OSError, SyntaxError, ValueError, struct.error)
        start = content[:8].hex(" ")
        raise BadInputError(
            f"not a picture that can be decoded ({len(content)} bytes, beginning with {start})",
            hint="Send a whole PNG, JPEG, GIF, BMP, TIFF or WebP file.",
        ) from error
    return picture
