"""The pictures beside the tables: what names, legends and odd values become, seen in their pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from penstock.shim import canvas, font, log, matrix, plots

NAN = float("nan")


def seen(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def count(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((pixels == np.array(colour)).all(axis=2).sum())


def inked(pixels: np.ndarray) -> int:
    return int((pixels != 255).any(axis=2).sum())


@pytest.mark.parametrize(
    ("text", "plain"),
    [("Größe", "Grosse"), ("naïve café", "naive cafe"), ("±1", "+-1"), ("猫", "?"), ("a\nb", "a?b"), ("~ !", "~ !")],
)
def test_texts_are_written_in_the_signs_there_are(text, plain):
    assert font.plain_text(text) == plain


def test_every_sign_is_another_and_lies_in_its_cell():
    signs = [font.columns_of(chr(code)) for code in range(32, 127)]
    assert len({*signs}) == 95
    assert all(len(sign) == font.WIDTH for sign in signs)


def test_what_is_cut_out_of_a_label_is_its_middle():
    assert font.clipped("class number 17", 10) == "clas..r 17"
    assert font.clipped("class 17", 10) == "class 17"


def test_a_text_upright_is_the_same_text_turned():
    flat, upright = canvas.Canvas(100, 30), canvas.Canvas(30, 100)
    flat.write(50, 15, "Abg j")
    upright.write_up(15, 50, "Abg j")
    assert inked(seen(flat.as_png())) == inked(seen(upright.as_png())) > 100


@pytest.mark.parametrize("size", [1, 2, 10, 40, 130])
@pytest.mark.parametrize("label", ["%d", "a rather long name of class %d"])
def test_a_matrix_has_its_title_labels_and_axes_inside_the_picture(size, label):
    rows = (np.eye(size) * 90 + 1).tolist()
    named = seen(matrix.draw_matrix(rows, [label % number for number in range(size)], "confusion"))
    bare = seen(matrix.draw_matrix(rows, [" "] * size))
    assert max(named.shape) < 1300
    assert inked(named) > inked(bare) + 100
    edges = [named[0], named[-1], named[:, 0], named[:, -1]]
    assert all((edge == 255).all() for edge in edges)


def test_a_cell_that_is_no_number_is_struck_out_and_shades_its_row_no_less():
    pixels = seen(matrix.draw_matrix([[NAN, 3.0], [0.0, 5.0]], ["a", "b"]))
    assert count(pixels, matrix.HATCH) > 500
    assert count(pixels, canvas.BLUE) > 2 * 150 * 150
    assert count(seen(matrix.draw_matrix([[1.0, 3.0], [0.0, 5.0]], ["a", "b"])), matrix.HATCH) == 0


@pytest.mark.parametrize(
    ("value", "spellings"),
    [
        (0.0, ["0"]),
        (12345.0, ["12345", "12.3k", "12k"]),
        (2500000.0, ["2500000", "2.5M", "2M"]),
        (0.125, ["0.125", "0.12", "0.1"]),
        (1e20, ["1.0e+20", "1e+20"]),
    ],
)
def test_a_count_is_spelled_as_exactly_as_fits(value, spellings):
    assert matrix._spellings(value) == spellings


def test_counts_of_a_matrix_are_summed_up_and_shares_are_not():
    assert matrix._summary([[8, 2], [0, 10]]) == "20 samples, accuracy 0.900"
    assert matrix._summary([[0, 0], [0, 0]]) == "0 samples"
    assert matrix._summary([[0.5, 0.5], [0, 1]]) == matrix._summary([[NAN]]) == matrix._summary([[-1]]) == ""


@pytest.mark.parametrize("classes", [1, 2, 10, 25, 70])
def test_every_curve_is_in_the_legend_below(classes):
    curve = [(0.0, 0.0), (0.2, 0.8), (1.0, 1.0)]
    panel = plots.Panel("ROC", "False positive rate", "True positive rate", [curve] * classes, has_chance_line=True)
    drawn = plots.draw_curves([panel, panel], [f"class {number}" for number in range(classes)], "table")
    legend = seen(drawn)[plots.ABOVE + plots.LINE + plots.SIDE + plots.BELOW :]
    shown = min(classes, plots.MAX_CURVES)
    for index, colour in enumerate(plots.SERIES[:shown]):
        times = len(range(index, shown, len(plots.SERIES)))
        assert count(legend, colour) == times * 22 * 5


def test_the_legend_says_the_area_under_each_curve(job):
    assert plots.area([(1.0, 1.0), (0.0, 1.0), (0.0, 0.0)]) == 1.0
    assert plots.area([(0.0, 0.0), (1.0, 1.0)]) == 0.5
    log.log_accuracy_table("t", y_true=["cat", "dog"], y_score=[[0.9, 0.1], [0.2, 0.8]])
    log.log_accuracy_table("long name " * 20, y_true=[1], y_score=[[1.0]])
    assert job.picture("accuracy_table/t.png")[1].shape[1] == 2 * (plots.LEFT + plots.SIDE + plots.RIGHT)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.5, "0.5"), (-0.000102, "-1.02e-4"), (5.04e7, "5.04e7"), (1e-300, "1e-300"), (123.4, "123")],
)
def test_ticks_are_short(value, text):
    assert plots.tick(value) == text


def test_bins_that_hold_no_numbers_are_drawn_as_axes_alone():
    for png in (
        plots.draw_bars([0.0, 1.0], [NAN], "r"),
        plots.draw_bars([-1.0, 1.0], [0.0], "r"),
        plots.draw_bars([NAN, 1.0], [2.0], "r"),
        plots.draw_predictions([0.0, 1.0], [NAN], [NAN], [3.0], "p"),
        plots.draw_predictions([NAN, NAN], [1.0], [0.0], [1.0], "p"),
    ):
        assert inked(seen(png)) > 500


def test_residuals_have_a_line_at_zero():
    with_zero = plots.draw_bars([-1.0, 0.0, 1.0], [1.0, 1.0])
    without = plots.draw_bars([1.0, 2.0, 3.0], [1.0, 1.0])
    column = plots.LEFT + plots.SIDE // 2
    assert (seen(with_zero)[plots.ABOVE + 5 : plots.ABOVE + plots.SIDE - 5, column] == canvas.DARK).all()
    assert not (seen(without)[plots.ABOVE + 5 : plots.ABOVE + plots.SIDE - 5, column] == canvas.DARK).all()
