"""Runs: create, get, update, search."""

from __future__ import annotations

import os
import re

from msgspec import Raw
from sqlalchemy import Connection
from starlette.responses import Response

from penstock.access.actors import Role
from penstock.assets.sources import adopt_waiting
from penstock.entities.errors import ConflictError, UsageError
from penstock.entities.run import LifecycleStage, Run, RunStatus
from penstock.entities.tags import CREATOR_TAG, RUN_NAME_TAG, USER_TAG
from penstock.rules.names import new_display_name
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.limits import read_tags, required
from penstock.server.mlflow.run_pages import SEARCH, RunsAsked
from penstock.server.mlflow.shown_inputs import shown_inputs, shown_outputs
from penstock.server.mlflow.wire import (
    CreateRun,
    Json,
    OfRun,
    SearchRuns,
    UpdateRun,
    shown_info,
    shown_metric,
    shown_pairs,
)
from penstock.stores.metadata import runs as rows
from penstock.stores.metadata.datasets import RunInputs, inputs_of_runs

_NEW_RUN = re.compile(r"[0-9a-f]{32}")
_ENDED = frozenset({RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED})
_STATUSES = (RunStatus.RUNNING, RunStatus.SCHEDULED, RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED)


async def create_run(call: Call) -> Json:
    """Create a run; the server chooses its id and, where none is given, its name.

    A job's relay promises an id: asked again, after an answer that was lost, the run it made is the answer.
    """
    sent = await call.read(CreateRun)
    tags = read_tags(sent.tags)
    named = tags.get(RUN_NAME_TAG, "")
    if sent.run_name and named and sent.run_name != named:
        raise UsageError(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{sent.run_name}', mlflow.runName='{named}')."
        )
    experiment_id = sent.experiment_id
    required(experiment_id, "experiment_id")
    call.actor.check_experiment(experiment_id)
    if call.actor.role is Role.JOB:
        tags[CREATOR_TAG] = call.actor.name
    promised = call.promised_run()
    if promised and not _NEW_RUN.fullmatch(promised):
        raise UsageError("A run's id has 32 hex digits.")

    def operation(connection: Connection) -> tuple[Run, RunInputs]:
        made = _find_promised(call, connection, promised, experiment_id) if promised else None
        if made is not None:
            return made, inputs_of_runs(connection, [promised])[promised]
        experiment = rows.get_home(connection, experiment_id)
        if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
            raise UsageError(f"The experiment {experiment_id} must be in the 'active' state. It was deleted.")
        run = rows.create_run(
            connection,
            run_id=promised or call.services.new_id(),
            experiment_id=experiment_id,
            run_name=sent.run_name or named or new_display_name(os.urandom),
            user_id=sent.user_id or tags.get(USER_TAG) or call.actor.name,
            status=RunStatus.RUNNING,
            start_time=call.now if sent.start_time is None else sent.start_time,
            tags=tags,
        )
        call.record(connection, "create", f"run:{run.run_id}", experiment=experiment.name)
        return run, RunInputs()

    return {"run": shown_run(*await call.write(operation))}


def _find_promised(call: Call, connection: Connection, run_id: str, experiment_id: str) -> Run | None:
    """Return the run that this job created under an id it promised, None if it did not yet."""
    run = rows.find_run(connection, run_id)
    if run is not None and (run.tags.get(CREATOR_TAG), run.experiment_id) != (call.actor.name, experiment_id):
        raise ConflictError(f"The run {run_id} exists already.", ref=f"run:{run_id}")
    return run


async def get_run(call: Call) -> Json:
    """Return a run, deleted or not."""
    sent = await call.read(OfRun)

    def question(connection: Connection) -> tuple[Run, RunInputs]:
        call.check_run(connection, sent.run, is_write=False)
        return rows.get_run(connection, sent.run), inputs_of_runs(connection, [sent.run])[sent.run]

    return {"run": shown_run(*await call.ask(question))}


async def update_run(call: Call) -> Json:
    """Change a run's status, end or name; an empty name is ignored."""
    sent = await call.read(UpdateRun)
    status = None if sent.status is None else _read_status(sent.status)

    def operation(connection: Connection) -> Run:
        call.check_run(connection, sent.run)
        run = rows.update_run(
            connection, sent.run, status=status, end_time=sent.end_time or None, run_name=sent.run_name
        )
        if status in _ENDED:
            adopt_waiting(connection, run_id=sent.run, now=call.now)
        changed = {"status": status.value if status else "", "name": sent.run_name or ""}
        call.record_change(connection, "update", sent.run, **{key: value for key, value in changed.items() if value})
        return run

    run = await call.write(operation)
    call.changed(sent.run)
    return {"run_info": shown_info(run)}


async def search_runs(call: Call) -> Raw | Response:
    """Return a page of the runs of some experiments that a filter finds, in an order."""
    sent = await call.read(SearchRuns)
    return await call.answer(SEARCH, RunsAsked(sent, call.actor))


def shown_run(run: Run, inputs: RunInputs) -> Json:
    """Return a whole run with what it used and made."""
    data: Json = {}
    if run.latest_metrics:
        data["metrics"] = [shown_metric(metric) for metric in run.latest_metrics]
    if run.params:
        data["params"] = shown_pairs(run.params)
    if run.tags:
        data["tags"] = shown_pairs(run.tags)
    return {"info": shown_info(run), "data": data, "inputs": shown_inputs(inputs), "outputs": shown_outputs(inputs)}


def _read_status(status: str | int) -> RunStatus | None:
    """Return a status; a word that is none changes nothing, as for MLflow, and a number that is none is refused."""
    text = str(status)
    if text.isdecimal():
        if text in {"1", "2", "3", "4", "5"}:
            return _STATUSES[int(text) - 1]
        known = ", ".join(one.value for one in _STATUSES)
        raise UsageError(f"Invalid value {text[:60]!r} for parameter 'status': it is one of {known}.")
    return next((status for status in RunStatus if status.value == text), None)
