from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli.fitting import fit
from penstock.cli.plot import draw, sparkline

values = st.lists(st.floats(width=32), max_size=200)


def test_a_rising_line_rises() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], unicode=True) == "▁▂▃▄▅▆▇█"
    assert sparkline([1, 1], unicode=True) == "▁▁"
    assert sparkline([1, math.nan, 2], unicode=False) == "_ @"
    assert sparkline([math.nan]) == ""


def test_a_curve_has_axes_with_their_ends() -> None:
    lines = draw([(step, step * 2.0) for step in range(11)], width=30, height=8, unicode=False)
    assert lines[0].split() == ["20", "|", "**"]
    assert lines[-1].split() == ["0", "10"]
    assert lines[-3].startswith("         0 |**")


@given(values, st.integers(10, 120), st.integers(3, 40), st.booleans())
def test_any_values_fit_the_picture(points: list[float], width: int, height: int, unicode: bool) -> None:
    lines = draw(list(enumerate(points)), width=width, height=height, unicode=unicode)
    assert len(lines) == 1 or len(lines) == max(3, height - 2) + 2
    assert len(sparkline(points, width, unicode=unicode)) <= width


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_table_fits(width: int) -> None:
    rows = [{"RUN": "a" * 12, "NAME": "b" * 50, "metrics.loss": "0.1", "params.p": "c" * 30}]
    fitted, left_out = fit(rows, width=width, fixed=("RUN",))
    assert sum(len(str(cell)) for cell in fitted[0].values()) + 2 * (len(fitted[0]) - 1) <= width
    assert fitted[0]["RUN"] == "a" * 12
    assert list(fitted[0]) + left_out == list(rows[0])
    assert fit(rows, width=200)[0] == rows
