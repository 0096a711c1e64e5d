"""Logged models: what MLflow 3's ``log_model`` records before anybody registers a model."""

from __future__ import annotations

import os
import re

from sqlalchemy import Connection

from penstock.access.actors import Role
from penstock.entities.errors import ConflictError, UsageError
from penstock.entities.logged_model import LoggedModel
from penstock.entities.tags import CREATOR_TAG
from penstock.rules.filters.mlflow import parse_logged_model_filter
from penstock.rules.filters.orders import check_keys
from penstock.rules.names import new_display_name
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.limits import required
from penstock.server.mlflow.logged_model_wire import CreateModel, SearchModels, model_ref, read_pairs, shown_model
from penstock.server.mlflow.paging import make_token, read_token
from penstock.server.mlflow.reach import check_source_run
from penstock.server.mlflow.wire import Json
from penstock.stores.metadata import logged_models as rows
from penstock.stores.metadata.search.logged_model_search import ModelOrder, OnDataset, search_models

PAGE, MAX_PAGE = 50, 50_000
_NEW_MODEL = re.compile(r"m-[0-9a-f]{32}")
_BAD_IN_NAME = "/:.%\"'"


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
    params, tags = read_pairs(sent.params), read_pairs(sent.tags)
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
        call.record(connection, "create", model_ref(made), name=made.name)
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
