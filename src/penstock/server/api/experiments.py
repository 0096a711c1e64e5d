"""``/api/v1/experiments``: the groups that runs are in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response

from penstock.access.actors import Actor
from penstock.access.audit import record_event
from penstock.entities.base import Entity, TimestampMs
from penstock.entities.errors import ConflictError, NotFoundError
from penstock.entities.run import Experiment, LifecycleStage
from penstock.entities.run_query import View
from penstock.rules.permissions import Action
from penstock.rules.suggest import did_you_mean
from penstock.server.api import wire
from penstock.server.api.callers import Body, Caller, Limit, Next, OnceKey, Wired, read_entity
from penstock.server.idempotency import Keep
from penstock.server.openapi import describe, page_of
from penstock.server.run_selection import VIEWS
from penstock.server.services import Services
from penstock.stores.metadata import experiments

router = APIRouter(prefix="/experiments", tags=["runs"])

DEFAULT = "0"
_Name = Annotated[str, Field(min_length=1, max_length=500)]
_Key = Annotated[str, Field(min_length=1, max_length=250)]
_Value = Annotated[str, Field(max_length=5000)]


class ExperimentRecord(Entity):
    """An experiment."""

    id: str
    name: str
    lifecycle_stage: LifecycleStage
    artifact_location: str
    tags: Mapping[str, str] = {}
    created_at: TimestampMs
    updated_at: TimestampMs


class ExperimentSpec(Entity):
    """A new experiment."""

    name: _Name
    tags: Mapping[_Key, _Value] = {}


class ExperimentChange(Entity):
    """What may be changed of an experiment; a tag whose value is null is removed."""

    name: _Name | None = None
    tags: Mapping[_Key, _Value | None] = {}


@router.get("", **describe("List experiments", page_of(ExperimentRecord), action=Action.EXPERIMENT_LIST))
def list_experiments(
    services: Wired,
    actor: Caller,
    view: Annotated[View, Query(description="active, deleted or all")] = "active",
    limit: Limit = 100,
    following: Next = None,
) -> Response:
    """List experiments, newest first."""
    with services.store.read() as connection:
        if actor.sees_all:
            found = experiments.list_experiments(
                connection, limit=limit + 1, after=wire.read_next(following), view=VIEWS[view]
            )
        else:
            found = [experiments.get_experiment(connection, actor.experiment_id or "")]
    return wire.page(found, limit, wire.experiment, lambda experiment: experiment.experiment_id)


@router.post(
    "",
    **describe(
        "Create an experiment",
        ExperimentRecord,
        takes=ExperimentSpec,
        status=201,
        fails=(400, 409, 422),
        action=Action.EXPERIMENT_CREATE,
    ),
)
def create_experiment(
    request: Request,
    services: Wired,
    actor: Caller,
    body: Body,
    key: OnceKey = None,
) -> Response:
    """Create an experiment. With an ``Idempotency-Key`` a repeated request gives the first one's experiment."""
    spec = read_entity(ExperimentSpec, body)
    now = services.now()

    def work(keep: Keep) -> ExperimentRecord:
        def operation(connection: Connection) -> ExperimentRecord:
            made = experiments.create_experiment(connection, spec.name, now=now, tags=spec.tags)
            _record(connection, actor, "create", made, now, name=made.name)
            shown = _shown(made)
            keep(connection, shown)
            return shown

        return services.store.write(operation)

    sent = spec.model_dump(mode="json")
    reply = request.app.state.once.run(key, "POST experiments", actor, sent, work, status=201)
    return wire.JsonResponse(reply.content, reply.status)


@router.get(
    "/{name:path}", **describe("Show an experiment", ExperimentRecord, fails=(404,), action=Action.EXPERIMENT_READ)
)
def get_experiment(services: Wired, actor: Caller, name: str) -> Response:
    """Show an experiment by its name or id, deleted or not."""
    with services.store.read() as connection:
        return wire.JsonResponse(wire.experiment(_visible(connection, actor, name)))


