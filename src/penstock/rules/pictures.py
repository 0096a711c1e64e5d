"""The geometry of pictures on their way into a model, in whole numbers, and whether the result can be its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, get_args

from penstock.entities.errors import Problem
from penstock.entities.image import Anchor, ImagePreprocessing, PixelType, Resize
from penstock.rules.suggest import did_you_mean

CHANNELS = {"L": 1, "RGB": 3, "BGR": 3}
IMAGE_RANK = 4
PIXEL_TYPES: frozenset[str] = frozenset(get_args(PixelType))
_UNBOUNDED = 1 << 62
Size = tuple[int, int]
Shape = tuple[int | None, ...]
Bounds = tuple[int, int]


class Declared(Protocol):
    """An input or output as a model declares it: numpy's name of its dtype, None for a free length."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def dtype(self) -> str: ...  # noqa: D102
    @property
    def shape(self) -> Shape | None: ...  # noqa: D102


def resized(size: Size, resize: Resize) -> Size:
    """Return the width and height that a picture of ``size`` is brought to."""
    width, height = size
    wanted_width, wanted_height = resize.wanted
    if resize.fit == "stretch":
        return wanted_width or width, wanted_height or height
    if wanted_width is None or wanted_height is None:
        by_width = wanted_width is not None
    else:  # wanted_width / width against wanted_height / height
        is_wider = wanted_width * height >= wanted_height * width
        by_width = is_wider if resize.fit == "shortest" else not is_wider
    if by_width:
        assert wanted_width is not None
        return wanted_width, max(1, height * wanted_width // width)
    assert wanted_height is not None
    return max(1, width * wanted_height // height), wanted_height


def place(outer: Size, inner: Size, anchor: Anchor) -> tuple[int, int]:
    """Return where (left, top) something of the size ``inner`` lies in ``outer``; the middle is rounded down."""
    left, top = ((large - small) // 2 for large, small in zip(outer, inner, strict=True))
    if "left" in anchor or "right" in anchor:
        left = 0 if "left" in anchor else outer[0] - inner[0]
    if "top" in anchor or "bottom" in anchor:
        top = 0 if "top" in anchor else outer[1] - inner[1]
    return left, top


def made_size(preprocessing: ImagePreprocessing) -> tuple[Bounds, Bounds]:
    """Return the least and the largest width, and height, that any picture gets."""
    width: Bounds = (1, _UNBOUNDED)
    height: Bounds = (1, _UNBOUNDED)
    resize = preprocessing.resizing
    if resize is not None:
        width, height = (_resized_bounds(resize, wanted) for wanted in resize.wanted)
    if preprocessing.pad is not None:
        pad = preprocessing.pad
        width = (max(width[0], pad.width), max(width[1], pad.width))
        height = (max(height[0], pad.height), max(height[1], pad.height))
    if preprocessing.crop is not None:
        width, height = (preprocessing.crop.width,) * 2, (preprocessing.crop.height,) * 2
    return width, height


def _resized_bounds(resize: Resize, wanted: int | None) -> Bounds:
    if wanted is None:
        return 1, _UNBOUNDED
    if resize.fit == "stretch" or None in resize.wanted:
        return wanted, wanted
    return (wanted, _UNBOUNDED) if resize.fit == "shortest" else (1, wanted)


def made_shape(preprocessing: ImagePreprocessing) -> Shape:
    """Return the shape that every picture gets, without the batch; None where it depends on the picture."""
    width, height = (low if low == high else None for low, high in made_size(preprocessing))
    channels = CHANNELS[preprocessing.mode]
    if preprocessing.layout == "flat":
        return (height * width * channels if height and width else None,)
    return (height, width, channels) if preprocessing.layout == "NHWC" else (channels, height, width)


def check_preprocessing(preprocessing: ImagePreprocessing, inputs: Sequence[Declared]) -> list[Problem]:
    """Return what keeps preprocessing from making one of a model's inputs; pointers are into the preprocessing."""
    problems = [*_check_values(preprocessing), *_check_steps(preprocessing)]
    names = [tensor.name for tensor in inputs]
    chosen = preprocessing.input
    if chosen is not None and chosen not in names:
        hint = did_you_mean(chosen, names) or f"The model's inputs are: {', '.join(names)}."
        return [*problems, Problem(f'the model has no input "{chosen}"', "/input", hint)]
    if chosen is None and len(inputs) != 1:
        hint = f"The model's inputs are: {', '.join(names)}."
        return [*problems, Problem("the model has several inputs; say which one takes the picture", "/input", hint)]
    return problems + _check_input(preprocessing, inputs[names.index(chosen)] if chosen else inputs[0])


def _check_values(preprocessing: ImagePreprocessing) -> list[Problem]:
    channels = CHANNELS[preprocessing.mode]
    problems = []
    for key in ("mean", "std"):
        values = getattr(preprocessing, key)
        if len(values) not in (0, 1, channels):
            text = f"{len(values)} values for {channels} channels of mode {preprocessing.mode}"
            problems.append(Problem(text, f"/{key}", f"Give 1 or {channels}."))
    if 0.0 in preprocessing.std:
        problems.append(Problem("0 cannot divide", "/std", "Give the standard deviations of the training pixels."))
    pad = preprocessing.pad
    if pad is not None and preprocessing.mode == "L" and not isinstance(pad.colour, int):
        problems.append(Problem("a colour for pictures without colour", "/pad/colour", "Give one grey level."))
    return problems


def _check_steps(preprocessing: ImagePreprocessing) -> list[Problem]:
    crop, resize = preprocessing.crop, preprocessing.resizing
    if crop is None:
        return []
    before = made_size(preprocessing.model_copy(update={"crop": None}))
    is_cover = resize is not None and resize.fit == "shortest"
    problems = []
    for key, wanted, (low, high) in zip(("width", "height"), (crop.width, crop.height), before, strict=True):
        if high < wanted or (is_cover and low < wanted):
            text = f"{wanted} is more than the {low if is_cover else high} that resize and pad leave"
            problems.append(Problem(text, f"/crop/{key}", "Crop less, or resize or pad to more."))
    return problems


def _check_input(preprocessing: ImagePreprocessing, tensor: Declared) -> list[Problem]:
    problems = []
    if preprocessing.dtype is not None and tensor.dtype != preprocessing.dtype:
        text = f"{preprocessing.dtype}, but input {tensor.name!r} takes {tensor.dtype}"
        problems.append(Problem(text, "/dtype", "Leave it out, or give the model's own."))
    elif tensor.dtype not in PIXEL_TYPES:
        problems.append(Problem(f"input {tensor.name!r} takes {tensor.dtype}, which pixels are not", "/input"))
    made = made_shape(preprocessing)
    wanted = tensor.shape[1:] if tensor.shape else None
    if wanted is None or _agree(made, wanted):
        return problems
    texts = [", ".join("any" if n is None else str(n) for n in shape) for shape in (made, wanted)]
    text = f"makes [any, {texts[0]}], but input {tensor.name!r} takes [any, {texts[1]}]"
    return [*problems, Problem(text, _culprit(preprocessing, made, wanted), _remedy(preprocessing, wanted))]


def _agree(made: Shape, wanted: Shape) -> bool:
    pairs = zip(made, wanted, strict=False)
    return len(made) == len(wanted) and all(a is None or b is None or a == b for a, b in pairs)


def _culprit(preprocessing: ImagePreprocessing, made: Shape, wanted: Shape) -> str:
    """Return a pointer to what most likely has to change."""
    if len(made) != len(wanted) or preprocessing.layout == "flat":
        return "/layout"
    other = preprocessing.model_copy(update={"layout": "NHWC" if preprocessing.layout == "NCHW" else "NCHW"})
    if _agree(made_shape(other), wanted):
        return "/layout"
    axis = 0 if preprocessing.layout == "NCHW" else 2
    if None not in (made[axis], wanted[axis]) and made[axis] != wanted[axis]:
        return "/mode"
    for step in ("crop", "pad", "resize"):
        if getattr(preprocessing, step) is not None:
            return f"/{step}"
    first = 1 if preprocessing.layout == "NCHW" else 0
    is_height = None not in (made[first], wanted[first]) and made[first] != wanted[first]
    return "/height" if is_height else "/width"


def _remedy(preprocessing: ImagePreprocessing, wanted: Shape) -> str:
    """Return the nearest declaration that fits."""
    if len(wanted) != IMAGE_RANK - 1:
        return "Change width, height, mode or layout."
    for layout in ("NCHW", "NHWC"):
        channels = wanted[0 if layout == "NCHW" else 2]
        if channels in (1, 3):
            height, width = wanted[1:] if layout == "NCHW" else wanted[:2]
            mode = "L" if channels == 1 else ("RGB" if preprocessing.mode == "L" else preprocessing.mode)
            sizes = [f"{key}: {n}" for key, n in (("width", width), ("height", height)) if n is not None]
            return f"It takes {', '.join([f'mode: {mode}', *sizes, f'layout: {layout}'])}."
    return "Change width, height, mode or layout."
