from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.chain import GENESIS, ChainWalk, Damage, Finding, Link, entry_hash, is_own_hash

Log = list[Link]


def append(log: Log, actor: str = "ann", detail: str = "{}", *, seq: int | None = None) -> None:
    """Append an entry as the store does."""
    previous = log[-1].hash if log else GENESIS
    number = seq if seq is not None else len(log) + 1
    content = (number, 1000 + number, actor, "create", f"model:m:{number}", detail)
    log.append(Link(*content, previous, entry_hash(previous, *content)))


def make(count: int) -> Log:
    log: Log = []
    for _ in range(count):
        append(log)
    return log


def rehashed(link: Link) -> Link:
    return link._replace(hash=entry_hash(link.previous_hash, *link[:6]))


def relinked(log: Log, start: int) -> Log:
    """Return the log with every hash from an index on computed anew."""
    made = log[:start]
    for link in log[start:]:
        made.append(rehashed(link._replace(previous_hash=made[-1].hash if made else GENESIS)))
    return made


def renumbered(log: Log) -> Log:
    return [link._replace(seq=number) for number, link in enumerate(log, 1)]


def verify(log: Log, counter: int, page: int = 10**9) -> list[Finding]:
    """Walk a log in pages, as the store does."""
    found: list[Finding] = []
    after: Link | None = None
    ordered = sorted(log, key=lambda link: link.seq)
    for begin in range(0, max(len(ordered), 1), page):
        walk = ChainWalk(after)
        piece = ordered[begin : begin + page]
        for link in piece:
            found += walk.step(link)
        after = piece[-1] if piece else None
        found += walk.finish(counter) if begin + page >= len(ordered) else walk.pause()
    return found


@given(st.integers(0, 30), st.integers(1, 7))
def test_an_intact_log_has_no_findings(count: int, page: int) -> None:
    assert verify(make(count), count, page) == []


@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers()))
def test_an_entry_s_hash_is_that_of_its_canonical_json(actor: str, detail: dict[str, object]) -> None:
    import hashlib

    text = json.dumps(detail, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    entry = {"seq": 1, "at": 5, "actor": actor, "verb": "v", "ref": "r", "detail": detail}
    whole = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    expected = hashlib.sha256(GENESIS.encode() + whole.encode("utf-8", "surrogatepass")).hexdigest()
    assert entry_hash(GENESIS, 1, 5, actor, "v", "r", text) == expected


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
@pytest.mark.parametrize("at", [1, 2, 5, 9, 10])
@pytest.mark.parametrize(
    "change",
    [
        lambda link: link._replace(detail='{"n":7}'),
        lambda link: link._replace(detail="{"),
        lambda link: link._replace(detail=7),
        lambda link: link._replace(detail="{ }"),
        lambda link: link._replace(actor="eve"),
        lambda link: link._replace(at=1),
        lambda link: link._replace(at="1"),
        lambda link: link._replace(verb="delete"),
        lambda link: link._replace(ref="model:x:1"),
        lambda link: link._replace(hash="0" * 64),
        lambda link: link._replace(hash=b""),
        lambda link: link._replace(previous_hash="1" * 64),
    ],
)
def test_a_changed_entry_is_found_at_its_place(page: int, at: int, change: Callable[[Link], Link]) -> None:
    log = make(10)
    log[at - 1] = change(log[at - 1])
    (found,) = verify(log, 10, page)
    assert (found.damage, found.first, found.last) == (Damage.CHANGED, at, at)


@pytest.mark.parametrize("page", [1, 2, 1000])
@pytest.mark.parametrize("at", [1, 2, 9])
def test_a_changed_entry_with_its_hash_made_anew_is_found_by_the_next_one(page: int, at: int) -> None:
    log = make(10)
    log[at - 1] = rehashed(log[at - 1]._replace(actor="eve"))
    (found,) = verify(log, 10, page)
    assert (found.damage, found.first) == (Damage.CHANGED, at)


@pytest.mark.parametrize("page", [1, 3, 1000])
@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 3), (4, 4), (4, 6), (10, 10), (8, 10), (1, 10)])
def test_missing_entries_are_found(page: int, first: int, last: int) -> None:
    log = make(10)
    del log[first - 1 : last]
    (found,) = verify(log, 10, page)
    assert (found.damage, found.first, found.last) == (Damage.MISSING, first, last)


