"""``/api/v1/events``: read, follow, verify and export the audit log.

A follower looks once a second, because events are written by many hands in their own transactions; an idle look is
one read of one row. A walk over the chain goes in pages that the client asks for, and in pieces of a few
milliseconds in threads, so that nobody waits for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from penstock.entities.errors import Problem, SpecError, UsageError
from penstock.entities.event import Event
from penstock.rules.chain import Finding
from penstock.rules.permissions import Action
from penstock.server.api import wire
from penstock.server.api.callers import Limit, Wired, is_known
from penstock.server.api.streams import KEEP_ALIVE, KEEP_ALIVE_S
from penstock.server.api.tokens import read_time
from penstock.server.openapi import array, describe, page_of, record, text
from penstock.server.services import Services
from penstock.stores.metadata import events
from penstock.stores.metadata.events import EventQuery, Head, WalkedPage

router = APIRouter(prefix="/events", tags=["workspace"])

EVENT_STREAM = "text/event-stream"
LOOK_S = 1.0
PIECE = 1000
MAX_WALK = 20_000
_INTEGER = {"type": "integer"}
_FINDING = record(damage=text(), first=_INTEGER, last=_INTEGER, message=text())
_WALKED = record(checked=_INTEGER, findings=array(_FINDING), seq=_INTEGER, hash=text(), total=_INTEGER)


async def _query(
    actor: Annotated[str | None, Query(description="only what this actor did")] = None,
    verb: Annotated[str | None, Query(description="only this verb, such as create")] = None,
    ref: Annotated[str | None, Query(description="only this thing, such as job:x; job:* is every job")] = None,
    since: Annotated[str | None, Query(description="only from this RFC 3339 time on")] = None,
    until: Annotated[str | None, Query(description="only before this RFC 3339 time")] = None,
) -> EventQuery:
    return EventQuery(actor, verb, ref, _time(since, "since"), _time(until, "until"))


def _time(sent: str | None, name: str) -> int | None:
    try:
        return read_time(sent)
    except SpecError as error:
        problem: Problem = error.problems[0]
        raise UsageError(f"query {name}: {problem.message}", hint=problem.hint) from error


Wanted = Annotated[EventQuery, Depends(_query)]
After = Annotated[int | None, Query(ge=0, description="`seq` of the last event seen")]


@router.get("", **describe("Read or follow the audit log", page_of(Event), fails=(400,), action=Action.EVENT_READ))
async def list_events(
    request: Request,
    services: Wired,
    wanted: Wanted,
    after: After = None,
    following: Annotated[int | None, Query(alias="next", ge=0, description="`next` of the page before")] = None,
    order: Annotated[str, Query(pattern="^(asc|desc)$", description="oldest first, or newest first")] = "asc",
    limit: Limit = 100,
    last_seen: Annotated[int | None, Header(alias="Last-Event-ID", ge=0)] = None,
) -> Response:
    """Return events in order, or with ``Accept: text/event-stream`` send them as they happen.

    A stream goes on after ``Last-Event-ID``, else after ``after``, else with what is to come.
    """
    if EVENT_STREAM in request.headers.get("accept", ""):
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        begin = last_seen if last_seen is not None else after
        return StreamingResponse(_follow(request, services, wanted, begin), media_type=EVENT_STREAM, headers=headers)
    begin = following if following is not None else after or 0
    found = await to_thread.run_sync(_read, services, begin, limit + 1, wanted, order == "desc")
    body: dict[str, Any] = {"items": [_shown(event) for event in found[:limit]]}
    if len(found) > limit:
        body["next"] = str(found[limit - 1].seq)
    return wire.JsonResponse(body)


def _read(services: Services, after: int, limit: int, wanted: EventQuery, is_newest_first: bool) -> list[Event]:
    with services.store.read() as connection:
        return events.list_events(connection, after, limit, wanted, is_newest_first=is_newest_first)


async def _follow(request: Request, services: Services, wanted: EventQuery, after: int | None) -> AsyncIterator[bytes]:
    """Yield what is wanted until the client goes, its token ends, or the server stops."""
    head = (await to_thread.run_sync(_head, services)).seq
    seen = head if after is None else after
    silent_s = 0.0
    yield KEEP_ALIVE
    while not services.closing.has_begun:
        if head > seen:
            found = await to_thread.run_sync(_read, services, seen, PIECE, wanted, False)
            for event in found:
                yield _message(event)
            seen = found[-1].seq if len(found) == PIECE else max(head, found[-1].seq if found else 0)
            silent_s = 0.0
            continue
        topic = services.feed.counter("events")
        await services.closing.wait(services.feed, "events", topic, LOOK_S)
        if not await to_thread.run_sync(is_known, request, services):
            return
        head = (await to_thread.run_sync(_head, services)).seq
        silent_s += LOOK_S
        if silent_s >= KEEP_ALIVE_S:
            silent_s = 0.0
            yield KEEP_ALIVE


def _shown(event: Event) -> dict[str, Any]:
    """Return an entry as REST shows it; unlike ``wire.entity`` cheap enough for a million of them."""
    return {**event.__dict__, "at": wire.rfc3339(event.at)}


def _head(services: Services) -> Head:
    with services.store.read() as connection:
        return events.get_head(connection)


def _message(event: Event) -> bytes:
    return b"id: %d\nevent: event\ndata: %b\n\n" % (event.seq, msgspec.json.encode(_shown(event)))


@router.get(
    "/head", **describe("Show the audit log's head", record(seq=_INTEGER, hash=text()), action=Action.EVENT_READ)
)
def get_head(services: Wired) -> Response:
    """Return number and hash of the last entry: noted elsewhere, they show later that nothing was rewritten."""
    head = _head(services)
    return wire.JsonResponse({"seq": head.seq, "hash": head.hash})


@router.get(":verify", **describe("Verify a page of the audit log", _WALKED, fails=(400,), action=Action.EVENT_VERIFY))
async def verify_events(
    services: Wired,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=MAX_WALK, description="so many entries at most")] = 10_000,
    expect: Annotated[
        str | None, Query(pattern="^[0-9]{1,18}:[0-9a-f]{64}$", description="a head noted earlier, SEQ:HASH")
    ] = None,
) -> Response:
    """Walk over entries and say which were changed, are missing or were inserted.

    ``next`` is the ``after`` of the following page; the last page has none and compares the log's end.
    """
    noted = _noted(expect)
    checked = 0
    findings: list[Finding] = []
    while True:
        page = await to_thread.run_sync(_walk, services, after, min(PIECE, limit - checked), noted)
        checked += page.checked
        findings += page.findings
        after = page.last.seq
        if page.is_end or checked >= limit:
            break
    body: dict[str, Any] = {
        "checked": checked,
        "findings": [msgspec.to_builtins(finding) for finding in findings],
        "seq": page.last.seq,
        "hash": page.last.hash,
        "total": page.total,
    }
    if not page.is_end:
        body["next"] = str(after)
    return wire.JsonResponse(body)


def _walk(services: Services, after: int | None, limit: int, noted: Head | None) -> WalkedPage:
    with services.store.read() as connection:
        return events.walk_chain(connection, after, limit=limit, expect=noted)


def _noted(expect: str | None) -> Head | None:
    if expect is None:
        return None
    seq, _, digest = expect.partition(":")
    return Head(int(seq), digest)


@router.get(
    ":export",
    **describe("Export the audit log", text(), media="application/x-ndjson", fails=(400,), action=Action.EVENT_EXPORT),
)
def export_events(
    services: Wired,
    wanted: Wanted,
    after: After = None,
    format: Annotated[str, Query(pattern="^jsonl$", description="one JSON object a line")] = "jsonl",
) -> Response:
    """Send the entries as they were when it began, one JSON object a line, with their hashes."""
    pieces = _export(services, wanted, after or 0, _head(services).seq)
    headers = {"content-disposition": 'attachment; filename="events.jsonl"'}
    return StreamingResponse(pieces, media_type="application/x-ndjson", headers=headers)


def _export(services: Services, wanted: EventQuery, after: int, end: int) -> Iterator[bytes]:
    while True:
        found = [event for event in _read(services, after, PIECE, wanted, False) if event.seq <= end]
        if found:
            yield b"".join(msgspec.json.encode(_shown(event)) + b"\n" for event in found)
        if len(found) < PIECE:
            return
        after = found[-1].seq
