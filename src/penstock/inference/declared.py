"""Read preprocessing from a model folder, guess it from an input's shape, refuse what cannot be meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from penstock.entities.base import Entity
from penstock.entities.errors import Problem, SpecError
from penstock.entities.image import ImagePreprocessing, Postprocessing
from penstock.plugins import load_module
from penstock.rules.pictures import IMAGE_RANK, PIXEL_TYPES, Declared, check_preprocessing
from penstock.rules.suggest import did_you_mean

PREPROCESSING_FILE = "preprocessing.yml"
EntityT = TypeVar("EntityT", bound=Entity)


def read_preprocessing(folder: Path) -> ImagePreprocessing | None:
    """Return what a model folder's ``preprocessing.yml`` says, None where there is none.

    Raises
    ------
    SpecError
        If the file is no YAML mapping or has a key or value that cannot be meant.
    """
    file = folder / PREPROCESSING_FILE
    return parse_preprocessing_file(file.read_bytes()) if file.is_file() else None


def parse_preprocessing_file(content: bytes) -> ImagePreprocessing:
    """Return what the content of a ``preprocessing.yml`` says, with one problem per mistake."""
    yaml = load_module("yaml")
    try:
        data = yaml.safe_load(content.decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise SpecError([Problem(f"not a YAML file: {error}", file=PREPROCESSING_FILE)]) from error
    return parse_preprocessing(data, PREPROCESSING_FILE)


def parse_preprocessing(data: Any, file: str = "") -> ImagePreprocessing:
    """Return preprocessing settings from JSON types, with one problem per mistake."""
    return parse_settings(ImagePreprocessing, data, file)


def parse_postprocessing(data: Any) -> Postprocessing:
    """Return postprocessing settings from JSON types, with one problem per mistake."""
    return parse_settings(Postprocessing, data)


def parse_settings(kind: type[EntityT], data: Any, file: str = "") -> EntityT:
    """Return settings from JSON types, with one problem per mistake."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        known = list(kind.model_fields)
        problems = []
        for detail in error.errors():
            hint = ""
            if detail["type"] == "extra_forbidden" and len(detail["loc"]) == 1:
                hint = did_you_mean(str(detail["loc"][0]), known) or f"Known keys: {', '.join(known)}."
            message = detail["msg"].removeprefix("Value error, ")
            problems.append(Problem(message, "".join(f"/{part}" for part in detail["loc"]), hint, file=file))
        raise SpecError(problems) from error


def default_preprocessing(tensor: Declared) -> ImagePreprocessing | None:
    """Return what an input's shape alone says about pictures: [N, C, H, W] or [N, H, W, C] with 1 or 3 channels.

    A uint8 input takes the pixels as they are, any other one pixels from 0 to 1.
    """
    if tensor.shape is None or len(tensor.shape) != IMAGE_RANK or tensor.dtype not in PIXEL_TYPES:
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


def check_against(preprocessing: ImagePreprocessing, *inputs: Declared) -> None:
    """Refuse preprocessing whose result cannot be one of a model's inputs.

    Raises
    ------
    SpecError
        If ``input`` names none, ``mean`` or ``std`` do not fit the channels, or the produced shape is not the input's.
    """
    problems = check_preprocessing(preprocessing, inputs)
    if problems:
        raise SpecError(problems)
