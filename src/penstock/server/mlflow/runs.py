"""Runs: create, get, update, search."""

from __future__ import annotations

import os

from sqlalchemy import Connection

from penstock.access.actors import Role
from penstock.entities.errors import UsageError
from penstock.entities.run import LifecycleStage, Run, RunStatus
from penstock.rules.names import new_display_name
from penstock.server.mlflow.call import CREATOR_TAG, Call
from penstock.server.mlflow.errors import NotHereYetError
from penstock.server.mlflow.inputs import shown_inputs, shown_outputs
from penstock.server.mlflow.limits import check_page, read_tags, read_view
from penstock.server.mlflow.paging import make_token, read_token
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

RUN_NAME_TAG = "mlflow.runName"
USER_TAG = "mlflow.user"
_STATUSES = (RunStatus.RUNNING, RunStatus.SCHEDULED, RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED)
_NEWEST_FIRST = {"start_time desc", "attributes.start_time desc", "attribute.start_time desc", "run_id asc"}


async def create_run(call: Call) -> Json:
    """Create a run; the server chooses its id and, where none is given, its name."""
    sent = await call.read(CreateRun)
    tags = read_tags(sent.tags)
    named = tags.get(RUN_NAME_TAG, "")
    if sent.run_name and named and sent.run_name != named:
        raise UsageError(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{sent.run_name}', mlflow.runName='{named}')."
        )
    experiment_id = sent.experiment_id or "0"
    call.actor.check_experiment(experiment_id)
    if call.actor.role is Role.JOB:
        tags[CREATOR_TAG] = call.actor.name

    def operation(connection: Connection) -> Run:
        experiment = rows.get_home(connection, experiment_id)
        if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
            raise UsageError(f"The experiment {experiment_id} must be in the 'active' state. It was deleted.")
        run = rows.create_run(
            connection,
            run_id=call.services.new_id(),
            experiment_id=experiment_id,
            run_name=sent.run_name or named or new_display_name(os.urandom),
            user_id=sent.user_id or tags.get(USER_TAG) or call.actor.name,
            status=RunStatus.RUNNING,
            start_time=call.now if sent.start_time is None else sent.start_time,
            tags=tags,
        )
        call.record(connection, "create", f"run:{run.run_id}", experiment=experiment.name)
        return run

    return {"run": shown_run(await call.write(operation), RunInputs())}


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
        changed = {"status": status.value if status else "", "name": sent.run_name or ""}
        call.record_change(connection, "update", sent.run, **{key: value for key, value in changed.items() if value})
        return run

    run = await call.write(operation)
    call.changed(sent.run)
    return {"run_info": shown_info(run)}


async def search_runs(call: Call) -> Json:
    """List runs of some experiments, newest first."""
    sent = await call.read(SearchRuns)
    limit, offset, view = check_page(sent.max_results), read_token(sent.page_token), read_view(sent.run_view_type)
    if sent.filter.strip():
        raise NotHereYetError(
            "This server does not filter runs yet.", hint="Leave the filter out and filter the result."
        )
    wrong = [clause for clause in sent.order_by if " ".join(clause.lower().split()) not in _NEWEST_FIRST]
    if wrong:
        raise NotHereYetError(f"This server does not order runs by {wrong[0]!r} yet, only 'start_time DESC'.")
    wanted = sent.experiment_ids
    if not call.actor.sees_all:
        wanted = [experiment_id for experiment_id in wanted if experiment_id == call.actor.experiment_id]

    def question(connection: Connection) -> tuple[list[Run], dict[str, RunInputs]]:
        page = rows.search_runs(connection, wanted, limit=limit + 1, offset=offset, view=view)
        return page, inputs_of_runs(connection, [run.run_id for run in page])

    found, inputs = await call.ask(question)
    answer: Json = {"runs": [shown_run(run, inputs[run.run_id]) for run in found[:limit]]} if found else {}
    if len(found) > limit:
        answer["next_page_token"] = make_token(offset + limit)
    return answer


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


def _read_status(status: str | int) -> RunStatus:
    if str(status) in {"1", "2", "3", "4", "5"}:
        return _STATUSES[int(status) - 1]
    try:
        return RunStatus(str(status))
    except ValueError as error:
        known = ", ".join(one.value for one in _STATUSES)
        raise UsageError(f"Invalid value {status!r} for parameter 'status': it is one of {known}.") from error
