"""The artifact door: ``mlflow-artifacts`` put, get, list, delete; and ``artifacts/list``.

An artifact URI ``mlflow-artifacts:/<root>/<run>/artifacts`` names a run's part of the one store: bytes are blobs,
names are rows. The blob is durable before the row that names it, so a cut-off upload leaves nothing visible.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.responses import Response

from penstock.entities.asset import TreeEntry
from penstock.entities.errors import NotFoundError, UsageError
from penstock.entities.run import Run
from penstock.rules.artifact_paths import check_path, check_prefix
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.errors import NotHereYetError
from penstock.server.mlflow.wire import Json, ListArtifacts
from penstock.server.transfer import receive_blob, send_blob
from penstock.stores.metadata import artifacts as rows
from penstock.stores.metadata import runs

FOLDER = "artifacts"
SCHEME = "mlflow-artifacts:"


@dataclass(frozen=True, slots=True)
class Place:
    """A path inside a run's artifacts; empty is their root."""

    run: Run
    path: str


def find_place(connection: Connection, call: Call, path: str) -> Place | None:
    """Return the run that a path of the artifact door lies in, None where it lies in none.

    Raises
    ------
    ForbiddenError
        If the caller's token is limited to another experiment.
    """
    parts = path.split("/")
    for index in range(1, len(parts)):
        if parts[index] != FOLDER:
            continue
        run = runs.find_run(connection, parts[index - 1], details=False)
        if run is not None and _root(run) == parts[: index + 1]:
            call.actor.check_experiment(run.experiment_id)
            return Place(run, "/".join(parts[index + 1 :]))
    return None


def _root(run: Run) -> list[str]:
    return run.artifact_uri.removeprefix(SCHEME).strip("/").split("/")


async def list_folder(call: Call) -> Json:
    """List the direct children of a folder by their own names; a file or an unknown folder has none."""
    sent = await call.read(ListArtifacts)
    path = check_prefix(sent.path)

    def question(connection: Connection) -> list[tuple[str, bool, int]]:
        place = find_place(connection, call, path) if path else None
        return rows.list_artifacts(connection, place.run.run_id, place.path) if place else []

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


def _shown(path: str, is_dir: bool, size: int) -> Json:
    shown: Json = {"path": path, "is_dir": is_dir}
    return {**shown, "file_size": size} if size and not is_dir else shown


async def download(call: Call, path: str) -> Response:
    """Return one file; ``Range`` is understood."""
    check_path(path)

    def question(connection: Connection) -> TreeEntry | None:
        place = find_place(connection, call, path)
        return rows.find_artifact(connection, place.run.run_id, place.path) if place else None

    entry = await call.ask(question)
    if entry is None:
        raise NotFoundError(f"No such artifact: '{path}'.")
    return await send_blob(call.request, call.services.blobs, entry.digest, entry.size, name=posixpath.basename(path))


async def upload(call: Call, path: str) -> Response:
    """Store the body as one file of a run, replacing what was there; deleted runs take files too."""
    await call.ask(_in_run(call, check_path(path)))
    digest, size = await receive_blob(call.request, call.services.blobs)
    await keep_upload(call, path, digest, size)
    return Response(b"", 200, media_type="application/json")


async def keep_upload(call: Call, path: str, digest: str, size: int) -> None:
    """Record a stored blob as the file at ``path``; the relay's spooled uploads come here, too."""
    find = _in_run(call, check_path(path))

    def operation(connection: Connection) -> None:
        place = find(connection)
        entry = TreeEntry(path=place.path, digest=digest, size=size)
        rows.put_artifacts(connection, place.run.run_id, [entry], now=call.now)

    await call.write(operation)


async def delete(call: Call, path: str) -> Response:
    """Forget a file or all files of a folder; what is not there is fine."""
    place = await call.ask(_in_run(call, check_path(path)))

    def operation(connection: Connection) -> None:
        if rows.delete_artifacts(connection, place.run.run_id, place.path):
            call.record(connection, "delete-artifacts", f"run:{place.run.run_id}", path=place.path)

    await call.write(operation)
    return Response(b"{}", 200, media_type="application/json")


def _in_run(call: Call, path: str) -> Callable[[Connection], Place]:
    def question(connection: Connection) -> Place:
        place = find_place(connection, call, path)
        if place is None:
            raise NotHereYetError(f"'{path}' lies in no run; this server keeps artifacts of runs only, so far.")
        if not place.path:
            raise UsageError(f"'{path}' names the whole of a run's artifacts, not a file.")
        call.check_owner(connection, place.run.run_id)
        return place

    return question
