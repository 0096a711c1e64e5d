"""``/api/v1/models``, ``/data`` and ``/environments``: one set of routes for each kind of asset."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from penstock.access.actors import Actor
from penstock.entities.asset import (
    AssetChange,
    AssetKind,
    AssetVersion,
    DataSpec,
    EnvironmentSpec,
    ModelSpec,
    TreeEntry,
)
from penstock.entities.errors import NotFoundError
from penstock.rules.artifact_paths import check_path
from penstock.rules.permissions import Action
from penstock.server.api import wire
from penstock.server.api.callers import Body, Caller, Limit, Next, OnceKey, Wired, read_entity
from penstock.server.idempotency import Keep
from penstock.server.openapi import array, describe, page_of, record, text
from penstock.server.services import Services
from penstock.server.transfer import send_blob

AssetSpec = type[ModelSpec] | type[DataSpec] | type[EnvironmentSpec]
Forced = Annotated[bool, Query(description="Delete a model although deployments use it; they keep its files.")]
_FILES = record(items=array(record(path=text(), size={"type": "integer"})))


def build_router(kind: AssetKind, noun: str, spec_class: AssetSpec) -> APIRouter:
    """Return the routes of one kind of asset.

    Parameters
    ----------
    noun : str
        The plural in the path and the tag.
    """
    router = APIRouter(prefix=f"/{noun}", tags=[noun])
    one = "/{name}/versions/{version}"

    @router.post(
        "",
        **describe(
            f"Register {_a(kind)}",
            AssetVersion,
            takes=spec_class,
            status=201,
            fails=(400, 409, 422),
            action=Action.ASSET_REGISTER,
        ),
    )
    def create(
        request: Request,
        services: Wired,
        actor: Caller,
        body: Body,
        key: OnceKey = None,
    ) -> Response:
        """Register the next version, or the one the spec names."""
        spec = read_entity(spec_class, body)

        def work(keep: Keep) -> AssetVersion:
            return services.assets.create(kind, spec, actor=actor.name, keep=keep)

        sent = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        reply = request.app.state.once.run(key, f"POST {noun}", actor, sent, work, status=201)
        return wire.JsonResponse(reply.content, reply.status)

    @router.get("", **describe(f"List {noun}", page_of(AssetVersion), action=Action.ASSET_READ))
    def list_latest(services: Wired, _: Caller, limit: Limit = 100, following: Next = None) -> Response:
        """List the latest version of each name."""
        found = services.assets.list(kind, limit=limit + 1, after=wire.read_next(following))
        return wire.page(found, limit, wire.entity, lambda asset: asset.name)

    @router.get(
        "/{name}",
        **describe(f"Show the latest version of {_a(kind)}", AssetVersion, fails=(404,), action=Action.ASSET_READ),
    )
    def get_latest(services: Wired, _: Caller, name: str) -> Response:
        """Show the version created last."""
        return wire.JsonResponse(wire.entity(services.assets.get(kind, name)))

    @router.get(
        "/{name}/versions",
        **describe(f"List the versions of {_a(kind)}", page_of(AssetVersion), fails=(404,), action=Action.ASSET_READ),
    )
    def list_versions(services: Wired, _: Caller, name: str, limit: Limit = 100, following: Next = None) -> Response:
        """List versions, newest first."""
        found = services.assets.versions(kind, name, limit=limit + 1, after=wire.read_next(following))
        return wire.page(found, limit, wire.entity, lambda asset: asset.version)

    def set_archived(is_archived: bool, services: Services, actor: Actor, name: str, version: str) -> Response:
        changed = services.assets.set_archived(kind, name, version, is_archived, actor=actor.name)
        return wire.JsonResponse(wire.entity(changed))

    @router.post(
        f"{one}:archive",
        **describe("Hide a version from lists", AssetVersion, fails=(404,), action=Action.ASSET_DELETE),
    )
    def archive(services: Wired, actor: Caller, name: str, version: str) -> Response:
        """Hide a version; it stays usable."""
        return set_archived(True, services, actor, name, version)

    @router.post(
        f"{one}:restore",
        **describe("Bring a deleted or archived version back", AssetVersion, fails=(404,), action=Action.ASSET_DELETE),
    )
    def restore(services: Wired, actor: Caller, name: str, version: str) -> Response:
        """Show an archived version in lists again, or bring back a deleted one that was not collected yet."""
        return set_archived(False, services, actor, name, version)

    @router.get(one, **describe("Show a version", AssetVersion, fails=(404,), action=Action.ASSET_READ))
    def get_version(services: Wired, _: Caller, name: str, version: str) -> Response:
        """Show one version; ``@latest`` is the one created last, ``@champion`` the one that alias points at."""
        return wire.JsonResponse(wire.entity(services.assets.get(kind, name, version)))

    @router.patch(
        one,
        **describe(
            "Describe, tag, mark or stage a version",
            AssetVersion,
            takes=AssetChange,
            fails=(400, 404, 422),
            action=Action.ASSET_REGISTER,
        ),
    )
    def change(services: Wired, actor: Caller, name: str, version: str, body: Body) -> Response:
        """Change what is said of a version; what it holds never changes."""
        changed = services.assets.change(kind, name, version, read_entity(AssetChange, body), actor=actor.name)
        return wire.JsonResponse(wire.entity(changed))

    @router.delete(one, **describe("Delete a version", status=204, fails=(404, 409), action=Action.ASSET_DELETE))
    def delete(services: Wired, actor: Caller, name: str, version: str, force: Forced = False) -> Response:
        """Delete a version until it is restored or collected. A model that is deployed stays unless forced."""
        services.assets.delete(kind, name, version, actor=actor.name, is_forced=force)
        return Response(None, 204)

    if kind is not AssetKind.ENVIRONMENT:
        _add_files(router, one, kind)
    return router


def _add_files(router: APIRouter, one: str, kind: AssetKind) -> None:
    @router.get(f"{one}/files", **describe("List a version's files", _FILES, fails=(404,), action=Action.ASSET_READ))
    def list_files(services: Wired, _: Caller, name: str, version: str) -> Response:
        """List the files with their sizes."""
        tree = services.assets.tree(services.assets.get(kind, name, version))
        return wire.JsonResponse({"items": [{"path": entry.path, "size": entry.size} for entry in tree.entries]})

    @router.get(
        f"{one}/files/{{path:path}}",
        **describe(
            "Read a version's file",
            text("the file"),
            media="application/octet-stream",
            fails=(400, 404, 416),
            action=Action.ASSET_READ,
        ),
    )
    async def read_file(request: Request, services: Wired, _: Caller, name: str, version: str, path: str) -> Response:
        """Return one file; ``Range`` is understood."""
        find = partial(_find_file, services, kind, name, version, check_path(path))
        entry = await to_thread.run_sync(find)
        return await send_blob(request, services.blobs, entry.digest, entry.size, name=path.rpartition("/")[2])


def _find_file(services: Services, kind: AssetKind, name: str, version: str, path: str) -> TreeEntry:
    asset = services.assets.get(kind, name, version)
    for entry in services.assets.tree(asset).entries:
        if entry.path == path:
            return entry
    raise NotFoundError(f'{asset.ref} has no file "{path}"', ref=asset.ref)


def _a(kind: AssetKind) -> str:
    return {"model": "a model", "data": "data", "environment": "an environment"}[kind.value]
