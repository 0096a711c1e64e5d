from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.suggest import did_you_mean, nearest

KEYS = ["command", "code", "compute", "environment", "environment_variables", "inputs", "outputs", "type", "tags"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("comand", "command"),
        ("cmmoand", "command"),
        ("tpye", "type"),
        ("input", "inputs"),
        ("Outputs", "outputs"),
        ("enviroment", "environment"),
        ("environment-variables", "environment_variables"),
        ("env", "environment"),
    ],
)
def test_a_slip_of_the_keys_finds_what_was_meant(written, meant):
    assert nearest(written, KEYS)[0] == meant


@pytest.mark.parametrize("written", ["", "x", "zebra", "qqqq", "a_quite_different_word"])
def test_something_else_finds_nothing(written):
    assert nearest(written, KEYS) == []


def test_a_much_less_similar_name_is_left_out():
    assert nearest("inputs.dat", ["inputs.data", "inputs.lr", "inputs.n"]) == ["inputs.data"]


def test_two_equally_near_names_are_both_said():
    assert did_you_mean("digit-3", ["digit-1", "digit-2"]) == 'Did you mean "digit-1" or "digit-2"?'


@given(st.text(max_size=12), st.lists(st.text(max_size=12), max_size=8), st.integers(1, 4))
def test_answers_are_candidates_each_once(name, candidates, n):
    found = nearest(name, candidates, n)
    assert len(found) <= n
    assert len(set(found)) == len(found)
    assert set(found) <= set(candidates)


@given(st.text(alphabet="abcdef_", min_size=4, max_size=12), st.integers(0, 20))
def test_one_dropped_letter_is_always_forgiven(name, at):
    at %= len(name)
    assert nearest(name[:at] + name[at + 1 :], [name]) == [name]
