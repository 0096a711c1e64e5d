"""Runs: their record, parameters, tags and what is logged to them.

A job's run has the job's name as its id. Lifecycle rules of a protocol, such as refusing writes to deleted
runs or cutting long values, belong to its door, which asks and writes in one operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from penstock.entities.errors import ConflictError
from penstock.entities.run import LifecycleStage, Metric, Run, RunStatus
from penstock.entities.tags import RUN_NAME_TAG
from penstock.stores.metadata.engine.statements import HotStatement, insert_into
from penstock.stores.metadata.experiments import get_experiment, parse_id
from penstock.stores.metadata.metric_history import metric_history, metrics_since
from penstock.stores.metadata.metrics import latest_of_one
from penstock.stores.metadata.run_log import (
    RunRow,
    add_tags,
    delete_tag,
    log_batch,
    log_param,
    put_tag,
    row_of,
    set_tag,
    start_attempt,
    unknown_run,
)
from penstock.stores.metadata.tables import experiments, params, runs, tags

__all__ = [
    "create_run",
    "delete_tag",
    "find_run",
    "find_tag",
    "get_home",
    "get_run",
    "log_batch",
    "log_param",
    "metric_history",
    "metrics_since",
    "set_run_lifecycle",
    "set_tag",
    "start_attempt",
    "update_run",
]

_COLUMNS = (
    runs.c.id,
    runs.c.run_id,
    runs.c.experiment,
    runs.c.run_name,
    runs.c.user_id,
    runs.c.status,
    runs.c.lifecycle_stage,
    runs.c.start_time,
    runs.c.end_time,
    runs.c.artifact_uri,
)
_FIND_RUN = HotStatement(lambda _: select(*_COLUMNS).where(runs.c.run_id == bindparam("name")), "name")
_FIND_TAG = HotStatement(
    lambda _: (
        select(tags.c.value)
        .join(runs, runs.c.id == tags.c.run)
        .where(runs.c.run_id == bindparam("name"), tags.c.key == bindparam("tag"))
    ),
    "name",
    "tag",
)
_PARAMS = HotStatement(lambda _: select(params.c.key, params.c.value).where(params.c.run == bindparam("row")), "row")
_TAGS = HotStatement(lambda _: select(tags.c.key, tags.c.value).where(tags.c.run == bindparam("row")), "row")


class HomeRow(NamedTuple):
    """What a new run needs of its experiment."""

    id: int
    name: str
    artifact_location: str
    lifecycle_stage: str


_FIND_HOME = HotStatement(
    lambda _: select(*(experiments.c[name] for name in HomeRow._fields)).where(experiments.c.id == bindparam("row")),
    "row",
)
_ADD_RUN = HotStatement(
    lambda dialect: insert_into(dialect, runs).on_conflict_do_nothing(index_elements=["run_id"]).returning(runs.c.id),
    *("run_id", "experiment", "run_name", "user_id", "status", "lifecycle_stage", "start_time", "end_time"),
    *("artifact_uri", "attempt"),
)


def create_run(
    connection: Connection,
    *,
    run_id: str,
    experiment_id: str,
    run_name: str,
    user_id: str,
    status: RunStatus,
    start_time: int,
    tags: Mapping[str, str] | None = None,
) -> Run:
    """Create a run and return it; the tag ``mlflow.runName`` always equals its name.

    Raises
    ------
    NotFoundError
        If there is no such experiment.
    ConflictError
        If a run with that id exists, also a deleted one.
    """
    experiment = get_home(connection, experiment_id)
    uri = f"{experiment.artifact_location.rstrip('/')}/{run_id}/artifacts"
    active = LifecycleStage.ACTIVE.value
    values = (run_id, experiment.id, run_name, user_id, status.value, active, start_time, None, uri)
    made = _ADD_RUN.first(connection, (*values, 0))
    if made is None:
        raise ConflictError(f"a run {run_id} exists already", hint="Choose another name.", ref=f"job:{run_id}")
    first = {**(tags or {}), RUN_NAME_TAG: run_name}
    add_tags(connection, RunRow(int(made[0]), 0, experiment.id, start_time, active), first)
    return _run((*made, *values), run_tags=dict(sorted(first.items())))


def get_home(connection: Connection, experiment_id: str) -> HomeRow:
    """Return what a new run needs of its experiment, deleted or not.

    Raises
    ------
    NotFoundError
        If there is none with that id.
    """
    row = _FIND_HOME.first(connection, (parse_id(experiment_id),))
    if row is None:
        get_experiment(connection, experiment_id)  # which says so
    return HomeRow(*row)


def find_tag(connection: Connection, run_id: str, key: str) -> str | None:
    """Return the value of one tag of a run, None where the run has none of that name."""
    row = _FIND_TAG.first(connection, (run_id, key))
    return None if row is None else str(row[0])


def get_run(connection: Connection, run_id: str, *, details: bool = True) -> Run:
    """Return a run, deleted or not; without ``details`` its params, tags and metrics are left out.

    Raises
    ------
    NotFoundError
        If there is none with that id.
    """
    found = find_run(connection, run_id, details=details)
    if found is None:
        raise unknown_run(run_id)
    return found


def find_run(connection: Connection, run_id: str, *, details: bool = True) -> Run | None:
    """Return a run, deleted or not, or None."""
    row = _FIND_RUN.first(connection, (run_id,))
    if row is None:
        return None
    if not details:
        return _run(row)
    return _run(
        row,
        dict(_PARAMS.all(connection, row[:1])),
        dict(_TAGS.all(connection, row[:1])),
        latest_of_one(connection, row[0]),
    )


def update_run(
    connection: Connection,
    run_id: str,
    *,
    status: RunStatus | None = None,
    end_time: int | None = None,
    run_name: str | None = None,
) -> Run:
    """Change what is given and return the run; an empty name is ignored, an end time once set is never unset."""
    row = row_of(connection, run_id)
    changes: dict[str, Any] = {}
    if status is not None:
        changes["status"] = status.value
    if end_time is not None:
        changes["end_time"] = end_time
    if changes:
        connection.execute(update(runs).where(runs.c.id == row.id).values(**changes))
    if run_name:
        put_tag(connection, row, RUN_NAME_TAG, run_name)
    return get_run(connection, run_id)


def set_run_lifecycle(connection: Connection, run_id: str, stage: LifecycleStage, *, now: int) -> None:
    """Delete a run softly, or restore it; idempotent."""
    row = row_of(connection, run_id)
    deleted_at = now if stage is LifecycleStage.DELETED else None
    connection.execute(
        update(runs)
        .where(runs.c.id == row.id, runs.c.lifecycle_stage != stage.value)
        .values(lifecycle_stage=stage.value, deleted_at=deleted_at)
    )


def _run(
    row: Sequence[Any],
    run_params: dict[str, str] | None = None,
    run_tags: dict[str, str] | None = None,
    metrics: Iterable[Metric] = (),
) -> Run:
    _, run_id, experiment, run_name, user_id, status, stage, start_time, end_time, artifact_uri = row
    return Run(
        run_id=run_id,
        experiment_id=str(experiment),
        run_name=run_name,
        user_id=user_id,
        status=RunStatus(status),
        start_time=start_time,
        end_time=end_time,
        lifecycle_stage=LifecycleStage(stage),
        artifact_uri=artifact_uri,
        params=run_params or {},
        tags=run_tags or {},
        latest_metrics=tuple(metrics),
    )
