"""Experiments: create, get, search, rename, tag, delete and restore."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection

from penstock.entities.errors import ConflictError, NotFoundError, UsageError
from penstock.entities.run import Experiment, LifecycleStage
from penstock.rules.filters.mlflow import parse_experiment_filter, parse_experiment_order
from penstock.rules.filters.tree import And, Comparison, Field, Op, Scope
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.errors import BadRequestError
from penstock.server.mlflow.limits import USUAL_PAGE, check_experiment_tag, check_name, check_page, read_view, required
from penstock.server.mlflow.paging import make_token, read_experiment_id, read_token
from penstock.server.mlflow.wire import CreateExperiment, Json, OfExperiment, SearchExperiments, shown_experiment
from penstock.stores.metadata import experiments as rows
from penstock.stores.metadata.search.experiment_search import search_experiments as search_rows

_ID = Field(Scope.ATTRIBUTE, "experiment_id")

MAX_SHOWN = 200
"""So much of a tag's value stands in the audit log."""


async def create_experiment(call: Call) -> Json:
    """Create an experiment; names of deleted ones stay taken."""
    sent = await call.read(CreateExperiment)
    check_name(sent.name)
    plain = unquote(unquote(sent.artifact_location))
    if "#" in plain or "?" in plain or ".." in urlsplit(plain).path:
        raise UsageError(f"Invalid value {sent.artifact_location[:200]!r} for parameter 'artifact_location' supplied.")
    for tag in sent.tags:
        check_experiment_tag(tag.key, tag.value)

    def operation(connection: Connection) -> str:
        made = rows.create_experiment(
            connection,
            sent.name,
            now=call.now,
            artifact_location=sent.artifact_location or None,
            tags={tag.key: tag.value for tag in sent.tags},
        )
        call.record(connection, "create", f"experiment:{made.experiment_id}", name=made.name)
        return made.experiment_id

    return {"experiment_id": await call.write(operation)}


async def get_experiment(call: Call) -> Json:
    """Return an experiment, deleted or not."""
    sent = await call.read(OfExperiment)
    required(sent.experiment_id, "experiment_id")
    experiment_id = read_experiment_id(sent.experiment_id)
    call.actor.check_experiment(experiment_id)
    found = await call.ask(lambda connection: rows.get_experiment(connection, experiment_id))
    return {"experiment": shown_experiment(found)}


async def get_by_name(call: Call) -> Json:
    """Return an experiment by its name, deleted or not."""
    sent = await call.read(OfExperiment)
    required(sent.experiment_name, "experiment_name")
    found = await call.ask(lambda connection: rows.find_experiment_by_name(connection, sent.experiment_name))
    if found is None:
        raise NotFoundError(f"Could not find experiment with name '{sent.experiment_name}'.")
    call.actor.check_experiment(found.experiment_id)
    return {"experiment": shown_experiment(found)}


async def search_experiments(call: Call) -> Json:
    """Return a page of the experiments that a filter finds, in an order."""
    sent = await call.read(SearchExperiments)
    most = sent.most if sent.max_results is None else sent.max_results
    if call.request.method == "POST":
        required(most, "max_results")
    limit, offset = check_page(USUAL_PAGE if most is None else most), read_token(sent.page_token)
    view = read_view(sent.view_type)
    where, order = parse_experiment_filter(sent.filter), parse_experiment_order(sent.order_by)

    def question(connection: Connection) -> list[Experiment]:
        own = None if call.actor.sees_all else Comparison(_ID, Op.EQ, call.actor.experiment_id or "")
        wanted = tuple(one for one in (own, where) if one is not None)
        return search_rows(
            connection, And(wanted) if wanted else None, order, view=view, limit=limit + 1, offset=offset
        )

    found = await call.ask(question)
    answer: Json = {"experiments": [shown_experiment(one) for one in found[:limit]]} if found else {}
    if len(found) > limit:
        answer["next_page_token"] = make_token(offset + limit)
    return answer


async def update_experiment(call: Call) -> Json:
    """Rename an experiment."""
    sent = await call.read(OfExperiment)
    required(sent.new_name, "new_name")
    check_name(sent.new_name)

    def operation(connection: Connection) -> None:
        _get_active(call, connection, sent.experiment_id)
        try:
            rows.rename_experiment(connection, sent.experiment_id, sent.new_name, now=call.now)
        except ConflictError as error:
            raise BadRequestError(error.message, hint=error.hint) from error
        call.record(connection, "rename", f"experiment:{sent.experiment_id}", name=sent.new_name)

    await call.write(operation)
    return {}


async def set_tag(call: Call) -> Json:
    """Set a tag of an experiment."""
    sent = await call.read(OfExperiment)
    check_experiment_tag(sent.key, sent.value)

    def operation(connection: Connection) -> None:
        _get_active(call, connection, sent.experiment_id)
        rows.set_experiment_tag(connection, sent.experiment_id, sent.key, sent.value, now=call.now)
        detail = {"key": sent.key, "value": sent.value[:MAX_SHOWN]}
        call.record(connection, "set-tag", f"experiment:{sent.experiment_id}", **detail)

    await call.write(operation)
    return {}


async def delete_tag(call: Call) -> Json:
    """Delete a tag of an experiment; one that is not there is 404."""
    sent = await call.read(OfExperiment)
    check_experiment_tag(sent.key, "")

    def operation(connection: Connection) -> None:
        _get_active(call, connection, sent.experiment_id)
        rows.delete_experiment_tag(connection, sent.experiment_id, sent.key, now=call.now)
        call.record(connection, "delete-tag", f"experiment:{sent.experiment_id}", key=sent.key)

    await call.write(operation)
    return {}


async def delete_experiment(call: Call) -> Json:
    """Delete an experiment softly, with its runs; one that is deleted already is 404."""
    return await _set_lifecycle(call, LifecycleStage.ACTIVE, LifecycleStage.DELETED)


async def restore_experiment(call: Call) -> Json:
    """Restore an experiment with its runs; an active one is 404."""
    return await _set_lifecycle(call, LifecycleStage.DELETED, LifecycleStage.ACTIVE)


async def _set_lifecycle(call: Call, before: LifecycleStage, after: LifecycleStage) -> Json:
    sent = await call.read(OfExperiment)
    required(sent.experiment_id, "experiment_id")

    def operation(connection: Connection) -> None:
        found = rows.get_experiment(connection, sent.experiment_id)
        if found.lifecycle_stage is not before:
            raise NotFoundError(f"No {before.value} experiment with id={sent.experiment_id} exists.")
        rows.set_experiment_lifecycle(connection, sent.experiment_id, after, now=call.now)
        verb = "delete" if after is LifecycleStage.DELETED else "restore"
        call.record(connection, verb, f"experiment:{sent.experiment_id}")

    await call.write(operation)
    return {}


def _get_active(call: Call, connection: Connection, experiment_id: str) -> Experiment:
    required(experiment_id, "experiment_id")
    call.actor.check_experiment(experiment_id)
    found = rows.get_experiment(connection, experiment_id)
    if found.lifecycle_stage is not LifecycleStage.ACTIVE:
        raise UsageError(f"The experiment {experiment_id} must be in the 'active' state. It was deleted.")
    return found
