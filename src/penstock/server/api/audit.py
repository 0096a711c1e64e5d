"""``/api/v1/events``: read, follow, verify and export the audit log.

A follower looks once a second, because events are written by many hands in their own transactions; an idle look is
one read of one row. What reads all of it, verifying and exporting, is done by a process beside the server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from penstock.entities.errors import Problem, SpecError, UsageError
from penstock.entities.event import Event
from penstock.rules.permissions import Action
from penstock.server.api import wire
from penstock.server.api.callers import Limit, Wired, is_known
from penstock.server.api.streams import KEEP_ALIVE, KEEP_ALIVE_S
from penstock.server.api.tokens import read_time
from penstock.server.beside import Beside
from penstock.server.event_walk import show_event
from penstock.server.event_walk import verify_events as verify_events_of
from penstock.server.export_order import MEDIA, EventsExport, EventsVerification
from penstock.server.openapi import array, describe, page_of, record, text
from penstock.server.services import Services
from penstock.stores.metadata import events
from penstock.stores.metadata.events import EventQuery, Head

router = APIRouter(prefix="/events", tags=["workspace"])

EVENT_STREAM = "text/event-stream"
LOOK_S = 1.0
PIECE = 1000
MAX_WALK = 20_000
SHORT_WALK = 1000
"""So few entries, 10 ms of work, are not worth the start of a process."""
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
    body: dict[str, Any] = {"items": [show_event(event) for event in found[:limit]]}
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


def _head(services: Services) -> Head:
    with services.store.read() as connection:
        return events.get_head(connection)


def _message(event: Event) -> bytes:
    return b"id: %d\nevent: event\ndata: %b\n\n" % (event.seq, msgspec.json.encode(show_event(event)))


@router.get(
    "/head", **describe("Show the audit log's head", record(seq=_INTEGER, hash=text()), action=Action.EVENT_READ)
)
def get_head(services: Wired) -> Response:
    """Return number and hash of the last entry: noted elsewhere, they show later that nothing was rewritten."""
    head = _head(services)
    return wire.JsonResponse({"seq": head.seq, "hash": head.hash})


@router.get(
    ":verify", **describe("Verify a page of the audit log", _WALKED, fails=(400, 429), action=Action.EVENT_VERIFY)
)
async def verify_events(
    request: Request,
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
    task = EventsVerification(after, limit, _noted(expect))
    if min(limit, (await to_thread.run_sync(_head, services)).seq - (after or 0)) <= SHORT_WALK:
        return Response(await to_thread.run_sync(_walk, services, task), media_type="application/json")
    beside: Beside = request.app.state.beside
    return await beside.answer(request, task, media="application/json")


def _walk(services: Services, task: EventsVerification) -> bytes:
    return b"".join(verify_events_of(services.store.read, task))


def _noted(expect: str | None) -> Head | None:
    if expect is None:
        return None
    seq, _, digest = expect.partition(":")
    return Head(int(seq), digest)


@router.get(
    ":export",
    **describe(
        "Export the audit log", text(), media="application/x-ndjson", fails=(400, 429), action=Action.EVENT_EXPORT
    ),
)
async def export_events(
    request: Request,
    wanted: Wanted,
    after: After = None,
    format: Annotated[str, Query(pattern="^jsonl$", description="one JSON object a line")] = "jsonl",
) -> Response:
    """Send the entries as they were when it began, one JSON object a line, with their hashes."""
    beside: Beside = request.app.state.beside
    return await beside.answer(request, EventsExport(wanted, after or 0), media=MEDIA["jsonl"], filename="events.jsonl")
