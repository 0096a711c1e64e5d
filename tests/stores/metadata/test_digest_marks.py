from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.stores.metadata.removal.digest_marks import DigestMarks

digests = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(st.lists(digests), st.lists(digests))
def test_what_was_marked_is_in_and_nothing_else(named: list[str], others: list[str]) -> None:
    marks = DigestMarks()
    marks.add(named)
    marks.seal()
    assert all(digest in marks for digest in named)
    prefixes = {digest[:16] for digest in named}
    assert all((digest in marks) == (digest[:16] in prefixes) for digest in others)
    assert len(marks) == len(prefixes)
