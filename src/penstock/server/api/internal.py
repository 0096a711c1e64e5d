"""The doors of Penstock's own processes: agents report here, the gateway asks what to run."""

from __future__ import annotations

import asyncio
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from penstock.rules.permissions import Action
from penstock.server.api import wire
from penstock.server.api.callers import Body, Caller, Wired
from penstock.server.mlflow.relayed import apply_relayed
from penstock.server.openapi import describe

router = APIRouter(prefix="/internal", tags=["internal"])

_OBJECT = {"type": "object"}


@router.post(
    "/attempts/{attempt}/report",
    **describe("Report a running attempt", _OBJECT, takes=_OBJECT, action=Action.ATTEMPT_REPORT),
)
def report_attempt(services: Wired, actor: Caller, attempt: str, body: Body) -> Response:
    """Take a slice of log and events; the answer says what the store holds and whether to cancel."""
    actor.check_attempt(attempt)
    return wire.JsonResponse(services.attempts.report(attempt, wire.read_agent_json(body)))


@router.post(
    "/attempts/{attempt}/finish",
    **describe("Report an attempt's end", _OBJECT, takes=_OBJECT, action=Action.ATTEMPT_REPORT),
)
def finish_attempt(services: Wired, actor: Caller, attempt: str, body: Body) -> Response:
    """Take the last slices and the outputs; idempotent."""
    actor.check_attempt(attempt)
    return wire.JsonResponse(services.attempts.finish(attempt, wire.read_agent_json(body)))


@router.post(
    "/attempts/{attempt}/relay",
    **describe("Deliver what a relay spooled", _OBJECT, takes=_OBJECT, action=Action.ATTEMPT_REPORT),
)
def apply_relayed_calls(services: Wired, actor: Caller, request: Request, attempt: str, body: Body) -> Response:
    """Apply MLflow calls that were acknowledged while this server was away; each once, in order."""
    actor.check_attempt(attempt)
    return wire.JsonResponse(apply_relayed(services, actor, request, attempt, wire.read_agent_json(body)))


@router.post(
    "/attempts/{attempt}/artifacts",
    **describe("Keep files of a running command", _OBJECT, takes=_OBJECT, action=Action.ATTEMPT_REPORT),
)
def keep_artifacts(services: Wired, actor: Caller, attempt: str, body: Body) -> Response:
    """Name files that a running command logged; the answer says which contents must come first."""
    actor.check_attempt(attempt)
    return wire.JsonResponse(services.attempts.keep_artifacts(attempt, wire.read_agent_json(body)))


@router.get("/serving/desired", **describe("Ask what the gateway should run", _OBJECT, action=Action.SERVING_FOLLOW))
async def get_desired(
    services: Wired,
    actor: Caller,
    after: Annotated[int, Query(description="the revision known already")] = -1,
    wait: Annotated[float, Query(ge=0, le=60, description="seconds to wait for another revision")] = 0,
) -> Response:
    """Return endpoints, deployments and keys; with ``wait`` as soon as the revision differs from ``after``."""
    actor.check_internal()
    services.endpoints.note_applied(after)
    clock = asyncio.get_running_loop().time
    deadline = clock() + wait
    while True:
        seen = services.feed.counter("serving")
        desired = await to_thread.run_sync(services.endpoints.desired)
        left = deadline - clock()
        if desired["revision"] != after or left <= 0 or services.closing.has_begun:
            return wire.JsonResponse(desired)
        await services.closing.wait(services.feed, "serving", seen, left)


@router.post(
    "/serving/status",
    **describe("Report a deployment's state", takes=_OBJECT, status=204, action=Action.SERVING_FOLLOW),
)
def apply_status(services: Wired, actor: Caller, body: Body) -> Response:
    """Take what the gateway knows of one deployment."""
    actor.check_internal()
    services.endpoints.apply_status(wire.read_json(body))
    return Response(None, 204)


@router.post(
    "/serving/traffic",
    **describe("Report a release's progress", takes=_OBJECT, status=204, action=Action.SERVING_FOLLOW),
)
def apply_traffic_news(services: Wired, actor: Caller, body: Body) -> Response:
    """Take what the gateway decided of a release, with its numbers, and what became of copied requests."""
    actor.check_internal()
    services.endpoints.apply_traffic_news(wire.read_json(body))
    return Response(None, 204)
