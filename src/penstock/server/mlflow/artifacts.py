"""The artifact door: ``mlflow-artifacts`` put, get, list, delete; and ``artifacts/list``.

Bytes are blobs, names are rows: of a run, of a logged model, or of neither; the files of a registered version are
read here too, and never written. The blob is durable before the row that names it, so a cut-off upload leaves
nothing visible.
"""

from __future__ import annotations

import posixpath

from sqlalchemy import Connection
from starlette.responses import Response

from penstock.access.actors import Action, Role
from penstock.assets.sources import version_tree
from penstock.entities.asset import Tree, TreeEntry
from penstock.entities.errors import NotFoundError, RefusedError, UsageError
from penstock.entities.run import Run
from penstock.rules.artifact_paths import check_path, check_prefix
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.logged_model_records import check_model_owner
from penstock.server.mlflow.wire import Json, ListArtifacts
from penstock.server.transfer import is_readable_range, receive_blob, send_blob
from penstock.stores.metadata import artifacts as rows
from penstock.stores.metadata import runs
from penstock.stores.metadata.artifacts import Shelf
from penstock.stores.metadata.places import REGISTRY, Place, find_place


async def list_folder(call: Call) -> Json:
    """List the direct children of a folder by their own names; a file or an unknown folder has none."""
    sent = await call.read(ListArtifacts)
    path = check_prefix(sent.path)

    def question(connection: Connection) -> list[tuple[str, bool, int]]:
        place = _readable(call, connection, path)
        if place.shelf is not None:
            return rows.list_files(connection, place.shelf, place.path)
        return _children(_tree(connection, place), place.path)

    files = [_shown(posixpath.basename(child), is_dir, size) for child, is_dir, size in await call.ask(question)]
    return {"files": files} if files else {}


async def list_of_run(call: Call) -> Json:
    """List the direct children of a folder of a run by their paths below its root."""
    sent = await call.read(ListArtifacts)
    path = check_prefix(sent.path)

    def question(connection: Connection) -> tuple[Run, list[tuple[str, bool, int]]]:
        call.check_run(connection, sent.run, is_write=False)
        run = runs.get_run(connection, sent.run, details=False)
        return run, rows.list_artifacts(connection, sent.run, path)

    run, children = await call.ask(question)
    answer: Json = {"root_uri": run.artifact_uri}
    return {**answer, "files": [_shown(*child) for child in children]} if children else answer


async def download(call: Call, path: str) -> Response:
    """Return one file; ``Range`` is understood."""
    check_path(path)
    asked = call.request.headers.get("range")
    if asked and "if-range" not in call.request.headers and not is_readable_range(asked):
        raise UsageError(f"The range {asked[:100]!r} cannot be read.", hint="It is written like bytes=0-99.")

    def question(connection: Connection) -> TreeEntry:
        place = _readable(call, connection, path)
        entry = _find(connection, place)
        if entry is not None:
            return entry
        if place.path and _has_children(connection, place):
            raise UsageError(f"'{path}' is a folder, not a file.")
        raise NotFoundError(f"No such artifact: '{path}'.")

    entry = await call.ask(question)
    name = posixpath.basename(path)
    return await send_blob(call.request, call.services.blobs, entry.digest, entry.size, name=name, shown="attachment")


async def upload(call: Call, path: str) -> Response:
    """Store the body as one file, replacing what was there; deleted runs take files too."""
    check_path(path)
    # Asked before the body is read, so that what is refused is not received first.
    await call.ask(lambda connection: _free(call, connection, path))
    digest, size = await receive_blob(call.request, call.services.blobs)
    await keep_upload(call, path, digest, size)
    return Response(b"", 200, media_type="application/json")


async def keep_upload(call: Call, path: str, digest: str, size: int) -> None:
    """Record a stored blob as the file at ``path``; the relay's spooled uploads come here, too."""
    check_path(path)

    def operation(connection: Connection) -> None:
        call.check_alive(connection)
        place, shelf = _free(call, connection, path)
        rows.put_files(connection, shelf, [TreeEntry(path=place.path, digest=digest, size=size)], now=call.now)
        if call.actor.role is not Role.JOB:
            call.record(connection, "upload-artifact", place.ref, path=place.path)

    await call.write(operation)


async def delete(call: Call, path: str) -> Response:
    """Forget a file or all files of a folder; what is not there is fine."""
    check_path(path)

    def operation(connection: Connection) -> None:
        place, shelf = _writable(call, connection, path)
        if rows.delete_files(connection, shelf, place.path):
            call.record(connection, "delete-artifacts", place.ref, path=place.path)

    await call.write(operation)
    return Response(b"{}", 200, media_type="application/json")


def _readable(call: Call, connection: Connection, path: str) -> Place:
    place = find_place(connection, path)
    if place.version is not None:
        call.actor.check(Action.MODEL_READ)
    else:
        # What belongs to no experiment is for those who see all of them.
        call.actor.check_experiment(place.experiment_id or "")
    return place


def _writable(call: Call, connection: Connection, path: str) -> tuple[Place, Shelf]:
    place = _readable(call, connection, path)
    if place.shelf is None or (place.shelf is rows.LOOSE and path.partition("/")[0] == REGISTRY):
        raise RefusedError(
            f"'{path}' belongs to the model registry, whose versions never change",
            hint="Register a new version instead.",
        )
    if not place.path:
        raise UsageError(f"'{path}' names the whole of what it belongs to, not a file.")
    if place.run is not None:
        call.check_owner(connection, place.run.run_id)
    elif place.model is not None:
        check_model_owner(call, connection, place.model)
    elif place.experiment_id is None:
        call.actor.check_contributor()
    return place, place.shelf


def _free(call: Call, connection: Connection, path: str) -> tuple[Place, Shelf]:
    place, shelf = _writable(call, connection, path)
    rows.check_free(connection, shelf, place.path)
    return place, shelf


def _find(connection: Connection, place: Place) -> TreeEntry | None:
    if place.shelf is not None:
        return rows.find_file(connection, place.shelf, place.path)
    return next((entry for entry in _tree(connection, place).entries if entry.path == place.path), None)


def _has_children(connection: Connection, place: Place) -> bool:
    if place.shelf is not None:
        return rows.is_folder(connection, place.shelf, place.path)
    return bool(_children(_tree(connection, place), place.path))


def _tree(connection: Connection, place: Place) -> Tree:
    found = version_tree(connection, place.version) if place.version is not None else None
    return Tree() if found is None else found


def _children(tree: Tree, folder: str) -> list[tuple[str, bool, int]]:
    root = f"{folder}/" if folder else ""
    found: dict[str, tuple[str, bool, int]] = {}
    for entry in tree.entries:
        if entry.path.startswith(root):
            name, slash, _ = entry.path[len(root) :].partition("/")
            found[name] = (root + name, bool(slash), 0 if slash else entry.size)
    return sorted(found.values())


def _shown(path: str, is_dir: bool, size: int) -> Json:
    shown: Json = {"path": path, "is_dir": is_dir}
    return {**shown, "file_size": size} if size and not is_dir else shown
