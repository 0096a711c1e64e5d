"""``/api/v1/online-endpoints``: endpoints, their traffic, keys and deployments."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import IO, Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from penstock.entities.base import Entity
from penstock.entities.endpoint import (
    EndpointKeys,
    OnlineDeployment,
    OnlineDeploymentSpec,
    OnlineEndpoint,
    OnlineEndpointSpec,
    ProvisioningState,
    RolloutSpec,
)
from penstock.rules.permissions import Action
from penstock.server.api import wire
from penstock.server.api.callers import Body, Caller, Wired, check_name, read_entity
from penstock.server.openapi import array, describe, record, text
from penstock.server.preconditions import etag, unchanged
from penstock.server.services import Services
from penstock.serving.export import write_export

router = APIRouter(prefix="/online-endpoints", tags=["online-endpoints"])

DEPLOYMENT = "/{endpoint}/deployments/{name}"
UNSETTLED = frozenset({ProvisioningState.CREATING, ProvisioningState.UPDATING})


class TrafficSplit(Entity):
    """Percent of the requests by deployment; they sum to 0 or 100. Without ``mirror_traffic`` the copies stay."""

    traffic: dict[str, int]
    mirror_traffic: dict[str, int] | None = None


class RolloutChange(Entity):
    """What to do with the release under way."""

    action: Literal["pause", "resume", "abort"]


class KeyChoice(Entity):
    """Which of the two keys to replace."""

    key_type: Literal["primary", "secondary"] = "primary"


@router.get("", **describe("List endpoints", record(items=array(OnlineEndpoint)), action=Action.ENDPOINT_READ))
def list_endpoints(services: Wired, _: Caller) -> Response:
    """List all endpoints by name."""
    return wire.JsonResponse({"items": [wire.entity(found) for found in services.endpoints.list_endpoints()]})


@router.post(
    "/{name}:traffic",
    **describe(
        "Set the traffic split", OnlineEndpoint, takes=TrafficSplit, fails=(404, 422), action=Action.ENDPOINT_CHANGE
    ),
)
def set_traffic(services: Wired, actor: Caller, name: str, body: Body) -> Response:
    """Split requests over deployments."""
    split = read_entity(TrafficSplit, body)
    made = services.endpoints.set_traffic(name, split.traffic, actor=actor.name, mirror=split.mirror_traffic)
    return wire.JsonResponse(wire.entity(made))


@router.post(
    "/{name}:rollout",
    **describe(
        "Release a deployment step by step",
        OnlineEndpoint,
        takes=RolloutSpec,
        fails=(404, 409, 422),
        action=Action.ENDPOINT_CHANGE,
    ),
)
def start_rollout(services: Wired, actor: Caller, name: str, body: Body) -> Response:
    """Give a deployment its traffic in steps; one that fails more often, or is slower, goes back to none by itself."""
    spec = read_entity(RolloutSpec, body)
    return wire.JsonResponse(wire.entity(services.endpoints.start_rollout(name, spec, actor=actor.name)))


@router.post(
    "/{name}:change-rollout",
    **describe(
        "Pause, resume or abort a release",
        OnlineEndpoint,
        takes=RolloutChange,
        fails=(404, 409, 422),
        action=Action.ENDPOINT_CHANGE,
    ),
)
def change_rollout(services: Wired, actor: Caller, name: str, body: Body) -> Response:
    """Pause, resume or abort the release under way; aborted, the split is the one before it again."""
    change = read_entity(RolloutChange, body)
    return wire.JsonResponse(wire.entity(services.endpoints.change_rollout(name, change.action, actor=actor.name)))


@router.post(
    "/{name}:rotate-key",
    **describe("Replace a key", EndpointKeys, takes=KeyChoice, fails=(404, 422), action=Action.ENDPOINT_CHANGE),
)
def rotate_key(services: Wired, actor: Caller, name: str, body: Body) -> Response:
    """Replace one of the two keys; the other stays valid."""
    choice = read_entity(KeyChoice, body or b"{}")
    return wire.JsonResponse(wire.entity(services.endpoints.rotate_key(name, choice.key_type, actor=actor.name)))


@router.get(
    "/{name}/credentials",
    **describe("Show an endpoint's keys", EndpointKeys, fails=(404,), action=Action.ENDPOINT_READ_KEYS),
)
def get_credentials(services: Wired, _: Caller, name: str) -> Response:
    """Return both keys."""
    return wire.JsonResponse(wire.entity(services.endpoints.credentials(name)), headers={"cache-control": "no-store"})


@router.put(
    "/{name}",
    **describe(
        "Create or replace an endpoint",
        OnlineEndpoint,
        takes=OnlineEndpointSpec,
        fails=(412, 422),
        action=Action.ENDPOINT_CHANGE,
    ),
)
def put_endpoint(request: Request, services: Wired, actor: Caller, name: str, body: Body) -> Response:
    """Create an endpoint, or replace its settings; ``If-Match`` with its ``ETag`` guards against another's change."""
    spec = read_entity(OnlineEndpointSpec, body)
    check_name(name, spec.name, "endpoint")
    with unchanged(request, lambda: services.endpoints.get_endpoint(name), f"endpoint:{name}"):
        made = services.endpoints.put_endpoint(spec, actor=actor.name)
    return wire.JsonResponse(wire.entity(made), headers=etag(made))


