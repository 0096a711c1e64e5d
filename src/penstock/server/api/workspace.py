"""``/health``, ``/api/v1`` itself and ``/api/v1/computes``."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from penstock.entities.compute import Compute
from penstock.rules.permissions import Action
from penstock.server.api import wire
from penstock.server.api.callers import Caller, Wired
from penstock.server.landing import landing_response
from penstock.server.openapi import array, describe, record, text

root_router = APIRouter(tags=["workspace"])
router = APIRouter(tags=["workspace"])

_SERVER = record(
    version=text(),
    features=array(text()),
    metadata=text("which store keeps the rows"),
    actor=text("whose token it is"),
    role=text("what it allows"),
)


@root_router.get(
    "/health", **describe("Ask whether the server is up", record(status=text(), version=text()), is_open=True)
)
async def get_health(services: Wired) -> Response:
    """Answer without a token."""
    return wire.JsonResponse({"status": "ok", "version": services.version})


@root_router.get("/", include_in_schema=False, openapi_extra={"security": []})
async def get_page() -> Response:
    """Answer a browser without a token: a page that holds no data itself."""
    return landing_response()


@root_router.get(
    "/api/v1",
    **describe("Ask what this server can do, and who one is", _SERVER, action=Action.WORKSPACE_ASK),
)
async def get_features(services: Wired, actor: Caller) -> Response:
    """Return the version, the features, and who the caller is."""
    answer = {
        "version": services.version,
        "features": list(services.features),
        "metadata": services.store.place,
        "actor": actor.name,
        "role": actor.role.value,
    }
    if actor.experiment_id is not None:
        answer["experiment_id"] = actor.experiment_id
    return wire.JsonResponse(answer)


@router.get("/computes", **describe("List computes", record(items=array(Compute)), action=Action.WORKSPACE_READ))
def list_computes(services: Wired, _: Caller) -> Response:
    """List what jobs can run on."""
    return wire.JsonResponse({"items": [wire.entity(compute) for compute in services.computes.list()]})
