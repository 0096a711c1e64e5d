from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from penstock.entities.errors import SpecError
from penstock.entities.image import ImagePreprocessing
from penstock.inference.contract import BadInputError, TensorContract
from penstock.inference.declared import (
    check_against,
    default_preprocessing,
    parse_preprocessing,
    read_preprocessing,
)
from penstock.inference.images import open_image, to_array, to_batch

RED_BLUE = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)


def encode(pixels, format="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_without_resizing_every_pixel_arrives_as_it_was_drawn(pixels):
    batch = to_batch([encode(pixels)], ImagePreprocessing(scale=1.0, layout="NHWC"))
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch[0], pixels)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_all_ways_of_handing_over_a_picture_are_one(pixels):
    preprocessing = ImagePreprocessing(mode="L", layout="flat")
    png = encode(pixels)
    ways = [png, bytearray(png), Image.fromarray(pixels), pixels, pixels[:, :, np.newaxis]]
    arrays = [to_array(way, preprocessing) for way in ways]
    for array in arrays:
        np.testing.assert_array_equal(array, pixels.reshape(-1) / np.float32(255))


def test_a_path_is_read(tmp_path):
    file = tmp_path / "one.png"
    file.write_bytes(encode(RED_BLUE))
    np.testing.assert_array_equal(to_array(file, ImagePreprocessing()), to_array(RED_BLUE, ImagePreprocessing()))
    np.testing.assert_array_equal(to_array(str(file), ImagePreprocessing()), to_array(RED_BLUE, ImagePreprocessing()))


@pytest.mark.parametrize(
    ("mode", "layout", "expected"),
    [
        ("RGB", "NCHW", [[[1, 0]], [[0, 0]], [[0, 1]]]),
        ("BGR", "NCHW", [[[0, 1]], [[0, 0]], [[1, 0]]]),
        ("RGB", "NHWC", [[[1, 0, 0], [0, 0, 1]]]),
        ("RGB", "flat", [1, 0, 0, 0, 0, 1]),
    ],
)
def test_mode_and_layout_order_the_values(mode, layout, expected):
    array = to_array(encode(RED_BLUE), ImagePreprocessing(mode=mode, layout=layout))
    np.testing.assert_array_equal(array, expected)
    assert array.flags.c_contiguous


def test_mean_and_std_are_applied_after_scaling():
    preprocessing = ImagePreprocessing(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0))
    array = to_array(encode(RED_BLUE), preprocessing)
    np.testing.assert_allclose(array[:, 0, 0], [1.0, -1.0, 0.0])
    np.testing.assert_allclose(array[:, 0, 1], [-1.0, -1.0, 0.5])


def test_resizing_averages_as_pillow_does():
    checkers = (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)
    array = to_array(encode(checkers), ImagePreprocessing(mode="L", width=2, height=2, scale=1.0, layout="flat"))
    expected = np.asarray(Image.fromarray(checkers).resize((2, 2), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(array, expected.reshape(-1))
    assert np.all(np.abs(array - 127) < 20)


def test_sixteen_bit_grey_keeps_its_brightness():
    pixels = np.array([[0, 0x8000, 0xFFFF]], np.uint16)
    array = to_array(encode(pixels), ImagePreprocessing(mode="L", scale=1.0, layout="flat"))
    np.testing.assert_array_equal(array, [0, 0x80, 0xFF])


def test_sixteen_bit_grey_keeps_its_brightness_in_other_formats_too():
    values = np.array([[0, 0x8000, 0xFFFF]], ">u2")
    pgm = b"P5 3 1 65535\n" + values.tobytes()
    array = to_array(pgm, ImagePreprocessing(mode="L", scale=1.0, layout="flat"))
    np.testing.assert_array_equal(array, [0, 0x80, 0xFF])


@pytest.mark.parametrize("format", ["JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_other_formats_are_decoded(format):
    grey = np.full((8, 8), 100, np.uint8)
    array = to_array(encode(grey, format), ImagePreprocessing(mode="L", scale=1.0))
    assert np.all(np.abs(array - 100) <= 2)


def test_a_palette_with_transparency_is_decoded():
    picture = Image.fromarray(RED_BLUE).convert("P")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=0)
    assert to_array(buffer.getvalue(), ImagePreprocessing()).shape == (3, 1, 2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"hello", "not a picture"),
        (encode(np.zeros((40, 40), np.uint8))[:50], "not a picture"),
        (3, "int is no picture"),
        (np.zeros((2, 2), np.float64), "no picture"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(content, words):
    with pytest.raises(BadInputError, match=words):
        open_image(content)


def test_a_picture_too_large_is_refused_before_it_is_decoded():
    bomb = encode(np.zeros((9000, 9000), np.uint8))
    with pytest.raises(BadInputError, match="9000 x 9000"):
        open_image(bomb)


def test_pictures_of_different_sizes_need_a_size():
    pictures = [encode(np.zeros((2, 2), np.uint8)), encode(np.zeros((3, 2), np.uint8))]
    with pytest.raises(BadInputError, match="differ in size"):
        to_batch(pictures, ImagePreprocessing())
    assert to_batch(pictures, ImagePreprocessing(width=2, height=2)).shape == (2, 3, 2, 2)


def test_preprocessing_is_read_from_the_folder(tmp_path):
    assert read_preprocessing(tmp_path) is None
    (tmp_path / "preprocessing.yml").write_text("mode: L\nmean: [0.5]\n")
    assert read_preprocessing(tmp_path) == ImagePreprocessing(mode="L", mean=(0.5,))


@pytest.mark.parametrize(
    ("text", "words"), [("mode: [", "not a YAML"), ("mod: L", 'Did you mean "mode"'), ("mode: X", "mode: ")]
)
def test_a_bad_preprocessing_file_is_named(tmp_path, text, words):
    (tmp_path / "preprocessing.yml").write_text(text)
    with pytest.raises(SpecError, match=words) as caught:
        read_preprocessing(tmp_path)
    assert "preprocessing.yml" in str(caught.value)


def test_the_default_follows_from_the_input_alone():
    first = default_preprocessing(TensorContract("x", "float32", (None, 3, 224, 224)))
    assert first == ImagePreprocessing(width=224, height=224)
    last = default_preprocessing(TensorContract("x", "uint8", (None, None, None, 1)))
    assert last == ImagePreprocessing(mode="L", scale=1.0, layout="NHWC")
    assert default_preprocessing(TensorContract("x", "float32", (None, 64))) is None
    assert default_preprocessing(TensorContract("x", "float32", None)) is None
    assert default_preprocessing(TensorContract("x", "bfloat16", (None, 3, 2, 2))) is None


def test_preprocessing_that_cannot_fit_is_refused():
    tensor = TensorContract("x", "float32", (None, 64))
    check_against(ImagePreprocessing(mode="L", width=8, height=8, layout="flat"), tensor)
    with pytest.raises(SpecError, match=r"makes \[any, 192\], but input 'x' takes \[any, 64\]"):
        check_against(ImagePreprocessing(width=8, height=8, layout="flat"), tensor)
    with pytest.raises(SpecError, match="2 values for 3 channels"):
        check_against(ImagePreprocessing(mean=(0.1, 0.2)), TensorContract("x", "float32", None))
    with pytest.raises(SpecError, match="0 cannot divide"):
        check_against(ImagePreprocessing(std=(0.0,)), TensorContract("x", "float32", None))


def test_values_of_the_wrong_type_are_problems_with_places():
    with pytest.raises(SpecError) as caught:
        parse_preprocessing({"width": 0, "scale": "much"})
    assert [problem.pointer for problem in caught.value.problems] == ["/width", "/scale"]
