"""What a deployment, or a model folder, says of pictures: how they become tensors; and of a classifier's answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from penstock.entities.base import Entity

Pixels = Annotated[int, Field(ge=1, le=8192)]
Level = Annotated[int, Field(ge=0, le=255)]
Anchor = Literal[
    "center", "top", "bottom", "left", "right", "top-left", "top-right", "bottom-left", "bottom-right"
]  # fmt: skip
Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
PixelType = Literal["float32", "float16", "float64", "uint8", "int8", "int16", "uint16", "int32", "int64"]


class Resize(Entity):
    """The size a picture is brought to.

    ``fit``: ``stretch`` to exactly ``width`` × ``height`` (a side that is not given stays as it is); ``shortest`` keeps
    the aspect and covers them (so ``size: 256`` makes the short side 256); ``longest`` keeps the aspect and stays
    within them. The other side is rounded down, as torchvision does. ``size`` means both sides.
    """

    size: Pixels | None = None
    width: Pixels | None = None
    height: Pixels | None = None
    fit: Literal["stretch", "shortest", "longest"] = "stretch"
    interpolation: Interpolation = "bilinear"
    antialias: bool = True

    @model_validator(mode="after")
    def _has_one_size(self) -> Resize:
        if self.size is not None and (self.width or self.height):
            raise ValueError("size means width and height; give it alone")
        if not (self.size or self.width or self.height):
            raise ValueError("give size, or width, height or both")
        if not self.antialias and self.interpolation not in {"nearest", "bilinear", "bicubic"}:
            raise ValueError(f"antialias: false goes with nearest, bilinear and bicubic, not with {self.interpolation}")
        return self

    @property
    def wanted(self) -> tuple[int | None, int | None]:
        """Return width and height as they were asked for."""
        return self.size or self.width, self.size or self.height


class Pad(Entity):
    """At least so large a picture: the rest is filled with ``colour``, RGB or one grey level."""

    width: Pixels
    height: Pixels
    colour: Level | tuple[Level, Level, Level] = 0
    anchor: Anchor = "center"


class Crop(Entity):
    """The part of the picture that is kept; a picture smaller than that is refused."""

    width: Pixels
    height: Pixels
    anchor: Anchor = "center"


class ImagePreprocessing(Entity):
    """How an encoded picture becomes the model's input tensor.

    The steps run in this order: decode (``decoder``), turn upright (``orientation``), to the channels of ``mode``,
    ``resize``, ``pad``, ``crop``, divide by ``scale`` (so 255 maps pixels to 0 … 1), subtract ``mean`` and divide by
    ``std`` per channel in the order of ``mode``, then ``layout``: ``NCHW``, ``NHWC`` or ``flat`` (one row of
    height · width · channels values), as ``dtype`` (without it, the model's own). ``width`` and ``height`` beside
    the steps are short for a ``resize`` that stretches.
    """

    decoder: Literal["pillow", "fast"] = "pillow"
    orientation: Literal["ignore", "exif"] = "ignore"
    mode: Literal["L", "RGB", "BGR"] = "RGB"
    width: Pixels | None = None
    height: Pixels | None = None
    resize: Resize | None = None
    pad: Pad | None = None
    crop: Crop | None = None
    scale: float = Field(default=255.0, gt=0)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    layout: Literal["NCHW", "NHWC", "flat"] = "NCHW"
    dtype: PixelType | None = None
    input: str | None = None

    @model_validator(mode="after")
    def _resizes_once(self) -> ImagePreprocessing:
        if self.resize is not None and (self.width or self.height):
            raise ValueError("width and height are short for resize; give one of both")
        return self

    @property
    def resizing(self) -> Resize | None:
        """Return the resize that is meant, also where ``width`` and ``height`` alone say it."""
        if self.resize is None and (self.width or self.height):
            return Resize(width=self.width, height=self.height)
        return self.resize


class Postprocessing(Entity):
    """What is said of a classifier's scores.

    ``labels`` names a file of the model folder with a name per class; ``top_k`` adds the best so many classes to each
    prediction, ``threshold`` leaves out those less probable; ``outputs: false`` leaves the raw tensors out of answers.
    A request may say the last three itself.
    """

    labels: str | None = None
    top_k: int | None = Field(default=None, ge=1, le=10_000)
    threshold: float | None = Field(default=None, ge=0.0, le=1.0)
    outputs: bool = True

    @property
    def chooses(self) -> bool:
        """Return whether scores are asked for, not only shown where a model is known to have some."""
        return self.top_k is not None or self.threshold is not None
