"""The steps in their order, and the last ones: scale, mean and std by a table of 256 values a channel, layout, dtype.

A pixel has 256 values, so a table holds exactly what the arithmetic would give, in float32, and the tensor is written
once. What a job computes here is bit for bit what an endpoint computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.entities.image import ImagePreprocessing
from penstock.inference.contract import Array, BadInputError
from penstock.inference.images import classic, fast
from penstock.plugins import load_module
from penstock.rules.pictures import CHANNELS

_LEVELS = 256


class Preprocessor:
    """Preprocessing made ready for one model; safe to call from several threads.

    Parameters
    ----------
    preprocessing : ImagePreprocessing
        What to do with each picture.
    dtype : str
        Of the tensors, where preprocessing names none.

    Raises
    ------
    MissingPartError
        If the decoder ``fast`` is asked for and not installed.
    """

    def __init__(self, preprocessing: ImagePreprocessing, dtype: str = "float32") -> None:
        self.preprocessing = preprocessing
        self._dtype = np.dtype(preprocessing.dtype or dtype)
        self._channels = CHANNELS[preprocessing.mode]
        self._order = (2, 1, 0) if preprocessing.mode == "BGR" else (0, 1, 2)
        self._tables = [_table(preprocessing, channel, self._dtype) for channel in range(self._channels)]
        self._read = classic.read_pixels
        self._split: Any = None
        if preprocessing.decoder == "fast":
            fast.load_fast()
            self._read = fast.read_pixels
            self._opencv = load_module("cv2", extra=fast.EXTRA)
            self._split = self._split_planes if self._dtype == np.float32 else None

    def pixels(self, image: Any) -> npt.NDArray[np.uint8]:
        """Return a picture after all steps but the last: shape (height, width) or, RGB, (height, width, 3)."""
        return self._read(image, self.preprocessing)

    def batch(self, images: Sequence[Any]) -> Array:
        """Return a batch of the model's input; see :func:`to_batch`."""
        pictures = [self.pixels(image) for image in images]
        if len({picture.shape for picture in pictures}) > 1:
            sizes = ", ".join(sorted({f"{picture.shape[1]}x{picture.shape[0]}" for picture in pictures})[:4])
            raise BadInputError(
                f"the pictures differ in size ({sizes})",
                hint="Set width and height in preprocessing, or send one each.",
            )
        height, width = pictures[0].shape[:2]
        is_first = self.preprocessing.layout == "NCHW"
        shape = (self._channels, height, width) if is_first else (height, width, self._channels)
        made = np.empty((len(pictures), *shape), self._dtype)
        for picture, target in zip(pictures, made, strict=True):
            self._fill(picture, target if is_first else target.transpose(2, 0, 1))
        return made.reshape(len(pictures), -1) if self.preprocessing.layout == "flat" else made

    def _fill(self, picture: npt.NDArray[np.uint8], planes: Array) -> None:
        """Write a picture's values into planes of shape (channels, height, width)."""
        if self._channels == 1:
            np.take(self._tables[0], picture, out=planes[0], mode="clip")
        elif self._split is not None and planes.flags.c_contiguous:
            self._split(picture, planes)
        else:
            for channel, source in enumerate(self._order):
                np.take(self._tables[channel], picture[:, :, source], out=planes[channel], mode="clip")

    def _split_planes(self, picture: npt.NDArray[np.uint8], planes: Array) -> None:
        separate = self._opencv.split(picture)
        for channel, source in enumerate(self._order):
            self._opencv.LUT(separate[source], self._tables[channel], dst=planes[channel])


def _table(preprocessing: ImagePreprocessing, channel: int, dtype: np.dtype[Any]) -> Array:
    levels = np.arange(_LEVELS, dtype=np.float32)
    if preprocessing.scale != 1.0:
        levels = levels / np.float32(preprocessing.scale)
    if preprocessing.mean:
        levels = levels - np.float32(preprocessing.mean[channel % len(preprocessing.mean)])
    if preprocessing.std:
        levels = levels / np.float32(preprocessing.std[channel % len(preprocessing.std)])
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        levels = np.clip(np.rint(levels), limits.min, limits.max)
    return levels.astype(dtype)


def to_batch(images: Sequence[Any], preprocessing: ImagePreprocessing) -> Array:
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
    ndarray, float32 or as ``preprocessing.dtype`` says
        Shape (n, channels, height, width), (n, height, width, channels) or (n, height · width · channels).

    Raises
    ------
    BadInputError
        If something is no picture, or pictures of different sizes are not resized to one.
    """
    return _prepared(preprocessing).batch(images)


def to_array(image: Any, preprocessing: ImagePreprocessing) -> Array:
    """Return one picture as the model sees it, without the batch axis; see :func:`to_batch`."""
    made: Array = to_batch([image], preprocessing)[0]
    return made


@lru_cache(maxsize=16)
def _prepared(preprocessing: ImagePreprocessing) -> Preprocessor:
    return Preprocessor(preprocessing)
