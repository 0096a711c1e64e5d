"""The audit log from end to end: written out as JSON lines, or verified; run in the process beside the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from sqlalchemy import Connection

from penstock.entities.event import Event
from penstock.rules.chain import Finding
from penstock.rules.instants import rfc3339
from penstock.server.export_order import EventsExport, EventsVerification
from penstock.stores.metadata import events

Read = Callable[[], AbstractContextManager[Connection]]

PIECE = 1000


def show_event(event: Event) -> dict[str, Any]:
    """Return an entry as REST shows it; unlike ``wire.entity`` cheap enough for a million of them."""
    return {**event.__dict__, "at": rfc3339(event.at)}


def export_events(read: Read, task: EventsExport) -> Iterator[bytes]:
    """Yield the entries as they were when it began, one JSON object a line, with their hashes."""
    with read() as connection:
        end = events.get_head(connection).seq
    after = task.after
    while True:
        with read() as connection:
            page = events.list_events(connection, after, PIECE, task.query)
        found = [event for event in page if event.seq <= end]
        if found:
            yield b"".join(msgspec.json.encode(show_event(event)) + b"\n" for event in found)
        if len(found) < PIECE:
            return
        after = found[-1].seq


def verify_events(read: Read, task: EventsVerification) -> Iterator[bytes]:
    """Yield one JSON object: what a walk over at most ``task.limit`` entries found."""
    after, checked = task.after, 0
    findings: list[Finding] = []
    while True:
        with read() as connection:
            page = events.walk_chain(connection, after, limit=min(PIECE, task.limit - checked), expect=task.expect)
        checked += page.checked
        findings += page.findings
        after = page.last.seq
        if page.is_end or checked >= task.limit:
            break
    body: dict[str, Any] = {
        "checked": checked,
        "findings": findings,
        "seq": page.last.seq,
        "hash": page.last.hash,
        "total": page.total,
    }
    if not page.is_end:
        body["next"] = str(after)
    yield msgspec.json.encode(body)
