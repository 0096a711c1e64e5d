"""Content: ``/api/v1/blobs``, resumable ``/api/v1/uploads`` and folder ``/api/v1/trees``.

A job's token may bring content but not read it: a blob belongs to nobody, so its digest is no permission. For the same
reason who may not read by digest is told that content is missing which it did not bring itself, and may put only its
own into a tree.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Annotated

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from penstock.access.actors import Actor
from penstock.entities.asset import Tree
from penstock.entities.base import Entity
from penstock.entities.errors import Problem, SpecError
from penstock.rules.permissions import Action
from penstock.rules.trees import check_tree
from penstock.server.api import wire
from penstock.server.api.callers import Body, Caller, Wired, check_alive, holder_of, read_entity
from penstock.server.openapi import ACTION, array, describe, record, text
from penstock.server.problems import MissingContentError
from penstock.server.services import Services
from penstock.server.transfer import ending_with, receive_blob, receive_body, send_blob
from penstock.stores.metadata import trees

router = APIRouter(tags=["content"])

Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the content, hex")]
UploadId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="what POST /uploads gave")]
_INTEGER = {"type": "integer"}
_STORED = record(digest=text(), size=_INTEGER)
_OFFSET = record(offset=_INTEGER)


def _missing(services: Services, actor: Actor, digests: Iterable[str]) -> list[str]:
    """Return what a caller must bring before it may name it, each once, in order."""
    holder, wanted = holder_of(actor), list(dict.fromkeys(digests))
    gone = services.blobs.missing(wanted)
    if not holder:
        return gone
    lost, brought = set(gone), services.attempts.brought
    return [digest for digest in wanted if digest in lost or not brought.has(holder, digest)]


def _note(services: Services, actor: Actor, digest: str) -> None:
    holder = holder_of(actor)
    if holder:
        services.attempts.brought.note(holder, digest)


class DigestList(Entity):
    """Digests to ask for."""

    digests: tuple[str, ...]


class UploadEnd(Entity):
    """What the whole upload should be; without a digest it is taken as it came."""

    digest: str | None = None


@router.post(
    "/blobs:missing",
    **describe(
        "Ask which blobs are not stored", record(missing=array(text())), takes=DigestList, action=Action.CONTENT_STORE
    ),
)
def list_missing(services: Wired, actor: Caller, body: Body) -> Response:
    """Return those of the digests whose content the server lacks, or has not from this limited caller."""
    asked = read_entity(DigestList, body)
    return wire.JsonResponse({"missing": _missing(services, actor, asked.digests)})


@router.put(
    "/blobs/{digest}",
    **describe(
        "Store a blob",
        _STORED,
        status=201,
        takes=text(),
        takes_media="application/octet-stream",
        fails=(400, 507),
        action=Action.CONTENT_STORE,
    ),
)
async def put_blob(request: Request, services: Wired, actor: Caller, digest: Sha256) -> Response:
    """Store the body under its SHA-256; another digest is refused and nothing is kept."""
    stored, size = await receive_blob(request, services.blobs, digest, ask=partial(check_alive, request, services))
    _note(services, actor, stored)
    return wire.JsonResponse({"digest": stored, "size": size}, 201)


@router.get(
    "/blobs/{digest}",
    **describe(
        "Read a blob",
        text("the content"),
        media="application/octet-stream",
        fails=(404, 416),
        action=Action.CONTENT_READ,
    ),
)
@router.head("/blobs/{digest}", include_in_schema=False, openapi_extra={ACTION: Action.CONTENT_READ.value})
async def get_blob(request: Request, services: Wired, _: Caller, digest: Sha256) -> Response:
    """Return the content; ``Range`` is understood."""
    size = await to_thread.run_sync(services.blobs.size, digest)
    return await send_blob(request, services.blobs, digest, size)


@router.post(
    "/uploads",
    **describe("Begin an upload", record(upload=text(), offset=_INTEGER), status=201, action=Action.CONTENT_STORE),
)
def begin_upload(services: Wired, _: Caller) -> Response:
    """Begin a resumable upload; nothing of it is visible before it is finished."""
    return wire.JsonResponse({"upload": services.blobs.begin_upload(), "offset": 0}, 201)


@router.get(
    "/uploads/{upload}", **describe("Ask how far an upload is", _OFFSET, fails=(404,), action=Action.CONTENT_STORE)
)
def get_upload(services: Wired, _: Caller, upload: UploadId) -> Response:
    """Return how many bytes are kept; go on from there."""
    return wire.JsonResponse({"offset": services.blobs.upload_offset(upload)})


@router.patch(
    "/uploads/{upload}",
    **describe(
        "Append to an upload",
        _OFFSET,
        takes=text(),
        takes_media="application/octet-stream",
        fails=(404, 409, 507),
        action=Action.CONTENT_STORE,
    ),
)
async def append_upload(
    request: Request,
    services: Wired,
    _: Caller,
    upload: UploadId,
    offset: Annotated[int, Query(ge=0, description="the upload's length before this piece")],
) -> Response:
    """Append the body at ``offset``, which must be the upload's length."""
    blobs = services.blobs
    ask = partial(check_alive, request, services)
    length = await receive_body(request, lambda pieces: blobs.append_upload(upload, offset, ending_with(pieces, ask)))
    return wire.JsonResponse({"offset": length})


