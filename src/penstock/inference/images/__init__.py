"""From an encoded picture to a model's input tensor: the one code path of training checks and serving."""

from penstock.inference.images.pipeline import Preprocessor, to_array, to_batch
from penstock.inference.images.reading import open_image

__all__ = [
    "Preprocessor",
    "open_image",
    "to_array",
    "to_batch",
]
