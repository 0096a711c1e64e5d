"""From an encoded picture to a model's input tensor: the one code path of training checks and serving.

Pillow decodes and resizes (bilinear with its antialiasing), numpy does the rest, in float32. What a job computes
through :func:`to_batch` is bit for bit what an endpoint computes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from penstock.entities.endpoint import ImagePreprocessing
from penstock.entities.errors import Problem, SpecError
from penstock.inference.contract import BadInputError, TensorContract
from penstock.plugins import load_module

if TYPE_CHECKING:
    from PIL.Image import Image

FloatArray = npt.NDArray[np.float32]

MAX_PIXELS = 64 * 2**20
PREPROCESSING_FILE = "preprocessing.yml"
_CHANNELS = {"L": 1, "RGB": 3, "BGR": 3}


def read_preprocessing(folder: Path) -> ImagePreprocessing | None:
    """Return what a model folder's ``preprocessing.yml`` says, None where there is none.

    Raises
    ------
    SpecError
        If the file is no YAML mapping or has a key or value that cannot be meant.
    """
    file = folder / PREPROCESSING_FILE
    if not file.is_file():
        return None
    yaml = load_module("yaml")
    try:
        data = yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError([Problem(f"not a YAML file: {error}", file=file.name)]) from error
    return parse_preprocessing(data, file.name)


def parse_preprocessing(data: Any, file: str = "") -> ImagePreprocessing:
    """Return preprocessing settings from JSON types, with one problem per mistake."""
    try:
        return ImagePreprocessing.model_validate(data)
    except ValidationError as error:
        details = error.errors()
        known = ", ".join(ImagePreprocessing.model_fields)
        problems = [
            Problem(
                detail["msg"],
                "".join(f"/{part}" for part in detail["loc"]),
                f"Known keys: {known}." if detail["type"] == "extra_forbidden" else "",
                file=file,
            )
            for detail in details
        ]
        raise SpecError(problems) from error


def default_preprocessing(tensor: TensorContract) -> ImagePreprocessing | None:
    """Return what an input's shape alone says about pictures: [N, C, H, W] or [N, H, W, C] with 1 or 3 channels.

    A uint8 input takes the pixels as they are, any other one pixels from 0 to 1.
    """
    if tensor.shape is None or len(tensor.shape) != 4 or tensor.dtype == "str":
        return None
    scale = 1.0 if tensor.dtype == "uint8" else 255.0
    _, first, second, last = tensor.shape
    if first in (1, 3):
        return ImagePreprocessing(
            mode="L" if first == 1 else "RGB", height=second, width=last, scale=scale, layout="NCHW"
        )
    if last in (1, 3):
        return ImagePreprocessing(
            mode="L" if last == 1 else "RGB", height=first, width=second, scale=scale, layout="NHWC"
        )
    return None


def check_against(preprocessing: ImagePreprocessing, tensor: TensorContract) -> None:
    """Refuse preprocessing whose result cannot be the model's input.

    Raises
    ------
    SpecError
        If ``mean`` or ``std`` do not fit the channels, or the produced shape is not the input's.
    """
    channels = _CHANNELS[preprocessing.mode]
    problems = []
    for key in ("mean", "std"):
        values = getattr(preprocessing, key)
        if len(values) not in (0, 1, channels):
            text = f"{len(values)} values for {channels} channels of mode {preprocessing.mode}"
            problems.append(Problem(text, f"/{key}", f"Give 1 or {channels}."))
    if 0.0 in preprocessing.std:
        problems.append(Problem("0 cannot divide", "/std", "Give the standard deviations of the training pixels."))
    made = _made_shape(preprocessing, channels)
    wanted = tensor.shape[1:] if tensor.shape else None
    if wanted is not None and (
        len(made) != len(wanted)
        or any(None not in pair and pair[0] != pair[1] for pair in zip(made, wanted, strict=True))
    ):
        texts = [", ".join("any" if n is None else str(n) for n in shape) for shape in (made, wanted)]
        problems.append(
            Problem(
                f"makes [any, {texts[0]}], but input {tensor.name!r} takes [any, {texts[1]}]",
                "/layout",
                "Change width, height, mode or layout.",
            )
        )
    if problems:
        raise SpecError(problems)


def _made_shape(preprocessing: ImagePreprocessing, channels: int) -> tuple[int | None, ...]:
    height, width = preprocessing.height, preprocessing.width
    if preprocessing.layout == "flat":
        return (height * width * channels if height and width else None,)
    if preprocessing.layout == "NHWC":
        return (height, width, channels)
    return (channels, height, width)


def to_batch(images: Sequence[Any], preprocessing: ImagePreprocessing) -> FloatArray:
    """Return a batch of the model's input.

    Parameters
    ----------
    images : sequence of bytes, path, PIL image or ndarray
        Encoded pictures (PNG, JPEG, …), files, decoded ones, or uint8 arrays of shape (height, width) or
        (height, width, channels).
    preprocessing : ImagePreprocessing
        What to do with each.

    Returns
    -------
    ndarray, float32
        Shape (n, channels, height, width), (n, height, width, channels) or (n, height · width · channels).

    Raises
    ------
    BadInputError
        If something is no picture, or pictures of different sizes are not resized to one.
    """
    arrays = [to_array(image, preprocessing) for image in images]
    if len({array.shape for array in arrays}) > 1:
        sizes = ", ".join(sorted({"x".join(map(str, array.shape)) for array in arrays})[:4])
        raise BadInputError(
            f"the pictures differ in size ({sizes})", hint="Set width and height in preprocessing, or send one each."
        )
    return np.stack(arrays)


def to_array(image: Any, preprocessing: ImagePreprocessing) -> FloatArray:
    """Return one picture as the model sees it, without the batch axis; see :func:`to_batch`."""
    picture = open_image(image)
    mode = "L" if preprocessing.mode == "L" else "RGB"
    if picture.mode != mode:
        picture = _convert(picture, mode)
    width, height = preprocessing.width or picture.width, preprocessing.height or picture.height
    if picture.size != (width, height):
        picture = picture.resize((width, height), load_module("PIL.Image").Resampling.BILINEAR)
    pixels: npt.NDArray[Any] = np.asarray(picture, dtype=np.float32)
    if mode == "L":
        pixels = pixels[:, :, np.newaxis]
    elif preprocessing.mode == "BGR":
        pixels = pixels[:, :, ::-1]
    if preprocessing.scale != 1.0:
        pixels = pixels / np.float32(preprocessing.scale)
    if preprocessing.mean:
        pixels = pixels - np.asarray(preprocessing.mean, dtype=np.float32)
    if preprocessing.std:
        pixels = pixels / np.asarray(preprocessing.std, dtype=np.float32)
    if preprocessing.layout == "NCHW":
        pixels = pixels.transpose(2, 0, 1)
    pixels = np.ascontiguousarray(pixels, dtype=np.float32)
    return pixels.reshape(-1) if preprocessing.layout == "flat" else pixels


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


def _decode(content: bytes, pillow: Any) -> Image:
    if not content:
        raise BadInputError("the picture is empty")
    try:
        picture: Image = pillow.open(io.BytesIO(content))
        if picture.width * picture.height > MAX_PIXELS:
            raise BadInputError(
                f"the picture has {picture.width} x {picture.height} pixels", hint=f"At most {MAX_PIXELS} are taken."
            )
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


def _convert(picture: Image, mode: str) -> Image:
    if picture.mode.startswith("I;16"):
        pixels = np.asarray(picture, dtype=np.uint16) >> 8
        picture = load_module("PIL.Image").fromarray(pixels.astype(np.uint8))
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert(mode)
