"""What Penstock computes of pictures against stored tensors that an independent reference computed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tests.inference.golden.reference import CASES, STORE

from penstock.entities.image import ImagePreprocessing
from penstock.inference.contract import BadInputError
from penstock.inference.images import to_array, to_batch

LEVEL = 1.0  # rounding of a resized level: Pillow computes in whole numbers, the reference in float64
JPEG_LEVELS = 3.0  # decoders of JPEG may differ in rounding


def load() -> dict[str, Any]:
    with np.load(STORE) as stored:
        return dict(stored)


STORED = load()
PICTURES = {
    key.removeprefix("picture/"): value.tobytes() for key, value in STORED.items() if key.startswith("picture/")
}


def level_of(case: dict[str, Any]) -> float:
    """Return how much one grey level is in the tensor."""
    return float(1.0 / case.get("scale", 255.0) / min(case.get("std", [1.0])))


def test_the_store_is_of_these_cases():
    assert json.loads(STORED["cases"].tobytes()) == CASES
    assert len(PICTURES) == 23


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("picture", PICTURES)
def test_tensors_are_those_of_the_reference(picture, case):
    settings = ImagePreprocessing(**CASES[case])
    expected = STORED.get(f"tensor/{picture}/{case}")
    if expected is None:
        with pytest.raises(BadInputError, match="too small"):
            to_array(PICTURES[picture], settings)
        return
    made = to_array(PICTURES[picture], settings)
    assert (made.shape, made.dtype) == (expected.shape, expected.dtype)
    assert made.flags.c_contiguous
    is_jpeg = picture.startswith(("jpeg", "exif"))
    is_resized = case not in {"as_it_is", "upright", "padded_left"}
    allowed = (JPEG_LEVELS if is_jpeg else 0.0) + (LEVEL if is_resized else 0.0)
    differences = np.abs(made.astype(np.float64) - expected.astype(np.float64)) / level_of(CASES[case])
    assert differences.max() <= allowed + 1e-3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_shows_the_same_scene_upright(orientation):
    settings = ImagePreprocessing(orientation="exif", scale=1.0, layout="NHWC")
    made = to_array(PICTURES[f"exif_{orientation}"], settings)
    assert made.shape == ((16, 24, 3) if orientation < 5 else (24, 16, 3))
    plain = to_array(PICTURES["exif_1"], settings)
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert np.abs(made[corner[orientation]] - plain[0, 0]).max() <= 12  # the pink corner went where the tag says


@pytest.mark.parametrize("case", ["classifier", "letterbox", "grey_flat"])
def test_a_batch_is_its_pictures_one_by_one(case):
    settings = ImagePreprocessing(**CASES[case])
    contents = [PICTURES[name] for name in ("png", "alpha", "jpeg", "gif")]
    batch = to_batch(contents, settings)
    for made, content in zip(batch, contents, strict=True):
        np.testing.assert_array_equal(made, to_array(content, settings))