@router.get("/{name}", **describe("Show an endpoint", OnlineEndpoint, fails=(404,), action=Action.ENDPOINT_READ))
def get_endpoint(services: Wired, _: Caller, name: str) -> Response:
    """Show an endpoint with its scoring URI and traffic."""
    found = services.endpoints.get_endpoint(name)
    return wire.JsonResponse(wire.entity(found), headers=etag(found))


@router.delete("/{name}", **describe("Delete an endpoint", status=204, fails=(404,), action=Action.ENDPOINT_DELETE))
def delete_endpoint(services: Wired, actor: Caller, name: str) -> Response:
    """Delete an endpoint with its deployments."""
    services.endpoints.delete_endpoint(name, actor=actor.name)
    return Response(None, 204)


@router.get(
    "/{endpoint}/deployments",
    **describe("List deployments", record(items=array(OnlineDeployment)), fails=(404,), action=Action.ENDPOINT_READ),
)
def list_deployments(services: Wired, _: Caller, endpoint: str) -> Response:
    """List an endpoint's deployments by name."""
    return wire.JsonResponse({"items": [wire.entity(found) for found in services.endpoints.list_deployments(endpoint)]})


@router.put(
    DEPLOYMENT,
    **describe(
        "Create or update a deployment",
        OnlineDeployment,
        takes=OnlineDeploymentSpec,
        status=202,
        fails=(404, 412, 422),
        action=Action.ENDPOINT_CHANGE,
    ),
)
def put_deployment(request: Request, services: Wired, actor: Caller, endpoint: str, name: str, body: Body) -> Response:
    """Record a new revision; it takes requests once its model is loaded and warmed up."""
    spec = read_entity(OnlineDeploymentSpec, body)
    check_name(endpoint, spec.endpoint_name, "endpoint")
    check_name(name, spec.name, "deployment")
    with unchanged(request, lambda: services.endpoints.get_deployment(endpoint, name), f"endpoint:{endpoint}/{name}"):
        made = services.endpoints.put_deployment(spec, actor=actor.name)
    return wire.JsonResponse(wire.entity(made), 202, headers=etag(made))


@router.get(DEPLOYMENT, **describe("Show a deployment", OnlineDeployment, fails=(404,), action=Action.ENDPOINT_READ))
async def get_deployment(
    services: Wired,
    _: Caller,
    endpoint: str,
    name: str,
    wait: Annotated[float, Query(ge=0, le=60, description="seconds to wait until it is ready or has failed")] = 0,
) -> Response:
    """Show a deployment; with ``wait`` as soon as it is ready or has failed."""
    found = await _wait_settled(services, endpoint, name, wait)
    return wire.JsonResponse(wire.entity(found), headers=etag(found))


async def _wait_settled(services: Services, endpoint: str, name: str, wait_s: float) -> OnlineDeployment:
    topic = f"endpoint:{endpoint}"
    clock = asyncio.get_running_loop().time
    deadline = clock() + wait_s
    while True:
        seen = services.feed.counter(topic)
        found = await to_thread.run_sync(services.endpoints.get_deployment, endpoint, name)
        left = deadline - clock()
        if found.provisioning_state not in UNSETTLED or left <= 0 or services.closing.has_begun:
            return found
        await services.closing.wait(services.feed, topic, seen, left)


@router.delete(
    DEPLOYMENT, **describe("Delete a deployment", status=204, fails=(404, 409), action=Action.ENDPOINT_DELETE)
)
def delete_deployment(services: Wired, actor: Caller, endpoint: str, name: str) -> Response:
    """Delete a deployment that takes no traffic."""
    services.endpoints.delete_deployment(endpoint, name, actor=actor.name)
    return Response(None, 204)


@router.get(
    f"{DEPLOYMENT}/export",
    **describe(
        "Download a deployment that runs alone",
        {"type": "string", "format": "binary"},
        media="application/x-tar",
        fails=(404, 409, 422),
        action=Action.ENDPOINT_READ,
    ),
)
def export_deployment(
    services: Wired,
    _: Caller,
    endpoint: str,
    name: str,
    target: Annotated[str, Query(description="`folder`, or `docker` for one with a Dockerfile")] = "folder",
) -> Response:
    """Return a tar of a folder that scores without Penstock: runner, model, code, pinned requirements, README."""
    deployment = services.endpoints.find_desired(endpoint, name)
    file = tempfile.TemporaryFile(dir=services.scratch)  # noqa: SIM115 # it is closed when it was sent
    try:
        write_export(file, endpoint, deployment, services.blobs, target=target, interpreter=sys.executable)
        size = file.seek(0, os.SEEK_CUR)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    headers = {"Content-Length": str(size)}
    return StreamingResponse(_pieces(file), media_type="application/x-tar", headers=headers)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(1 << 18):
            yield piece


@router.get(
    f"{DEPLOYMENT}/logs",
    **describe("Read a deployment's log", text(), media="text/plain", fails=(404,), action=Action.ENDPOINT_READ),
)
def read_logs(
    services: Wired,
    _: Caller,
    endpoint: str,
    name: str,
    lines: Annotated[int, Query(ge=1, le=10000, description="how many of the last lines")] = 50,
    after: Annotated[int | None, Query(ge=0, description="instead, all lines since this `X-Log-Offset`")] = None,
) -> Response:
    """Return the last lines that a deployment's processes wrote; `X-Log-Offset` says where they end."""
    content, end = services.endpoints.read_log(endpoint, name, lines, after)
    return Response(content, media_type="text/plain; charset=utf-8", headers={"X-Log-Offset": str(end)})
