from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.scaling import ScaleLimits, ScaleState, check_scaling, first_state, needed, scale

LIMITS = ScaleLimits(min_instances=0, max_instances=4, slots=2, target=0.5, delay_ms=1_000)


@pytest.mark.parametrize(("demand", "instances"), [(0, 0), (0.1, 1), (1, 1), (1.1, 2), (4, 4), (100, 4)])
def test_the_share_of_busy_slots_stays_at_the_target(demand, instances):
    assert needed(LIMITS, demand) == instances


def test_more_are_there_at_once_fewer_after_the_delay():
    state = scale(LIMITS, ScaleState(1), 3, now=0)
    assert state.instances == 3
    state = scale(LIMITS, state, 0, now=100)
    state = scale(LIMITS, state, 2, now=600)
    assert state.instances == 3
    state = scale(LIMITS, state, 0, now=1_100)
    assert state.instances == 2  # the most that was needed meanwhile
    state = scale(LIMITS, scale(LIMITS, state, 0, now=1_200), 0, now=2_200)
    assert state.instances == 0


def test_a_burst_begins_the_delay_anew():
    state = scale(LIMITS, ScaleState(3), 0, now=0)
    state = scale(LIMITS, state, 3, now=900)
    state = scale(LIMITS, state, 0, now=1_100)
    assert state.instances == 3
    assert scale(LIMITS, state, 0, now=2_099).instances == 3


def test_a_revision_begins_with_one_or_with_what_runs():
    assert first_state(LIMITS, 0) == ScaleState(1)
    assert first_state(LIMITS, 3) == ScaleState(3)
    assert first_state(LIMITS, 9) == ScaleState(4)
    assert first_state(ScaleLimits(2, 4, 1, 0.7, 0), 0) == ScaleState(2)


@given(
    st.integers(0, 5), st.integers(1, 10), st.lists(st.tuples(st.integers(0, 5_000), st.floats(0, 200)), max_size=30)
)
def test_the_bounds_hold_and_nothing_is_ended_while_it_is_needed(low, more, loads):
    limits = ScaleLimits(low, max(1, low) + more, 3, 0.7, 1_000)
    state, now = first_state(limits, 0), 0
    for pause, demand in loads:
        now += pause
        state = scale(limits, state, demand, now=now)
        assert limits.min_instances <= state.instances <= limits.max_instances
        assert state.instances >= needed(limits, demand)


def test_bounds_that_cross_are_named():
    assert check_scaling(1, 1) == []
    assert "above max_instances" in check_scaling(3, 2)[0].message