@router.patch(
    "/{name:path}",
    **describe(
        "Change an experiment",
        ExperimentRecord,
        takes=ExperimentChange,
        fails=(400, 404, 409, 422),
        action=Action.EXPERIMENT_CREATE,
    ),
)
def change_experiment(services: Wired, actor: Caller, name: str, body: Body) -> Response:
    """Rename an experiment, set its tags, remove those whose value is null."""
    change = read_entity(ExperimentChange, body)
    now = services.now()

    def apply(connection: Connection, found: Experiment) -> None:
        if change.name is not None:
            experiments.rename_experiment(connection, found.experiment_id, change.name, now=now)
        for key, value in change.tags.items():
            if value is None:
                experiments.delete_experiment_tag(connection, found.experiment_id, key, now=now)
            else:
                experiments.set_experiment_tag(connection, found.experiment_id, key, value, now=now)
        _record(connection, actor, "update", found, now, name=change.name, tags=sorted(change.tags))

    return _change(services, actor, name, apply)


@router.post(
    "/{name:path}:delete",
    **describe("Delete an experiment", ExperimentRecord, fails=(404, 409), action=Action.EXPERIMENT_DELETE),
)
def delete_experiment(services: Wired, actor: Caller, name: str) -> Response:
    """Hide an experiment and its runs; they can be restored until a collection removes them. Idempotent."""
    return _set_stage(services, actor, name, LifecycleStage.DELETED)


@router.post(
    "/{name:path}:restore",
    **describe("Restore an experiment", ExperimentRecord, fails=(404,), action=Action.EXPERIMENT_DELETE),
)
def restore_experiment(services: Wired, actor: Caller, name: str) -> Response:
    """Show a deleted experiment and its runs again. Idempotent."""
    return _set_stage(services, actor, name, LifecycleStage.ACTIVE)


def _shown(made: Experiment) -> ExperimentRecord:
    return ExperimentRecord(
        id=made.experiment_id,
        name=made.name,
        lifecycle_stage=made.lifecycle_stage,
        artifact_location=made.artifact_location,
        tags=made.tags,
        created_at=made.created_at,
        updated_at=made.updated_at,
    )


def _set_stage(services: Services, actor: Actor, name: str, stage: LifecycleStage) -> Response:
    now = services.now()

    def apply(connection: Connection, found: Experiment) -> None:
        if found.lifecycle_stage is stage:
            return
        if stage is LifecycleStage.DELETED and found.experiment_id == DEFAULT:
            raise ConflictError("the default experiment stays", hint="Delete its runs instead.", ref="experiment:0")
        experiments.set_experiment_lifecycle(connection, found.experiment_id, stage, now=now)
        _record(connection, actor, "delete" if stage is LifecycleStage.DELETED else "restore", found, now)

    return _change(services, actor, name, apply)


def _change(services: Services, actor: Actor, name: str, apply: Callable[[Connection, Experiment], None]) -> Response:
    def operation(connection: Connection) -> Experiment:
        found = _visible(connection, actor, name)
        apply(connection, found)
        return experiments.get_experiment(connection, found.experiment_id)

    return wire.JsonResponse(wire.experiment(services.store.write(operation)))


def _visible(connection: Connection, actor: Actor, name: str) -> Experiment:
    found = experiments.find_experiment_by_name(connection, name)
    if found is None:
        try:
            found = experiments.get_experiment(connection, name)
        except NotFoundError as error:
            known = [one.name for one in experiments.list_experiments(connection, limit=1000)]
            raise NotFoundError(
                f'no experiment has the name or id "{name[:500]}"',
                hint=did_you_mean(name, known) or "List them with: penstock experiment list",
                ref=f"experiment:{name[:500]}",
            ) from error
    actor.check_experiment(found.experiment_id)
    return found


def _record(connection: Connection, actor: Actor, verb: str, found: Experiment, now: int, **detail: Any) -> None:
    kept = {key: value for key, value in detail.items() if value}
    record_event(connection, actor.name, verb, f"experiment:{found.experiment_id}", now=now, detail=kept)
