"""Logged models: what MLflow 3's ``log_model`` records before anybody registers a model.

These are the only endpoints of the protocol that name a thing in their path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from msgspec import Struct
from sqlalchemy import Connection

from penstock.access.actors import Role
from penstock.assets.sources import adopt_waiting
from penstock.entities.errors import ConflictError, UsageError
from penstock.entities.logged_model import LoggedModel, ModelMetric, ModelStatus
from penstock.entities.tags import CREATOR_TAG
from penstock.rules.artifact_paths import check_prefix
from penstock.rules.filters.mlflow import parse_logged_model_filter
from penstock.rules.filters.orders import check_keys
from penstock.rules.names import new_display_name
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.limits import check_key, required
from penstock.server.mlflow.paging import make_token, read_token
from penstock.server.mlflow.reach import check_source_run
from penstock.server.mlflow.registry_wire import read_message
from penstock.server.mlflow.wire import Json, Pair, shown_pairs, shown_value
from penstock.stores.metadata import artifacts
from penstock.stores.metadata import logged_models as rows
from penstock.stores.metadata.search.logged_model_search import ModelOrder, OnDataset, search_models

PREFIX = "/api/2.0/mlflow/logged-models"
PAGE, MAX_PAGE = 50, 50_000
_NEW_MODEL = re.compile(r"m-[0-9a-f]{32}")
_BAD_IN_NAME = "/:.%\"'"
_STATUSES = (ModelStatus.PENDING, ModelStatus.READY, ModelStatus.FAILED)


class CreateModel(Struct):
    """``POST logged-models``."""

    experiment_id: str = ""
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[Pair] = []
    tags: list[Pair] = []


class ChangeModel(Struct):
    """What is sent to an address below one model."""

    status: str | int = ""
    params: list[Pair] = []
    tags: list[Pair] = []
    artifact_directory_path: str = ""
    allow_deleted: str | bool = ""


class SentDataset(Struct):
    """A dataset that values were measured on."""

    dataset_name: str = ""
    dataset_digest: str = ""


class SentOrder(Struct):
    """One key of an order."""

    field_name: str = ""
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


class SearchModels(Struct):
    """``POST logged-models/search``."""

    experiment_ids: list[str] | None = None
    filter: str = ""
    datasets: list[SentDataset] = []
    max_results: int | None = None
    order_by: list[SentOrder] = []
    page_token: str = ""


async def create_model(call: Call) -> Json:
    """Create a pending logged model; the server chooses its id and, where none is given, its name.

    A job's relay promises an id: asked again, after an answer that was lost, the model it made is the answer.
    """
    sent = await call.read(CreateModel)
    required(sent.experiment_id, "experiment_id")
    if any(letter in _BAD_IN_NAME for letter in sent.name):
        raise UsageError(
            f"Invalid model name ({sent.name[:100]!r}) provided. Model name must be a non-empty string and cannot "
            f"contain the following characters: {' '.join(_BAD_IN_NAME)}"
        )
    call.actor.check_experiment(sent.experiment_id)
    params, tags = _read_pairs(sent.params), _read_pairs(sent.tags)
    if call.actor.role is Role.JOB:
        tags[CREATOR_TAG] = call.actor.name

    promised = call.promised_model()
    if promised and not _NEW_MODEL.fullmatch(promised):
        raise UsageError("A logged model's id is m- and 32 hex digits.")

    def operation(connection: Connection) -> LoggedModel:
        known = _find_promised(call, connection, promised, sent.experiment_id) if promised else None
        if known is not None:
            return known
        if sent.source_run_id:
            check_source_run(connection, call.actor, sent.source_run_id)
            call.check_owner(connection, sent.source_run_id)
        made = rows.create_model(
            connection,
            model_id=promised or f"m-{call.services.new_id()}",
            experiment_id=sent.experiment_id,
            name=sent.name or new_display_name(os.urandom),
            now=call.now,
            model_type=sent.model_type,
            source_run_id=sent.source_run_id or None,
            params=params,
            tags=tags,
        )
        call.record(connection, "create", _ref(made), name=made.name)
        return made

    return {"model": shown_model(await call.write(operation))}


def _find_promised(call: Call, connection: Connection, model_id: str, experiment_id: str) -> LoggedModel | None:
    """Return the logged model that this job created under an id it promised, None if it did not yet."""
    if rows.find_model(connection, model_id) is None:
        return None
    model = rows.get_model(connection, model_id)
    if (model.tags.get(CREATOR_TAG), model.experiment_id) != (call.actor.name, experiment_id):
        raise ConflictError(f"The logged model {model_id} exists already.", ref=f"logged-model:{model_id}")
    return model


async def search(call: Call) -> Json:
    """Find the logged models of some experiments, newest first."""
    sent = await call.read(SearchModels)
    if sent.experiment_ids is None:
        raise UsageError("Missing value for required parameter 'experiment_ids'.")
    experiments = sent.experiment_ids
    for experiment_id in experiments:
        call.actor.check_experiment(experiment_id)
    if not all(one.dataset_name for one in sent.datasets):
        raise UsageError("`dataset_name` in the `datasets` clause must be specified.")
    limit, offset = min(sent.max_results or PAGE, MAX_PAGE), read_token(sent.page_token)
    check_keys(sent.order_by)
    where = parse_logged_model_filter(sent.filter)
    order = [
        ModelOrder(key.field_name, not key.ascending, key.dataset_name or None, key.dataset_digest or None)
        for key in sent.order_by
    ]
    datasets = [OnDataset(one.dataset_name, one.dataset_digest or None) for one in sent.datasets]

    def question(connection: Connection) -> tuple[list[LoggedModel], bool]:
        found = search_models(
            connection,
            experiments,
            where=where,
            datasets=datasets,
            order=order,
            limit=limit + 1,
            offset=offset,
        )
        return rows.read_models(connection, found[:limit]), len(found) > limit

    if limit < 0:
        return {}
    page, has_more = await call.ask(question)
    answer: Json = {"models": [shown_model(model) for model in page]} if page else {}
    if has_more:
        answer["next_page_token"] = make_token(offset + limit)
    return answer


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
    status = _read_status(sent.status)

    def operation(connection: Connection) -> LoggedModel:
        model = _changeable(call, connection)
        changed = rows.finish_model(connection, model.model_id, status, now=call.now)
        if status is ModelStatus.READY:
            adopt_waiting(connection, model_id=model.model_id, now=call.now)
        call.record(connection, "finish", _ref(model), status=status.value)
        return changed

    return {"model": shown_model(await call.write(operation))}


async def _delete(call: Call) -> Json:
    """Delete a logged model softly; twice is fine."""

    def operation(connection: Connection) -> None:
        model = _changeable(call, connection)
        rows.delete_model(connection, model.model_id, now=call.now)
        call.record(connection, "delete", _ref(model))

    await call.write(operation)
    return {}


async def _add_params(call: Call) -> Json:
    """Add parameters to a logged model."""
    sent = await call.read(ChangeModel)
    params = _read_pairs(sent.params)

    def operation(connection: Connection) -> None:
        model = _changeable(call, connection)
        rows.add_params(connection, model.model_id, params)
        call.record(connection, "log-params", _ref(model), keys=", ".join(params))

    await call.write(operation)
    return {}


async def _set_tags(call: Call) -> Json:
    """Set tags of a logged model."""
    sent = await call.read(ChangeModel)
    tags = _read_pairs(sent.tags)

    def operation(connection: Connection) -> None:
        model = _changeable(call, connection)
        rows.set_tags(connection, model.model_id, tags)
        call.record(connection, "set-tags", _ref(model), keys=", ".join(tags))

    await call.write(operation)
    return {}


async def _delete_tag(call: Call) -> Json:
    """Delete a tag of a logged model; one that is not there is 404."""
    key = "/".join(_parts(call)[2:])

    def operation(connection: Connection) -> None:
        model = _changeable(call, connection)
        rows.delete_tag(connection, model.model_id, key)
        call.record(connection, "delete-tag", _ref(model), key=key)

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
    files = [_shown_file(*child) for child in children]
    return {**answer, "files": files} if files else answer


def shown_model(model: LoggedModel) -> Json:
    """Return a logged model."""
    info: Json = {
        "model_id": model.model_id,
        "experiment_id": model.experiment_id,
        "name": model.name,
        "creation_timestamp_ms": model.created_at,
        "last_updated_timestamp_ms": model.updated_at,
        "artifact_uri": model.artifact_location,
        "status": model.status.value,
        "model_type": model.model_type,
        "source_run_id": model.source_run_id or "",
    }
    if model.status_message:
        info["status_message"] = model.status_message
    if model.tags:
        info["tags"] = shown_pairs(dict(model.tags))
    data: Json = {}
    if model.params:
        data["params"] = shown_pairs(dict(model.params))
    if model.metrics:
        data["metrics"] = [_shown_metric(metric, model.model_id) for metric in model.metrics]
    return {"info": info, "data": data}


def _shown_metric(metric: ModelMetric, model_id: str) -> Json:
    shown: Json = {
        "key": metric.key,
        "value": shown_value(metric.value),
        "timestamp": metric.timestamp,
        "step": metric.step,
        "model_id": model_id,
        "run_id": metric.run_id,
    }
    if metric.dataset_name:
        shown["dataset_name"] = metric.dataset_name
    if metric.dataset_digest:
        shown["dataset_digest"] = metric.dataset_digest
    return shown


def _shown_file(path: str, is_dir: bool, size: int) -> Json:
    shown: Json = {"path": path, "is_dir": is_dir}
    return {**shown, "file_size": size} if size and not is_dir else shown


def _parts(call: Call) -> list[str]:
    return [unquote(part) for part in call.request.scope["path"].removeprefix(f"{PREFIX}/").split("/")]


def _readable(call: Call, connection: Connection, with_deleted: bool = True) -> LoggedModel:
    model = rows.get_model(connection, _parts(call)[0], with_deleted=with_deleted)
    call.actor.check_experiment(model.experiment_id)
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


def _read_status(status: str | int) -> ModelStatus:
    required(status, "status")
    if str(status) in {"1", "2", "3"}:
        return _STATUSES[int(status) - 1]
    try:
        return ModelStatus(str(status))
    except ValueError as error:
        known = ", ".join(one.value for one in _STATUSES)
        raise UsageError(f"Invalid value {status!r} for parameter 'status': it is one of {known}.") from error


def _read_pairs(pairs: list[Pair]) -> dict[str, str]:
    return {check_key(pair.key): pair.value for pair in pairs}


def _ref(model: LoggedModel) -> str:
    return f"logged-model:{model.model_id}"
