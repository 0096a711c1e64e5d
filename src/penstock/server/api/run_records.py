"""``/api/v1/runs/{name}``: one run, whole; its metrics' histories; and what may be changed of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response

from penstock.access.actors import Actor
from penstock.access.audit import record_event
from penstock.entities.base import Entity
from penstock.entities.errors import ConflictError, NotFoundError, Problem, SpecError
from penstock.entities.run import LifecycleStage, Run
from penstock.entities.tags import CREATOR_TAG, RUN_NAME_TAG
from penstock.entities.token import PEOPLE, Role
from penstock.rules.instants import span
from penstock.rules.permissions import Action
from penstock.rules.suggest import did_you_mean
from penstock.server.api import wire
from penstock.server.api.callers import Body, Caller, Limit, Wired, read_entity
from penstock.server.api.run_pages import show_run
from penstock.server.api.run_search import NUMBER, RUN_ITEM
from penstock.server.openapi import Schema, array, describe, record, text
from penstock.server.services import Services
from penstock.stores.metadata import datasets, experiments, jobs, runs
from penstock.stores.metadata.metric_history import (
    GREATEST,
    LEAST,
    Place,
    Row,
    as_metric,
    read_history,
    spread_history,
)
from penstock.stores.metadata.run_log import row_of
from penstock.stores.metadata.search import run_lookup

router = APIRouter(tags=["runs"])

MAX_KEY, MAX_TAG, MAX_NAME = 250, 8000, 500
_POINT = record(
    step={"type": "integer"},
    timestamp=text("where RFC 3339 cannot say what was sent, the nearest it can"),
    value=NUMBER,
)
_HISTORY = {
    **record(items=array(_POINT)),
    "properties": {
        "items": array(_POINT),
        "next": text("where the next page begins; absent on the last one"),
        "total": {"type": "integer", "description": "of how many points `max_points` are shown"},
    },
}
_RUN: Schema = {**RUN_ITEM, "properties": {**RUN_ITEM["properties"], "is_job": {"type": "boolean"}}}

_Key = Annotated[str, Field(min_length=1, max_length=MAX_KEY)]
_Value = Annotated[str, Field(max_length=MAX_TAG)]


class RunChange(Entity):
    """What may be changed of a run; a tag whose value is null is removed."""

    run_name: str | None = Field(default=None, min_length=1, max_length=MAX_NAME)
    tags: Mapping[_Key, _Value | None] = {}


@router.get("/runs/{name}", **describe("Show a run", _RUN, fails=(400, 404), action=Action.RUN_READ))
def get_run(services: Wired, actor: Caller, name: str) -> Response:
    """Show a run by its id or a unique prefix of it: parameters, tags, latest metrics, inputs and outputs."""
    with services.store.read() as connection:
        return wire.JsonResponse(_show(connection, _visible(connection, actor, name)))


@router.get(
    "/runs/{name}/metrics/{key:path}",
    **describe("Read a metric's history", _HISTORY, fails=(400, 404), action=Action.RUN_READ),
)
def get_history(
    services: Wired,
    actor: Caller,
    name: str,
    key: str,
    from_step: Annotated[int | None, Query(description="only from this step on")] = None,
    to_step: Annotated[int | None, Query(description="only up to this step")] = None,
    max_points: Annotated[
        int | None, Query(ge=2, le=10_000, description="at most so many, evenly apart, instead of pages")
    ] = None,
    limit: Limit = 1000,
    following: Annotated[str | None, Query(alias="next", description="`next` of the page before")] = None,
) -> Response:
    """Return the values logged under one name in the order of time, in pages or sampled."""
    steps = (LEAST if from_step is None else from_step, GREATEST if to_step is None else to_step)
    with services.store.read() as connection:
        run = _visible(connection, actor, name)
        if key not in {metric.key for metric in run.latest_metrics}:
            hint = did_you_mean(key, [metric.key for metric in run.latest_metrics])
            raise NotFoundError(
                f'the run "{run.run_id}" has no metric "{key[:MAX_KEY]}"',
                hint=hint or f"See what it has with: penstock run show {run.run_id}",
                ref=f"run:{run.run_id}",
            )
        row = row_of(connection, run.run_id)
        if max_points is not None:
            sampled, total = spread_history(connection, row, key, steps=steps, limit=max_points)
            return wire.JsonResponse(
                {"items": [wire.point(as_metric(key, point)) for point in sampled], "total": total}
            )
        after = _read_place(wire.read_next(following))
        pages = read_history(connection, row, key, steps=steps, after=after, limit=limit + 1)
        found = [point for page in pages for point in page]
    return wire.page(found, limit, lambda point: wire.point(as_metric(key, point)), _place)


@router.patch(
    "/runs/{name}",
    **describe("Change a run", _RUN, takes=RunChange, fails=(400, 404, 409, 422), action=Action.RUN_LOG),
)
def change_run(services: Wired, actor: Caller, name: str, body: Body) -> Response:
    """Rename a run, set its tags, remove those whose value is null."""
    change = read_entity(RunChange, body)

    def operation(connection: Connection) -> dict[str, Any]:
        run = _writable(connection, actor, name)
        if run.lifecycle_stage is not LifecycleStage.ACTIVE:
            raise ConflictError(f'the run "{run.run_id}" is deleted', hint="Restore it first.", ref=_ref(run))
        _apply(connection, run, change)
        detail = {"run_name": change.run_name, "tags": sorted(change.tags)}
        detail = {key: value for key, value in detail.items() if value}
        if detail:
            record_event(connection, actor.name, "update", _ref(run), now=services.now(), detail=detail)
        return _show(connection, runs.get_run(connection, run.run_id))

    shown = services.store.write(operation)
    services.feed.notify(f"job:{shown['run_id']}")
    return wire.JsonResponse(shown)


@router.post("/runs/{name}:delete", **describe("Delete a run", _RUN, fails=(400, 404, 409), action=Action.RUN_DELETE))
def delete_run(services: Wired, actor: Caller, name: str) -> Response:
    """Hide a run from searches; it can be restored until a collection removes it. Idempotent."""
    return _set_stage(services, actor, name, LifecycleStage.DELETED)


@router.post("/runs/{name}:restore", **describe("Restore a run", _RUN, fails=(400, 404), action=Action.RUN_DELETE))
def restore_run(services: Wired, actor: Caller, name: str) -> Response:
    """Show a deleted run again. Idempotent."""
    return _set_stage(services, actor, name, LifecycleStage.ACTIVE)


def _set_stage(services: Services, actor: Actor, name: str, stage: LifecycleStage) -> Response:
    now = services.now()

    def operation(connection: Connection) -> dict[str, Any]:
        run = _writable(connection, actor, name)
        if run.lifecycle_stage is not stage:
            runs.set_run_lifecycle(connection, run.run_id, stage, now=now)
            verb = "delete" if stage is LifecycleStage.DELETED else "restore"
            record_event(connection, actor.name, verb, _ref(run), now=now)
        return _show(connection, runs.get_run(connection, run.run_id))

    return wire.JsonResponse(services.store.write(operation))


def _apply(connection: Connection, run: Run, change: RunChange) -> None:
    if change.tags.get(RUN_NAME_TAG, "") is None:
        raise SpecError([Problem("a run has a name always", f"/tags/{RUN_NAME_TAG}", hint="Give it another name.")])
    if change.run_name is not None:
        runs.update_run(connection, run.run_id, run_name=change.run_name)
        if jobs.find_job(connection, run.run_id) is not None:
            jobs.update_job(connection, run.run_id, display_name=change.run_name)
    for key, value in change.tags.items():
        if value is None:
            runs.delete_tag(connection, run.run_id, key)
        else:
            runs.set_tag(connection, run.run_id, key, value)


def _visible(connection: Connection, actor: Actor, name: str) -> Run:
    within = actor.experiment_id if actor.role in PEOPLE else None
    run = runs.get_run(connection, run_lookup.resolve_run(connection, name, experiment=within))
    actor.check_experiment(run.experiment_id)
    return run


def _writable(connection: Connection, actor: Actor, name: str) -> Run:
    """Return a run the caller may change: a job its own and those it created."""
    run = _visible(connection, actor, name)
    if actor.role is Role.JOB and run.run_id != actor.job_name:
        actor.check_creator(run.tags.get(CREATOR_TAG), run.run_id)
    return run


def _show(connection: Connection, run: Run) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "run_id": run.run_id,
        "run_name": run.run_name,
        "experiment_id": run.experiment_id,
        "experiment_name": experiments.get_experiment(connection, run.experiment_id).name,
        "status": run.status.value,
        "user_id": run.user_id,
        "start_time": run.start_time,
        "end_time": run.end_time,
        "duration": None if run.end_time is None else span(run.start_time, run.end_time),
        "lifecycle_stage": run.lifecycle_stage.value,
        "artifact_uri": run.artifact_uri,
        "is_job": jobs.find_job(connection, run.run_id) is not None,
        "metrics": {metric.key: metric.value for metric in run.latest_metrics},
        "params": run.params,
        "tags": run.tags,
    }
    used = datasets.inputs_of_runs(connection, [run.run_id])[run.run_id]
    inputs = [{"name": d.name, "digest": d.digest, "source": d.source, "tags": dict(d.tags)} for d in used.datasets]
    parts = {
        "dataset_inputs": inputs,
        "model_inputs": list(used.model_inputs),
        "model_outputs": [model_id for model_id, _ in used.model_outputs],
    }
    return show_run({**shown, **{key: value for key, value in parts.items() if value}})


def _place(point: Row) -> str:
    value, is_nan, timestamp, step, attempt = point
    return f"{timestamp} {step} {'nan' if is_nan else value} {attempt}"


def _read_place(text: str | None) -> Place | None:
    if text is None:
        return None
    try:
        timestamp, step, value, attempt = text.split(" ")
        number = float(value)
        is_nan = math.isnan(number)
        return Place(int(timestamp), int(step), 0.0 if is_nan else number, is_nan, int(attempt))
    except ValueError as error:
        raise wire.wrong_next() from error


def _ref(run: Run) -> str:
    return f"run:{run.run_id}"
