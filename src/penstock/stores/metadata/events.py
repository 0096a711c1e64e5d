"""The audit log: appended in the transaction of the change it records, chained by hashes, never changed.

What the chain is stands in :mod:`penstock.rules.chain`. A counter beside the entries tells a cut-off end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, literal_column, select

from penstock.entities.event import Event
from penstock.rules import chain
from penstock.rules.chain import GENESIS, ChainWalk, Finding, Link
from penstock.stores.metadata.engine.statements import HotStatement, insert_into
from penstock.stores.metadata.tables import counters, events

_COUNTER = "events"
_CHUNK = 1000
_LAST_MS = 253_402_300_800_000  # the year 10000


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which entries are wanted; times in ms UTC, ``until`` is excluded; a ``ref`` that ends in ``*`` is a prefix."""

    actor: str | None = None
    verb: str | None = None
    ref: str | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry's number and hash; 0 and the genesis hash where there is none."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class WalkedPage:
    """What a walk over some entries found.

    Parameters
    ----------
    checked : int
        How many entries were read.
    last : Head
        The last of them, where the next page begins; the given one if there was none.
    is_end : bool
        Whether the log ends here; then its end was compared with the counter.
    total : int
        The number that was given out last.
    """

    checked: int
    findings: tuple[Finding, ...]
    last: Head
    is_end: bool
    total: int


def _next_seq(dialect: str) -> Any:
    statement = insert_into(dialect, counters)
    number = counters.c.value + literal_column("1")
    last = select(events.c.hash).where(events.c.seq == select(func.max(events.c.seq)).scalar_subquery())
    statement = statement.on_conflict_do_update(index_elements=["name"], set_={"value": number})
    return statement.returning(counters.c.value, last.scalar_subquery())


# Most changes over the MLflow protocol write an event: as cheap as the change itself.
_NEXT_SEQ = HotStatement(_next_seq, "name", "value")
_ADD_EVENT = HotStatement(lambda dialect: insert_into(dialect, events), *Link._fields)


def append_event(
    connection: Connection, *, actor: str, verb: str, ref: str, detail: Mapping[str, Any], now: int
) -> Event:
    """Append an entry and return it; call it in the operation that makes the change.

    Parameters
    ----------
    detail : mapping
        JSON types only; NaN and infinity are refused with ValueError.
    """
    seq, last = _NEXT_SEQ.first(connection, (_COUNTER, 1))
    previous = GENESIS if last is None else str(last)
    text = _canonical(dict(detail))
    event_hash = chain.entry_hash(previous, seq, now, actor, verb, ref, text)
    _ADD_EVENT.run(connection, (seq, now, actor, verb, ref, text, previous, event_hash))
    entry = {"seq": seq, "at": now, "actor": actor, "verb": verb, "ref": ref, "detail": json.loads(text)}
    return Event(**entry, previous_hash=previous, hash=event_hash)


def list_events(
    connection: Connection,
    after: int = 0,
    limit: int = 100,
    query: EventQuery | None = None,
    *,
    is_newest_first: bool = False,
) -> list[Event]:
    """Return entries after a number, oldest first; or, newest first, those before it, where 0 is the end."""
    wanted = select(events).where(*_conditions(query or EventQuery())).limit(limit)
    if is_newest_first:
        wanted = wanted.where(events.c.seq < after) if after else wanted
        wanted = wanted.order_by(events.c.seq.desc())
    else:
        wanted = wanted.where(events.c.seq > after).order_by(events.c.seq)
    return [_event(row) for row in connection.execute(wanted)]


def get_head(connection: Connection) -> Head:
    """Return the log's head, which whoever wants to find a rewritten log notes elsewhere."""
    row = connection.execute(select(events.c.seq, events.c.hash).order_by(events.c.seq.desc()).limit(1)).one_or_none()
    return Head(0, GENESIS) if row is None else Head(row.seq, row.hash)


def entry_hash(previous: str, event: Event) -> str:
    """Return the hash an entry must have after one with the hash ``previous``."""
    detail = _canonical(event.detail)
    return chain.entry_hash(previous, event.seq, event.at, event.actor, event.verb, event.ref, detail)


def walk_chain(
    connection: Connection, after: int | None = None, *, limit: int, expect: Head | None = None
) -> WalkedPage:
    """Verify one page of the log, about 10 µs an entry.

    Parameters
    ----------
    after : int, optional
        The number of the last entry of the page before; None for the first page.
    limit : int
        So many entries at most.
    expect : Head, optional
        A head that was noted earlier: the entry of that number must still have that hash.
    """
    before = None if after is None else _link_at(connection, after)
    walk = ChainWalk(before)
    wanted = select(events).order_by(events.c.seq).limit(limit)
    rows = connection.execute(wanted if after is None else wanted.where(events.c.seq > after)).all()
    findings: list[Finding] = []
    for row in rows:
        link = Link(*row)
        findings += walk.step(link)
        if expect is not None and link.seq == expect.seq and link.hash != expect.hash:
            findings.append(chain.rewritten(link.seq))
    last = Head(rows[-1].seq, str(rows[-1].hash)) if rows else Head(after or 0, before.hash if before else GENESIS)
    is_end = len(rows) < limit
    count = select(counters.c.value).where(counters.c.name == _COUNTER)
    total = int(connection.execute(count).scalar_one_or_none() or 0)
    if is_end:
        findings += walk.finish(total)
        if expect is not None and expect.seq > max(last.seq, total):
            findings.append(chain.missing(max(last.seq, total) + 1, expect.seq))
    else:
        findings += walk.pause()
    return WalkedPage(len(rows), tuple(findings), last, is_end, total)


def verify_chain(connection: Connection, *, limit: int = 100) -> list[str]:
    """Walk the whole log and return what is wrong with it, one sentence each; empty where it is intact.

    Parameters
    ----------
    limit : int
        Stop after so many findings.
    """
    found: list[str] = []
    after: int | None = None
    while len(found) < limit:
        page = walk_chain(connection, after, limit=_CHUNK)
        found += [finding.message for finding in page.findings]
        after = page.last.seq
        if page.is_end:
            break
    return found[:limit]


def _conditions(query: EventQuery) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.actor is not None:
        found.append(events.c.actor == query.actor)
    if query.verb is not None:
        found.append(events.c.verb == query.verb)
    if query.ref is not None and query.ref.endswith("*"):
        prefix = query.ref[:-1]
        found.append(func.substr(events.c.ref, 1, len(prefix)) == prefix)
    elif query.ref is not None:
        found.append(events.c.ref == query.ref)
    if query.since is not None:
        found.append(events.c.at >= query.since)
    if query.until is not None:
        found.append(events.c.at < query.until)
    return found


def _link_at(connection: Connection, seq: int) -> Link | None:
    row = connection.execute(select(events).where(events.c.seq == seq)).one_or_none()
    return None if row is None else Link(*row)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _event(row: Row[Any]) -> Event:
    """Return an entry as it is, unchecked: one that was tampered with must still be readable."""
    try:
        detail = json.loads(row.detail)
    except (TypeError, ValueError):
        detail = None
    return Event.model_construct(
        seq=row.seq,
        at=row.at if type(row.at) is int and 0 <= row.at < _LAST_MS else 0,
        actor=str(row.actor),
        verb=str(row.verb),
        ref=str(row.ref),
        detail=detail if isinstance(detail, dict) else {"unreadable": str(row.detail)[:200]},
        previous_hash=str(row.previous_hash),
        hash=str(row.hash),
    )
