"""The audit log's chain of hashes: what an entry's hash is, and what is wrong with a walk over entries.

``hash`` is the SHA-256 of the previous entry's hash and this entry's canonical JSON (sorted keys, no spaces, UTF-8),
numbers run from 1 without a gap. So whatever is changed, taken out or put in leaves a mark; only who rewrites every
hash from some entry on, and the counter beside the log, leaves none, and is found by a head that was noted earlier.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from json.encoder import encode_basestring
from typing import NamedTuple

GENESIS = "0" * 64
FARTHEST_SHIFT = 8
"""So many entries put in or taken out at one place are told apart from changed ones, if all others were renumbered."""


class Damage(StrEnum):
    """What happened to an entry."""

    CHANGED = "changed"
    MISSING = "missing"
    INSERTED = "inserted"
    REWRITTEN = "rewritten"


class Link(NamedTuple):
    """An entry as it is stored; ``detail`` is its JSON text."""

    seq: int
    at: int
    actor: str
    verb: str
    ref: str
    detail: str
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One damage: the entries from ``first`` to ``last``, and a sentence."""

    damage: Damage
    first: int
    last: int
    message: str


def entry_hash(previous: str, seq: int, at: int, actor: str, verb: str, ref: str, detail: str) -> str:
    """Return the hash of an entry after one with the hash ``previous``; ``detail`` is canonical JSON."""
    entry = (
        f'{{"actor":{encode_basestring(actor)},"at":{at},"detail":{detail},"ref":{encode_basestring(ref)},'
        f'"seq":{seq},"verb":{encode_basestring(verb)}}}'
    )
    return hashlib.sha256(previous.encode() + entry.encode("utf-8", "surrogatepass")).hexdigest()


def is_own_hash(link: Link, shift: int = 0) -> bool:
    """Return whether an entry's hash fits what it says, had its number been smaller by ``shift``."""
    texts = (link.actor, link.verb, link.ref, link.detail, link.previous_hash, link.hash)
    if not all(isinstance(text, str) for text in texts) or type(link.at) is not int:
        return False  # SQLite keeps any type in any column
    seq, at, actor, verb, ref, detail, previous, found = link
    return entry_hash(previous, seq - shift, at, actor, verb, ref, detail) == found


class ChainWalk:
    """Takes entries in the order of their numbers and says what is wrong with them.

    Parameters
    ----------
    after : Link, optional
        The entry before the first one that will be given; None at the beginning of the log.
    """

    def __init__(self, after: Link | None = None) -> None:
        self._expected = 1 if after is None else after.seq + 1
        self._hashes = deque([GENESIS if after is None else after.hash], FARTHEST_SHIFT + 1)
        self._shift = 0
        shift = 0 if after is None else self._find_shift(after)
        self._is_suspect = shift is None
        self._shift = shift or 0
        self._held: Finding | None = None
        self._held_shift = 0

    def step(self, link: Link) -> Iterator[Finding]:
        """Yield what is wrong with the next entry, or turned out to be wrong with the ones before."""
        if link.seq < 1:
            yield Finding(Damage.INSERTED, link.seq, link.seq, f"Entry {link.seq} was inserted: the first one is 1.")
            return
        has_gap = link.seq > self._expected
        if has_gap:
            yield from self._release()
            yield missing(self._expected, link.seq - 1)
        shift = self._find_shift(link)
        if self._held is not None and shift == self._held_shift != self._shift:
            yield self._held
            self._held, self._shift, self._is_suspect = None, self._held_shift, False
        elif shift == self._shift:
            yield from self._release()
            if not (has_gap or self._is_suspect or link.previous_hash == self._hashes[-1]):
                yield _replaced(link.seq)
            self._is_suspect = False
        elif shift is not None and self._was_inserted(link, shift - self._shift):
            yield _inserted(link.seq - (shift - self._shift), link.seq - 1)
            self._held, self._shift, self._is_suspect = None, shift, False
        else:
            yield from self._release()
            self._hold(link, shift)
        self._hashes.append(link.hash)
        self._expected = link.seq + 1

    def finish(self, counter: int) -> Iterator[Finding]:
        """Yield what is wrong at the end; ``counter`` is the number that was given out last."""
        yield from self._release()
        last = self._expected - 1 - self._shift
        if counter > last:
            yield missing(last + 1, counter)
        elif counter < last:
            message = f"Entry {last} was inserted: the last one that was written is {counter}."
            yield Finding(Damage.INSERTED, counter + 1, last, message)

    def pause(self) -> Iterator[Finding]:
        """Yield what is still held back; call it before the walk goes on with another one."""
        yield from self._release()

    def _release(self) -> Iterator[Finding]:
        if self._held is not None:
            seq = self._held.first
            yield Finding(Damage.CHANGED, seq, seq, f"Entry {seq} was changed.")
            self._held = None

    def _hold(self, link: Link, shift: int | None) -> None:
        """Keep an entry that does not fit, until the next one says whether it was changed, or all were renumbered."""
        self._held = Finding(Damage.CHANGED, link.seq, link.seq, f"Entry {link.seq} was changed.")
        self._held_shift = self._shift
        self._is_suspect = True
        if shift is not None and shift < self._shift:
            self._held_shift = shift
            self._held = missing(link.seq, link.seq + self._shift - shift - 1, " and what follows was renumbered")

    def _find_shift(self, link: Link) -> int | None:
        if is_own_hash(link, self._shift):
            return self._shift
        near = range(1, FARTHEST_SHIFT + 1)
        shifts = (self._shift + sign * distance for distance in near for sign in (1, -1))
        return next((shift for shift in shifts if is_own_hash(link, shift)), None)

    def _was_inserted(self, link: Link, count: int) -> bool:
        return 0 < count < len(self._hashes) and link.previous_hash == self._hashes[-1 - count]


def missing(first: int, last: int, remark: str = "") -> Finding:
    """Return the finding that entries are missing."""
    text = f"Entry {first} is missing" if first == last else f"Entries {first} to {last} are missing"
    return Finding(Damage.MISSING, first, last, f"{text}{remark}.")


def rewritten(seq: int) -> Finding:
    """Return the finding that a head noted earlier is not the log's own at that number."""
    message = f"Entry {seq} is not the one that was noted: the log was rewritten up to there, at an unknown entry."
    return Finding(Damage.REWRITTEN, seq, seq, message)


def _inserted(first: int, last: int) -> Finding:
    what = f"Entry {first} was" if first == last else f"Entries {first} to {last} were"
    return Finding(Damage.INSERTED, first, last, f"{what} inserted, and what follows was renumbered.")


def _replaced(seq: int) -> Finding:
    if seq == 1:
        return Finding(Damage.CHANGED, 1, 1, "Entry 1 was replaced: it claims to follow another one.")
    return Finding(
        Damage.CHANGED, seq - 1, seq - 1, f"Entry {seq - 1} was replaced: entry {seq} was written after another one."
    )
