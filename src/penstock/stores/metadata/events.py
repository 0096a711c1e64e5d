"""The audit log: appended in the transaction of the change it records, chained by hashes, never changed.

``hash`` is the SHA-256 of the previous entry's hash and this entry's canonical JSON (sorted keys, no spaces,
UTF-8), so a changed, missing or inserted entry breaks the chain; a counter of its own tells a cut-off end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from penstock.entities.event import Event
from penstock.stores.metadata.statements import next_number
from penstock.stores.metadata.tables import counters, events

GENESIS = "0" * 64
_COUNTER = "events"


def append_event(
    connection: Connection, *, actor: str, verb: str, ref: str, detail: Mapping[str, Any], now: int
) -> Event:
    """Append an entry and return it; call it in the operation that makes the change.

    Parameters
    ----------
    detail : mapping
        JSON types only; NaN and infinity are refused with ValueError.
    """
    seq = next_number(connection, counters, _COUNTER)
    statement = select(events.c.hash).order_by(events.c.seq.desc()).limit(1)
    previous = connection.execute(statement).scalar_one_or_none() or GENESIS
    text = _canonical(dict(detail))
    entry = {"seq": seq, "at": now, "actor": actor, "verb": verb, "ref": ref}
    event_hash = _hash(previous, {**entry, "detail": json.loads(text)})
    connection.execute(insert(events).values(**entry, detail=text, previous_hash=previous, hash=event_hash))
    return Event(**entry, detail=json.loads(text), previous_hash=previous, hash=event_hash)


def list_events(connection: Connection, after: int = 0, limit: int = 100) -> list[Event]:
    """Return the entries after a sequence number, oldest first."""
    statement = select(events).where(events.c.seq > after).order_by(events.c.seq).limit(limit)
    return [_event(row) for row in connection.execute(statement)]


def entry_hash(previous: str, event: Event) -> str:
    """Return the hash an entry must have after one with the hash ``previous``."""
    return _hash(previous, event.model_dump(exclude={"previous_hash", "hash"}))


def verify_chain(connection: Connection, *, limit: int = 100) -> list[str]:
    """Walk the whole log and return what is wrong with it, one sentence each; empty where it is intact.

    Parameters
    ----------
    limit : int
        Stop after so many findings.
    """
    found: list[str] = []
    previous, expected = GENESIS, 1
    with connection.execute(select(events).order_by(events.c.seq)) as rows:
        for row in rows:
            found += _faults(row, previous, expected)
            previous, expected = row.hash, row.seq + 1
            if len(found) >= limit:
                return found[:limit]
    count = select(counters.c.value).where(counters.c.name == _COUNTER)
    last = int(connection.execute(count).scalar_one_or_none() or 0)
    if last >= expected:
        found.append(_missing(expected, last))
    elif last < expected - 1:
        found.append(f"Entry {expected - 1} is beyond the last one that was written, {last}.")
    return found[:limit]


def _faults(row: Row[Any], previous: str, expected: int) -> list[str]:
    found = []
    if row.seq != expected:
        found.append(_missing(expected, row.seq - 1))
    elif row.previous_hash != previous:
        found.append(f"Entry {row.seq} does not follow the entry before it.")
    try:
        is_intact = entry_hash(row.previous_hash, _event(row)) == row.hash
    except ValueError:
        is_intact = False
    if not is_intact:
        found.append(f"Entry {row.seq} was changed.")
    return found


def _missing(first: int, last: int) -> str:
    return f"Entry {first} is missing." if first == last else f"Entries {first} to {last} are missing."


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _hash(previous: str, entry: Mapping[str, Any]) -> str:
    return hashlib.sha256(previous.encode() + _canonical(entry).encode("utf-8", "surrogatepass")).hexdigest()


def _event(row: Row[Any]) -> Event:
    return Event.model_validate({**row._asdict(), "detail": json.loads(row.detail)})