@router.post(
    "/uploads/{upload}:finish",
    **describe("Finish an upload", _STORED, takes=UploadEnd, fails=(400, 404, 507), action=Action.CONTENT_STORE),
)
def finish_upload(services: Wired, actor: Caller, upload: UploadId, body: Body) -> Response:
    """Turn the upload into a blob."""
    end = read_entity(UploadEnd, body or b"{}")
    digest, size = services.blobs.finish_upload(upload, expected=end.digest)
    _note(services, actor, digest)
    return wire.JsonResponse({"digest": digest, "size": size})


@router.delete("/uploads/{upload}", **describe("Give an upload up", status=204, action=Action.CONTENT_STORE))
def abort_upload(services: Wired, _: Caller, upload: UploadId) -> Response:
    """Forget an upload; idempotent."""
    services.blobs.abort_upload(upload)
    return Response(None, 204)


@router.post(
    "/trees",
    **describe(
        "Store a folder's list",
        record(digest=text()),
        takes=Tree,
        status=201,
        fails=(400, 409, 422),
        action=Action.CONTENT_STORE,
    ),
)
def put_tree(services: Wired, actor: Caller, body: Body) -> Response:
    """Record a tree; the blobs it names must be stored, else ``missing`` lists those that are not."""
    tree = read_entity(Tree, body)
    check_tree(tree)
    _check_content(services, actor, tree)
    digest = services.store.write(lambda connection: trees.put_tree(connection, tree))
    return wire.JsonResponse({"digest": digest}, 201)


def _check_content(services: Services, actor: Actor, tree: Tree) -> None:
    missing = _missing(services, actor, (entry.digest for entry in tree.entries))
    if missing:
        raise MissingContentError(missing)
    blobs = services.blobs
    problems = [
        Problem(f"the file has {blobs.size(entry.digest)} bytes, not {entry.size}", f"/entries/{index}/size")
        for index, entry in enumerate(tree.entries)
        if blobs.size(entry.digest) != entry.size
    ]
    if problems:
        raise SpecError(problems)


@router.get("/trees/{digest}", **describe("Read a folder's list", Tree, fails=(404,), action=Action.CONTENT_READ))
def get_tree(services: Wired, _: Caller, digest: Sha256) -> Response:
    """Return a tree."""
    with services.store.read() as connection:
        tree = trees.get_tree(connection, digest)
    return Response(msgspec.json.encode(tree.model_dump(mode="json")), media_type="application/json")
