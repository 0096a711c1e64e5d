from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from penstock.jobs.brought import Brought

STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.sampled_from(["note", "forget"])), max_size=60)


def digest(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


@given(STEPS)
def test_what_one_brought_is_no_others(steps):
    brought, known = Brought(), set()
    for holder, number, what in steps:
        if what == "note":
            brought.note(holder, digest(number))
            known.add((holder, number))
        else:
            brought.forget(holder)
            known = {one for one in known if one[0] != holder}
    for holder in "abc":
        for number in range(10):
            assert brought.has(holder, digest(number)) == ((holder, number) in known)


@given(STEPS, st.integers(1, 8))
def test_it_holds_so_much_and_the_newest(steps, most):
    brought = Brought(most)
    for holder, number, what in steps:
        brought.note(holder, digest(number)) if what == "note" else brought.forget(holder)
    assert sum(brought.has(holder, digest(number)) for holder in "abc" for number in range(10)) <= most
    brought = Brought(most)
    for number in range(100):
        brought.note("a", digest(number))
    assert [number for number in range(100) if brought.has("a", digest(number))] == list(range(100 - most, 100))
