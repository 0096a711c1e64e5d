from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.rules.traffic import SECOND_STEP, LowDiscrepancyPicker, check_traffic


@pytest.mark.parametrize("traffic", [{}, {"blue": 0}, {"blue": 100}, {"blue": 90, "green": 10}, {"gone": 0}])
def test_a_good_split_has_no_problems(traffic):
    assert check_traffic(traffic, ["blue", "green"]) == []


@pytest.mark.parametrize(
    ("traffic", "pointer", "words"),
    [
        ({"blue": 50}, "/traffic", "sum to 50"),
        ({"blue": 60, "green": 60}, "/traffic", "sum to 120"),
        ({"red": 100}, "/traffic/red", 'no deployment "red"'),
        ({"blue": 150, "green": -50}, "/traffic/blue", "not a percentage"),
        ({"a/b": 100}, "/traffic/a~1b", "no deployment"),
    ],
)
def test_a_bad_split_is_named_with_its_place(traffic, pointer, words):
    problems = check_traffic(traffic, ["blue", "green"])
    assert any(problem.pointer == pointer and words in problem.message for problem in problems)
    assert all(problem.hint for problem in problems)


@pytest.mark.parametrize(
    ("mirror", "words"),
    [
        ({"green": 51}, "cannot be mirrored"),
        ({"blue": 10}, "live traffic"),
        ({"green": 10, "red": 10}, "more than one"),
        ({"gone": 10}, "no deployment"),
    ],
)
def test_a_bad_mirror_is_refused(mirror, words):
    problems = check_traffic({"blue": 100}, ["blue", "green", "red"], mirror=mirror)
    assert words in problems[0].message


def test_a_mirror_of_half_is_fine():
    assert check_traffic({"blue": 100}, ["blue", "green"], mirror={"green": 50}) == []


def test_nothing_is_picked_where_nothing_has_weight():
    assert LowDiscrepancyPicker({}).pick() is None
    assert LowDiscrepancyPicker({"blue": 0}).pick() is None


def test_what_has_no_weight_is_never_picked():
    picker = LowDiscrepancyPicker({"blue": 100, "green": 0})
    assert {picker.pick() for _ in range(100)} == {"blue"}


@given(
    weights=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 100), min_size=1).filter(
        lambda weights: sum(weights.values()) > 0
    ),
    seed=st.integers(0, 2**64 - 1),
    picks=st.integers(1, 2000),
)
@example(weights={"blue": 90, "green": 10}, seed=0, picks=1000)
def test_counts_stay_close_to_the_weights(weights, seed, picks):
    picker = LowDiscrepancyPicker(weights, seed)
    counts = dict.fromkeys(weights, 0)
    for _ in range(picks):
        name = picker.pick()
        assert name is not None
        counts[name] += 1
    total = sum(weights.values())
    # The golden ratio's discrepancy is below 2 + 1.5 · log2(N) for any interval; draws would be off by √N / 2.
    allowed = 2 + 1.5 * picks.bit_length()
    assert all(abs(counts[name] - picks * weight / total) <= allowed for name, weight in weights.items())
    assert all(counts[name] == 0 for name, weight in weights.items() if weight == 0)


@pytest.mark.parametrize(("live", "copied"), [(50, 50), (60, 20), (90, 10), (10, 50), (99, 1)])
def test_a_second_choice_falls_alike_on_what_the_first_chose(live, copied):
    split = LowDiscrepancyPicker({"blue": live, "green": 100 - live})
    mirror = LowDiscrepancyPicker({"yes": copied, "no": 100 - copied}, step=SECOND_STEP)
    both = Counter((split.pick(), mirror.pick()) for _ in range(10_000))
    for name, share in (("blue", live), ("green", 100 - live)):
        assert both[name, "yes"] == pytest.approx(share * copied, abs=40)  # draws would be off by as much as 150
