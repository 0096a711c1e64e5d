from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from penstock.entities.image import Anchor, Crop, ImagePreprocessing, Pad, Resize
from penstock.rules.pictures import check_preprocessing, made_shape, made_size, place, resized

SIDE = st.integers(1, 20_000)
WANTED = st.integers(1, 4096)


@dataclass(frozen=True)
class Input:
    name: str = "x"
    dtype: str = "float32"
    shape: tuple[int | None, ...] | None = (None, 3, 224, 224)


@given(SIDE, SIDE, WANTED)
def test_the_short_side_becomes_exactly_what_was_asked(width, height, wanted):
    new = resized((width, height), Resize(size=wanted, fit="shortest"))
    assert min(new) == wanted
    long = max(width, height) * wanted / min(width, height)
    assert 0 <= long - max(new) < 1


@given(SIDE, SIDE, WANTED, WANTED)
def test_shortest_covers_and_longest_stays_within(width, height, wide, high):
    cover = resized((width, height), Resize(width=wide, height=high, fit="shortest"))
    within = resized((width, height), Resize(width=wide, height=high, fit="longest"))
    assert cover[0] >= wide
    assert cover[1] >= high
    assert cover[0] == wide or cover[1] == high
    assert 1 <= within[0] <= wide
    assert 1 <= within[1] <= high
    assert within[0] == wide or within[1] == high


@given(SIDE, SIDE, WANTED)
def test_one_side_alone_keeps_the_aspect_or_leaves_the_other(width, height, wanted):
    assert resized((width, height), Resize(width=wanted)) == (wanted, height)
    for fit in ("shortest", "longest"):
        new = resized((width, height), Resize(height=wanted, fit=fit))
        assert new == (max(1, width * wanted // height), wanted)


@given(st.tuples(WANTED, WANTED), st.tuples(WANTED, WANTED), st.sampled_from(get_args(Anchor)))
def test_what_is_placed_lies_inside(outer, inner, anchor):
    assume(inner[0] <= outer[0] and inner[1] <= outer[1])
    left, top = place(outer, inner, anchor)
    assert 0 <= left <= outer[0] - inner[0]
    assert 0 <= top <= outer[1] - inner[1]
    if "right" in anchor:
        assert left + inner[0] == outer[0]
    if anchor == "center":
        assert 0 <= (outer[0] - inner[0]) - 2 * left <= 1


STEPS = st.builds(
    ImagePreprocessing,
    resize=st.none()
    | st.builds(Resize, width=WANTED, height=WANTED, fit=st.sampled_from(["stretch", "shortest", "longest"])),
    pad=st.none() | st.builds(Pad, width=WANTED, height=WANTED),
    crop=st.none() | st.builds(Crop, width=WANTED, height=WANTED),
    layout=st.sampled_from(["NCHW", "NHWC", "flat"]),
)


@given(STEPS, SIDE, SIDE)
def test_what_is_said_beforehand_of_the_size_holds_for_every_picture(preprocessing, width, height):
    size = (width, height)
    if preprocessing.resize is not None:
        size = resized(size, preprocessing.resize)
    if preprocessing.pad is not None:
        size = (max(size[0], preprocessing.pad.width), max(size[1], preprocessing.pad.height))
    crop = preprocessing.crop
    if crop is not None:
        fits = size[0] >= crop.width and size[1] >= crop.height
        problems = check_preprocessing(preprocessing, [Input(shape=None)])
        if problems and preprocessing.resize is None:
            assert not fits
        if not fits:
            return
        size = (crop.width, crop.height)
    for got, (low, high) in zip(size, made_size(preprocessing), strict=True):
        assert low <= got <= high


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"width": 8, "height": 6}, (3, 6, 8)),
        ({"width": 8}, (3, None, 8)),
        ({"mode": "L", "width": 8, "height": 6, "layout": "flat"}, (48,)),
        ({"layout": "flat"}, (None,)),
        ({"resize": {"size": 9, "fit": "shortest"}}, (3, None, None)),
        ({"resize": {"size": 9, "fit": "longest"}, "pad": {"width": 9, "height": 9}, "layout": "NHWC"}, (9, 9, 3)),
        ({"crop": {"width": 5, "height": 4}}, (3, 4, 5)),
    ],
)
def test_the_shape_is_known_where_the_steps_fix_it(keys, expected):
    assert made_shape(ImagePreprocessing(**keys)) == expected


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"resize": {"size": 3, "width": 4}}, "give it alone"),
        ({"resize": {}}, "give size"),
        ({"resize": {"size": 3, "interpolation": "lanczos", "antialias": False}}, "not with lanczos"),
        ({"resize": {"size": 3}, "width": 3}, "short for resize"),
        ({"resize": {"size": 0}}, "greater than or equal to 1"),
        ({"pad": {"width": 3, "height": 3, "colour": [1, 2]}}, "colour"),
        ({"crop": {"width": 3}}, "height"),
        ({"decoder": "quick"}, "decoder"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_it_is_read(keys, words):
    with pytest.raises(ValidationError, match=words):
        ImagePreprocessing.model_validate(keys)


def test_several_inputs_need_a_name():
    problems = check_preprocessing(ImagePreprocessing(), [Input("a"), Input("b")])
    assert [problem.pointer for problem in problems] == ["/input"]
    assert "a, b" in problems[0].hint
    text = check_preprocessing(ImagePreprocessing(input="b"), [Input("a"), Input("b", dtype="str", shape=None)])
    assert [problem.pointer for problem in text] == ["/input"]


def test_a_grey_picture_takes_no_colour():
    grey = ImagePreprocessing(mode="L", pad=Pad(width=3, height=3, colour=(1, 2, 3)))
    assert check_preprocessing(grey, [Input(shape=None)])[0].pointer == "/pad/colour"
