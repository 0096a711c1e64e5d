"""One logged model: what is asked of it, changed in it and listed below it.

These are the only endpoints of the protocol that name a thing in their path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import unquote

from sqlalchemy import Connection

from penstock.access.actors import Role
from penstock.assets.sources import adopt_waiting
from penstock.entities.logged_model import LoggedModel, ModelStatus
from penstock.entities.tags import CREATOR_TAG
from penstock.rules.artifact_paths import check_prefix
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.logged_model_wire import (
    ChangeModel,
    model_ref,
    read_pairs,
    read_status,
    shown_file,
    shown_model,
)
from penstock.server.mlflow.registry_wire import read_message
from penstock.server.mlflow.wire import Json
from penstock.stores.metadata import artifacts
from penstock.stores.metadata import logged_models as rows

PREFIX = "/api/2.0/mlflow/logged-models"


def find_handler(method: str, path: str) -> Callable[[Call], Awaitable[Json]] | None:
    """Return what answers a path below :data:`PREFIX` that names a model, or None."""
    parts = path.removeprefix(f"{PREFIX}/").split("/")
    if len(parts) == 1:
        return {"GET": _get, "PATCH": _finish, "DELETE": _delete}.get(method)
    if len(parts) == 2:
        return {("POST", "params"): _add_params, ("PATCH", "tags"): _set_tags}.get((method, parts[1]))
    if parts[1] == "tags":
        return _delete_tag if method == "DELETE" else None
    if parts[1:] == ["artifacts", "directories"]:
        return _list_files if method == "GET" else None
    return None


async def _get(call: Call) -> Json:
    """Return a logged model; deleted ones only where they are asked for."""
    sent = await read_message(call, ChangeModel)
    with_deleted = str(sent.allow_deleted).lower() == "true"
    return {"model": shown_model(await call.ask(lambda connection: _readable(call, connection, with_deleted)))}


async def _finish(call: Call) -> Json:
    """Say that a model's files are complete, or will not come; versions made of it get them as their tree."""
    sent = await call.read(ChangeModel)
    status = read_status(sent.status)

    def operation(connection: Connection) -> LoggedModel:
        model = _changeable(call, connection)
        changed = rows.finish_model(connection, model.model_id, status, now=call.now)
        if status is ModelStatus.READY:
            adopt_waiting(connection, model_id=model.model_id, now=call.now)
        call.record(connection, "finish", model_ref(model), status=status.value)
        return changed

    return {"model": shown_model(await call.write(operation))}


async def _delete(call: Call) -> Json:
    """Delete a logged model softly; twice is fine."""
    return await _change(call, "delete", {}, partial(rows.delete_model, now=call.now))


async def _add_params(call: Call) -> Json:
    """Add parameters to a logged model."""
    params = read_pairs((await call.read(ChangeModel)).params)
    return await _change(call, "log-params", {"keys": ", ".join(params)}, partial(rows.add_params, params=params))


async def _set_tags(call: Call) -> Json:
    """Set tags of a logged model."""
    tags = read_pairs((await call.read(ChangeModel)).tags)
    return await _change(call, "set-tags", {"keys": ", ".join(tags)}, partial(rows.set_tags, tags=tags))


async def _delete_tag(call: Call) -> Json:
    """Delete a tag of a logged model; one that is not there is 404."""
    key = "/".join(_parts(call)[2:])
    return await _change(call, "delete-tag", {"key": key}, partial(rows.delete_tag, key=key))


async def _change(call: Call, verb: str, detail: dict[str, str], apply: Callable[[Connection, str], None]) -> Json:
    """Change a model that the caller may change, and record it."""

    def operation(connection: Connection) -> None:
        model = _changeable(call, connection)
        apply(connection, model.model_id)
        call.record(connection, verb, model_ref(model), **detail)

    await call.write(operation)
    return {}


async def _list_files(call: Call) -> Json:
    """List the direct children of a folder of a model's files by their paths below its root."""
    sent = await read_message(call, ChangeModel)
    path = check_prefix(sent.artifact_directory_path)

    def question(connection: Connection) -> tuple[LoggedModel, list[tuple[str, bool, int]]]:
        model = _readable(call, connection, with_deleted=False)
        return model, artifacts.list_files(connection, artifacts.model_shelf(model.row), path)

    model, children = await call.ask(question)
    answer: Json = {"root_uri": model.artifact_location}
    files = [shown_file(*child) for child in children]
    return {**answer, "files": files} if files else answer


def _parts(call: Call) -> list[str]:
    return [unquote(part) for part in call.request.scope["path"].removeprefix(f"{PREFIX}/").split("/")]


def _readable(call: Call, connection: Connection, with_deleted: bool = True) -> LoggedModel:
    model = rows.get_model(connection, _parts(call)[0], with_deleted=with_deleted)
    call.actor.check_experiment(model.experiment_id, rows.unknown_model(model.model_id))
    return model


def _changeable(call: Call, connection: Connection) -> LoggedModel:
    model = _readable(call, connection)
    check_model_owner(call, connection, model)
    return model


def check_model_owner(call: Call, connection: Connection, model: LoggedModel) -> None:
    """Raise ForbiddenError if a job would change a logged model that neither it nor its run made."""
    if call.actor.role is Role.JOB and model.source_run_id != call.actor.job_name:
        tags = model.tags or rows.get_model(connection, model.model_id).tags
        call.actor.check_creator(tags.get(CREATOR_TAG), model.model_id)
