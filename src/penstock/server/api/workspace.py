"""``/health``, ``/api/v1`` itself, ``/api/v1/computes`` and the audit log ``/api/v1/events``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from penstock.entities.compute import Compute
from penstock.entities.event import Event
from penstock.rules.permissions import Action
from penstock.server.api import wire
from penstock.server.api.callers import Caller, Limit, Wired
from penstock.server.openapi import array, describe, page_of, record, text
from penstock.stores.metadata import events

root_router = APIRouter(tags=["workspace"])
router = APIRouter(tags=["workspace"])


@root_router.get(
    "/health", **describe("Ask whether the server is up", record(status=text(), version=text()), is_open=True)
)
async def get_health(services: Wired) -> Response:
    """Answer without a token."""
    return wire.JsonResponse({"status": "ok", "version": services.version})


@root_router.get(
    "/api/v1",
    **describe(
        "Ask what this server can do",
        record(version=text(), features=array(text()), metadata=text()),
        action=Action.WORKSPACE_ASK,
    ),
)
async def get_features(services: Wired, actor: Caller) -> Response:
    """Return the version and the features."""
    return wire.JsonResponse(
        {
            "version": services.version,
            "features": list(services.features),
            "metadata": services.store.place,
            "actor": actor.name,
            "role": actor.role.value,
        }
    )


@router.get("/computes", **describe("List computes", record(items=array(Compute)), action=Action.WORKSPACE_READ))
def list_computes(services: Wired, _: Caller) -> Response:
    """List what jobs can run on."""
    return wire.JsonResponse({"items": [wire.entity(compute) for compute in services.computes.list()]})


@router.get("/events", **describe("Read the audit log", page_of(Event), action=Action.EVENT_READ))
def list_events(
    services: Wired,
    _: Caller,
    after: Annotated[int, Query(ge=0, description="`seq` of the last event seen")] = 0,
    limit: Limit = 100,
) -> Response:
    """Return events in order; ``next`` is the ``after`` of the following page."""
    with services.store.read() as connection:
        found = events.list_events(connection, after, limit + 1)
    body = {"items": [wire.entity(event) for event in found[:limit]]}
    if len(found) > limit:
        body["next"] = str(found[limit - 1].seq)  # type: ignore[assignment] # one member of another type
    return wire.JsonResponse(body)