@pytest.mark.parametrize(("first", "count"), [(1, 1), (4, 1), (4, 3), (9, 1)])
def test_missing_entries_are_found_though_the_others_were_renumbered(first: int, count: int) -> None:
    log = make(12)
    del log[first - 1 : first - 1 + count]
    found = verify(renumbered(log), len(log))
    assert (found[0].damage, found[0].first) == (Damage.MISSING, first)
    assert verify(renumbered(log), 12)[0].first == first


@pytest.mark.parametrize("is_linked", [True, False])
@pytest.mark.parametrize("at", [1, 2, 5, 10])
def test_an_inserted_entry_is_found_though_the_others_were_renumbered(at: int, is_linked: bool) -> None:
    log = make(10)
    head = log[: at - 1]
    append(head, "eve", seq=at)
    if not is_linked:
        head[-1] = head[-1]._replace(hash="2" * 64)
    forged = renumbered(head + log[at - 1 :])
    for counter in (10, 11):
        found = verify(forged, counter)
        assert found[0].first == at
        assert found[0].damage in {Damage.INSERTED, Damage.CHANGED}
    assert verify(forged, 11)[0].damage is Damage.INSERTED


def test_an_entry_after_the_last_one_or_before_the_first_is_found() -> None:
    log = make(3)
    append(log)
    (found,) = verify(log, 3)
    assert (found.damage, found.first) == (Damage.INSERTED, 4)
    (found,) = verify([*make(3), rehashed(make(1)[0]._replace(seq=0))], 3)
    assert (found.damage, found.first) == (Damage.INSERTED, 0)


@pytest.mark.parametrize(("one", "other"), [(1, 2), (4, 5), (2, 7), (1, 10), (9, 10)])
@pytest.mark.parametrize("with_hashes", [True, False])
def test_swapped_entries_are_found_at_the_first(one: int, other: int, with_hashes: bool) -> None:
    log = make(10)
    a, b = log[one - 1], log[other - 1]
    if with_hashes:
        log[one - 1], log[other - 1] = b._replace(seq=one), a._replace(seq=other)
    else:
        log[one - 1] = Link(one, *b[1:6], *a[6:])
        log[other - 1] = Link(other, *a[1:6], *b[6:])
    assert verify(log, 10)[0].first == one


def test_a_tail_that_was_rewritten_whole_looks_intact_without_a_noted_head() -> None:
    log = make(10)
    log[4] = log[4]._replace(actor="eve")
    assert verify(relinked(log, 4), 10) == []


@given(st.data())
def test_any_single_change_is_found_at_its_place(data: st.DataObject) -> None:
    log = make(data.draw(st.integers(1, 20)))
    index = data.draw(st.integers(0, len(log) - 1))
    field = data.draw(st.sampled_from(["at", "actor", "verb", "ref", "detail", "previous_hash", "hash"]))
    old = getattr(log[index], field)
    strategy = st.integers(0, 2**62) if field == "at" else st.text(max_size=70)
    changed: dict[str, Any] = {field: data.draw(strategy.filter(lambda value: value != old))}
    log[index] = log[index]._replace(**changed)
    found = verify(log, len(log), data.draw(st.integers(1, 25)))
    assert found[0].first == index + 1
    assert {finding.first for finding in found} == {index + 1}


@given(st.data())
def test_any_entries_taken_out_are_told(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 20))
    gone = data.draw(st.sets(st.integers(1, count), min_size=1))
    log = [link for link in make(count) if link.seq not in gone]
    found = verify(log, count, data.draw(st.integers(1, 25)))
    assert {seq for finding in found for seq in range(finding.first, finding.last + 1)} == gone
    assert {finding.damage for finding in found} == {Damage.MISSING}


@given(st.data())
def test_any_permutation_is_found_at_its_first_place(data: st.DataObject) -> None:
    log = make(data.draw(st.integers(2, 12)))
    order = data.draw(st.permutations(range(len(log))))
    if list(order) == list(range(len(log))):
        return
    moved = renumbered([log[index] for index in order])
    first = next(place for place, index in enumerate(order) if place != index) + 1
    assert verify(moved, len(log))[0].first == first


def test_own_hash_is_found_under_another_number() -> None:
    link = make(3)[2]
    assert is_own_hash(link)
    assert is_own_hash(link._replace(seq=5), 2)
    assert not is_own_hash(link._replace(seq=5))
