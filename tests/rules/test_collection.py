"""What a permanent deletion takes, decided by the records and the time alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.collection import Deleted, Kind, decide, find_digests

digests = st.text("0123456789abcdef", min_size=64, max_size=64)
records = st.lists(
    st.builds(
        Deleted,
        kind=st.sampled_from(Kind),
        row=st.integers(0, 5),
        name=st.just("x"),
        deleted_at=st.integers(0, 100),
        experiment=st.integers(0, 5),
        is_busy=st.booleans(),
        follows=st.booleans(),
        lives=st.integers(0, 2),
    ),
    max_size=20,
)


@given(records, st.integers(0, 100), st.integers(0, 100))
def test_what_goes_is_old_idle_and_leaves_nothing_behind(found: list[Deleted], now: int, older_than: int) -> None:
    removal = decide(found, now=now, older_than_ms=older_than)
    assert len(removal.going) + len(removal.kept) == len(found)
    assert all(record.deleted_at <= now - older_than and not record.is_busy for record in removal.going)
    assert all(kept.reason for kept in removal.kept)
    gone = {record.row for record in removal.going if record.kind is Kind.EXPERIMENT}
    assert 0 not in gone
    assert all(not record.follows or record.experiment in gone for record in removal.going if record.experiment != 0)
    for kept in removal.kept:
        assert kept.record.kind is Kind.EXPERIMENT or kept.record.experiment not in gone
    kinds = [record.kind for record in removal.going]
    assert kinds == sorted(kinds, key=list(Kind).index)


@given(st.lists(digests, max_size=5), st.text('xyz:/" ,', min_size=1, max_size=3))
def test_every_digest_in_a_document_is_found(named: list[str], between: str) -> None:
    text = between.join(["", *named, ""]) if "x" not in between and "y" not in between and "z" not in between else ""
    assert list(find_digests(text)) == (named if text else [])


def test_a_longer_number_is_no_digest() -> None:
    assert list(find_digests("a" * 65)) == []
    assert list(find_digests("tree:" + "a" * 64)) == ["a" * 64]


def test_what_a_version_reads_that_was_deleted_lately_waits_for_it() -> None:
    record = Deleted(Kind.RUN, 1, "a", deleted_at=100, used_until=900)
    assert "a version without files" in decide([record], now=1000, older_than_ms=500).kept[0].reason
    assert decide([record], now=1400, older_than_ms=500).going == (record,)
