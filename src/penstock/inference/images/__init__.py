"""From an encoded picture to a model's input tensor: the one code path of training checks and serving."""

from penstock.inference.images.pipeline import Preprocessor, to_array, to_batch
from penstock.inference.images.reading import open_image
from penstock.inference.images.settings import (
    check_against,
    default_preprocessing,
    parse_postprocessing,
    parse_preprocessing,
    read_preprocessing,
)

__all__ = [
    "Preprocessor",
    "check_against",
    "default_preprocessing",
    "open_image",
    "parse_postprocessing",
    "parse_preprocessing",
    "read_preprocessing",
    "to_array",
    "to_batch",
]
