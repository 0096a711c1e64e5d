"""``/api/v1/gc``: what a permanent deletion would take, and taking it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Send
from starlette.types import Scope as RequestScope

from penstock.entities.base import Entity
from penstock.entities.errors import PenstockError
from penstock.jobs.collection import Collector, Garbage, Progress, Scope
from penstock.rules.collection import Deleted, Removal
from penstock.rules.instants import rfc3339
from penstock.rules.permissions import Action
from penstock.server import problems
from penstock.server.api import wire
from penstock.server.api.callers import Body, Caller, Wired, read_entity
from penstock.server.openapi import array, describe, record, text
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.search import run_lookup

router = APIRouter(tags=["workspace"])

SHOWN = 1000
DAY_S = 24 * 3600
_COUNT = {"type": "integer"}
_RECORD = record(kind=text("run, logged-model, version or experiment"), name=text(), deleted_at=text())
_PLAN = record(
    counts={"type": "object", "additionalProperties": _COUNT},
    items=array(_RECORD),
    kept=array({**_RECORD, "properties": {**_RECORD["properties"], "reason": text()}}),
    blobs=_COUNT,
    bytes={"type": "integer", "description": "of the blobs that nothing names then"},
    young_blobs={"type": "integer", "description": "named by nothing, but used too lately to go"},
    young_bytes=_COUNT,
    vacuum=record(
        bytes={"type": "integer", "description": "about so much a vacuum would free, before anything is removed"},
        obstacle=text("why it cannot be done now; empty where it can"),
    ),
)


class Collection(Entity):
    """What to look for: deleted at least ``older_than_s`` seconds ago; by default everywhere."""

    older_than_s: int = Field(default=30 * DAY_S, ge=0, le=10**11)
    run: str | None = Field(default=None, description="only this run: its id, or a prefix of it")
    experiment: str | None = Field(default=None, description="only what is in the experiment of this name")
    vacuum: bool = Field(default=False, description="give the space of removed rows back to the disk, too")


@router.post(
    "/gc:plan",
    **describe(
        "Ask what a permanent deletion would take",
        _PLAN,
        takes=Collection,
        fails=(400, 404, 409, 422),
        action=Action.GARBAGE_DELETE,
    ),
)
def plan_collection(request: Request, services: Wired, actor: Caller, body: Body) -> Response:
    """Return what would go and what would stay; changes nothing."""
    collector: Collector = request.app.state.collector
    removal, garbage = collector.plan(_scope(services.store, read_entity(Collection, body or b"{}")))
    space = collector.space()
    vacuum = {"bytes": space.bytes, "obstacle": space.obstacle}
    return wire.JsonResponse({**_show_plan(removal, garbage), "vacuum": vacuum})


@router.post(
    "/gc",
    **describe(
        "Delete for good",
        text("a JSON object a line: what happens, as it happens; `step` is `done` in the last one, or `error`"),
        takes=Collection,
        media="application/x-ndjson",
        fails=(400, 404, 409, 422),
        action=Action.GARBAGE_DELETE,
    ),
)
def collect(request: Request, services: Wired, actor: Caller, body: Body) -> Response:
    """Remove what was deleted, then content that nothing names; other requests go on meanwhile.

    Whoever hangs up ends it between two steps; what was removed stays removed, and the next one goes on.
    """
    collector: Collector = request.app.state.collector
    asked = read_entity(Collection, body or b"{}")
    steps = collector.collect(_scope(services.store, asked), actor=actor.name, vacuum=asked.vacuum)
    first = next(steps)  # a mistake is a problem, not a line
    return _Steps(first, steps)


def _scope(store: MetadataStore, asked: Collection) -> Scope:
    run = asked.run
    if run is not None:
        with store.read() as connection:
            run = run_lookup.resolve_run(connection, run)
    return Scope(older_than_ms=asked.older_than_s * 1000, run=run, experiment=asked.experiment)


class _Steps(StreamingResponse):
    """What a collection does, a line each; it ends with its client, not when somebody collects its iterator."""

    def __init__(self, first: Progress, steps: Generator[Progress, None, None]) -> None:
        self._parts = (_lines(first, steps), steps)
        super().__init__(self._parts[0], media_type="application/x-ndjson")

    async def __call__(self, scope: RequestScope, receive: Receive, send: Send) -> None:
        """Send all lines, then let the next collection begin, however this one ended."""
        try:
            await super().__call__(scope, receive, send)
        finally:  # no thread is within a step any more: whoever waits for one is not interrupted
            for part in self._parts:
                part.close()


def _lines(first: Progress, steps: Generator[Progress, None, None]) -> Generator[bytes, None, None]:
    try:
        yield msgspec.json.encode(first) + b"\n"
        for step in steps:
            yield msgspec.json.encode(step) + b"\n"
    except PenstockError as error:
        body = problems.problem_body(error, problems.status_of(error))
        yield msgspec.json.encode({"step": "error", **body}) + b"\n"


def _show_plan(removal: Removal, garbage: Garbage) -> dict[str, Any]:
    return {
        "counts": dict(Counter(record.kind.value for record in removal.going)),
        "items": [_show(record) for record in removal.going[:SHOWN]],
        "kept": [{**_show(kept.record), "reason": kept.reason} for kept in removal.kept[:SHOWN]],
        "blobs": len(garbage.blobs),
        "bytes": garbage.bytes,
        "young_blobs": garbage.young,
        "young_bytes": garbage.young_bytes,
    }


def _show(deleted: Deleted) -> dict[str, str]:
    return {"kind": deleted.kind.value, "name": deleted.name, "deleted_at": rfc3339(deleted.deleted_at)}
