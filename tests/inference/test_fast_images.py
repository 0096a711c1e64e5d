"""The decoder ``fast`` against Pillow, on drawn pictures and, where the data are, on photos with a real model."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.inference.golden.reference import draw
from tests.inference.test_golden_tensors import PICTURES

from penstock.entities.image import ImagePreprocessing
from penstock.inference.contract import BadInputError
from penstock.inference.images import to_array
from penstock.inference.model import load_model

DATA = os.environ.get("PENSTOCK_DATA_DIR", "")
CLASSIFIER = {
    "resize": {"size": 256, "fit": "shortest"},
    "crop": {"width": 224, "height": 224},
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}


def both(content, **keys):
    return [to_array(content, ImagePreprocessing(decoder=decoder, **keys)) for decoder in ("pillow", "fast")]


def jpeg(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **{"quality": 95, **options})
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", ["ignore", "exif"])
@pytest.mark.parametrize("mode", ["RGB", "BGR", "L"])
@pytest.mark.parametrize("picture", PICTURES)
def test_without_resizing_both_decoders_see_the_same(picture, mode, orientation):
    slow, quick = both(PICTURES[picture], mode=mode, scale=1.0, orientation=orientation)
    assert slow.shape == quick.shape
    # Grey is a JPEG's own brightness for one and made of its rounded, clipped colours for the other.
    limit = 12.0 if mode == "L" else 3.0
    assert np.abs(slow - quick).max() <= (limit if picture.startswith(("jpeg", "exif")) else 0.0)


@pytest.mark.parametrize(
    "keys",
    [
        {"width": 40, "height": 30},
        {"resize": {"size": 32, "fit": "shortest"}, "crop": {"width": 30, "height": 32, "anchor": "right"}},
        {"resize": {"size": 40, "fit": "longest"}, "pad": {"width": 48, "height": 40, "colour": [9, 8, 7]}},
        {"resize": {"width": 300, "height": 30}},
        {"resize": {"size": 400, "interpolation": "bicubic"}},
        {"resize": {"size": 64, "antialias": False}},
    ],
)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "flat"])
def test_a_smooth_picture_is_resized_alike(keys, layout):
    y, x = np.mgrid[0:150, 0:200]
    smooth = np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8)
    slow, quick = both(jpeg(smooth), scale=1.0, layout=layout, **keys)
    assert slow.shape == quick.shape
    assert np.abs(slow - quick).max() <= 8.0
    assert np.abs(slow - quick).mean() <= 1.0


def test_a_large_jpeg_is_decoded_small_and_looks_the_same():
    large = jpeg(np.asarray(Image.fromarray(draw(160, 120)).resize((1600, 1203))), quality=90)
    slow, quick = both(large, scale=1.0, resize={"size": 128, "fit": "shortest"}, crop={"width": 128, "height": 128})
    assert slow.shape == quick.shape
    assert np.abs(slow - quick).mean() <= 3.0


def test_float_tables_are_the_same_numbers_in_both():
    pixels = draw(16, 16)
    slow, quick = both(pixels, mean=CLASSIFIER["mean"], std=CLASSIFIER["std"])
    np.testing.assert_array_equal(slow, quick)
    slow, quick = both(pixels, scale=1.0, dtype="uint8", layout="NHWC")
    np.testing.assert_array_equal(slow, quick)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", jpeg(draw(40, 40))[:200], b"hello"])
def test_what_is_no_picture_is_refused_alike(content):
    messages = []
    for decoder in ("pillow", "fast"):
        with pytest.raises(BadInputError) as caught:
            to_array(content, ImagePreprocessing(decoder=decoder))
        messages.append(caught.value.message)
    assert messages[0] == messages[1]


@pytest.mark.parametrize("decoder", ["pillow", "fast"])
def test_a_picture_that_would_become_huge_is_refused(decoder):
    with pytest.raises(BadInputError, match="resized, the picture would have"):
        to_array(draw(2, 3000), ImagePreprocessing(decoder=decoder, resize={"size": 8000, "fit": "shortest"}))
    with pytest.raises(BadInputError, match="too small"):
        to_array(draw(20, 30), ImagePreprocessing(decoder=decoder, crop={"width": 21, "height": 3}))


@pytest.mark.skipif(not DATA, reason="needs the photos of PENSTOCK_DATA_DIR")
@pytest.mark.parametrize("decoder", ["pillow", "fast"])
def test_top_1_on_photos_is_that_of_the_reference(decoder):
    folder = Path(DATA) / "imagenet"
    truth = json.loads((folder / "images.json").read_text())
    model = load_model(
        folder / "mobilenetv2_fp32.onnx", preprocessing=ImagePreprocessing(decoder=decoder, **CLASSIFIER)
    )
    files = [folder / "images" / Path(photo["file"]).name for photo in truth]
    answer = model.predict(files, batch_size=10, top_k=5)
    right = sum(p.index == photo["class_index"] for p, photo in zip(answer, truth, strict=True))
    within = sum(
        photo["class_index"] in [one.index for one in p.top or ()] for p, photo in zip(answer, truth, strict=True)
    )
    assert right >= 51
    assert within == 60
    assert all(p.label for p in answer)
