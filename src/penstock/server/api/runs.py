"""``/api/v1/runs/{name}/artifacts``: the files of runs."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from penstock.access.actors import Actor
from penstock.entities.asset import TreeEntry
from penstock.entities.errors import NotFoundError
from penstock.rules.artifact_paths import check_path, check_prefix
from penstock.rules.permissions import Action
from penstock.server.api import wire
from penstock.server.api.callers import Caller, Wired, get_visible_run
from penstock.server.openapi import ACTION, array, describe, record, text
from penstock.server.services import Services
from penstock.server.transfer import send_blob
from penstock.stores.metadata import artifacts

router = APIRouter(tags=["runs"])

_FILE = record(path=text("relative to the run's root"), is_dir={"type": "boolean"}, size={"type": "integer"})


@router.get(
    "/runs/{name}/artifacts",
    **describe("List a run's artifacts", record(items=array(_FILE)), fails=(400, 404), action=Action.RUN_READ),
)
def list_artifacts(
    services: Wired,
    actor: Caller,
    name: str,
    path: Annotated[str, Query(description="a folder of the run's artifacts; empty is the root")] = "",
    recursive: Annotated[bool, Query(description="every file below, instead of direct children")] = False,
) -> Response:
    """List files and folders, or with ``recursive`` every file below."""
    prefix = check_prefix(path)
    with services.store.read() as connection:
        run = get_visible_run(connection, actor, name)
        if recursive:
            files = artifacts.walk_artifacts(connection, run.run_id, prefix)
            items = [{"path": entry.path, "is_dir": False, "size": entry.size} for entry in files]
        else:
            children = artifacts.list_artifacts(connection, run.run_id, prefix)
            items = [{"path": child, "is_dir": is_dir, "size": size} for child, is_dir, size in children]
    return wire.JsonResponse({"items": items})


@router.get(
    "/runs/{name}/artifacts/{path:path}",
    **describe(
        "Read an artifact",
        text("the file"),
        media="application/octet-stream",
        fails=(400, 404, 416),
        action=Action.RUN_READ,
    ),
)
@router.head(
    "/runs/{name}/artifacts/{path:path}", include_in_schema=False, openapi_extra={ACTION: Action.RUN_READ.value}
)
async def read_artifact(request: Request, services: Wired, actor: Caller, name: str, path: str) -> Response:
    """Return one file; ``Range`` is understood."""
    entry = await to_thread.run_sync(_find_artifact, services, actor, name, check_path(path))
    return await send_blob(request, services.blobs, entry.digest, entry.size, name=entry.path.rpartition("/")[2])


def _find_artifact(services: Services, actor: Actor, name: str, path: str) -> TreeEntry:
    with services.store.read() as connection:
        run = get_visible_run(connection, actor, name)
        entry = artifacts.find_artifact(connection, run.run_id, path)
    if entry is None:
        raise NotFoundError(
            f'the run "{name}" has no artifact "{path}"',
            hint=f"List them: GET /api/v1/runs/{name}/artifacts?recursive=true",
            ref=f"run:{name}",
        )
    return entry
