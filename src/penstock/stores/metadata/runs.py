"""Runs: their record, parameters, tags and what is logged to them.

A job's run has the job's name as its id. Lifecycle rules of a protocol, such as refusing writes to deleted
runs or cutting long values, belong to its door, which asks and writes in one operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from penstock.entities.errors import ConflictError, NotFoundError, UsageError
from penstock.entities.run import LifecycleStage, Metric, Run, RunStatus
from penstock.stores.metadata.experiments import get_experiment, parse_id, stages_of
from penstock.stores.metadata.metrics import (
    add_points,
    begin_attempt,
    latest_of,
    list_metric_keys,
    metric_history,
    metrics_since,
)
from penstock.stores.metadata.statements import HotStatement, insert_into
from penstock.stores.metadata.tables import params, runs, tags

__all__ = [
    "create_run",
    "delete_tag",
    "find_run",
    "get_run",
    "list_metric_keys",
    "log_batch",
    "log_param",
    "metric_history",
    "metrics_since",
    "search_runs",
    "set_run_lifecycle",
    "set_tag",
    "start_attempt",
    "update_run",
]

RUN_NAME_TAG = "mlflow.runName"
_CHUNK = 1000


def _upsert_tag(dialect: str) -> Any:
    statement = insert_into(dialect, tags)
    return statement.on_conflict_do_update(index_elements=["run", "key"], set_={"value": statement.excluded.value})


_FIND_ROW = HotStatement(lambda _: select(runs.c.id, runs.c.attempt).where(runs.c.run_id == bindparam("name")), "name")
_ADD_PARAM = HotStatement(lambda dialect: insert_into(dialect, params).on_conflict_do_nothing(), "run", "key", "value")
_PUT_TAG = HotStatement(_upsert_tag, "run", "key", "value")
_FIND_PARAM = HotStatement(
    lambda _: select(params.c.value).where(params.c.run == bindparam("row"), params.c.key == bindparam("name")),
    "row",
    "name",
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
    experiment = get_experiment(connection, experiment_id)
    if _FIND_ROW.first(connection, (run_id,)) is not None:
        raise ConflictError(f"A run {run_id} exists already.", hint="Choose another name.", ref=f"job:{run_id}")
    root = experiment.artifact_location.rstrip("/")
    connection.execute(
        insert(runs).values(
            run_id=run_id,
            experiment=parse_id(experiment_id),
            run_name=run_name,
            user_id=user_id,
            status=status.value,
            lifecycle_stage=LifecycleStage.ACTIVE.value,
            start_time=start_time,
            artifact_uri=f"{root}/{run_id}/artifacts",
            attempt=0,
        )
    )
    row, _ = _row(connection, run_id)
    for key, value in {**(tags or {}), RUN_NAME_TAG: run_name}.items():
        _put_tag(connection, row, key, value)
    return get_run(connection, run_id)


def get_run(connection: Connection, run_id: str, *, details: bool = True) -> Run:
    """Return a run, deleted or not; without ``details`` its params, tags and metrics are left out.

    Raises
    ------
    NotFoundError
        If there is none with that id.
    """
    found = find_run(connection, run_id, details=details)
    if found is None:
        raise _unknown(run_id)
    return found


def find_run(connection: Connection, run_id: str, *, details: bool = True) -> Run | None:
    """Return a run, deleted or not, or None."""
    row = connection.execute(select(runs).where(runs.c.run_id == run_id)).one_or_none()
    return None if row is None else _runs(connection, [row], details=details)[0]


def search_runs(
    connection: Connection,
    experiment_ids: Sequence[str],
    *,
    limit: int,
    offset: int = 0,
    view: str = "ACTIVE_ONLY",
    details: bool = True,
) -> list[Run]:
    """Return the runs of some experiments, newest first, then by id.

    Parameters
    ----------
    view : {"ACTIVE_ONLY", "DELETED_ONLY", "ALL"}
        Which lifecycle stages to show.
    """
    statement = (
        select(runs)
        .where(runs.c.experiment.in_([parse_id(experiment_id) for experiment_id in experiment_ids]))
        .order_by(runs.c.start_time.desc(), runs.c.run_id)
        .limit(limit)
        .offset(offset)
    )
    stage = stages_of(view)
    if stage is not None:
        statement = statement.where(runs.c.lifecycle_stage == stage)
    return _runs(connection, connection.execute(statement).all(), details=details)


def update_run(
    connection: Connection,
    run_id: str,
    *,
    status: RunStatus | None = None,
    end_time: int | None = None,
    run_name: str | None = None,
) -> Run:
    """Change what is given and return the run; an empty name is ignored, an end time once set is never unset."""
    row, _ = _row(connection, run_id)
    changes: dict[str, Any] = {}
    if status is not None:
        changes["status"] = status.value
    if end_time is not None:
        changes["end_time"] = end_time
    if changes:
        connection.execute(update(runs).where(runs.c.id == row).values(**changes))
    if run_name:
        _put_tag(connection, row, RUN_NAME_TAG, run_name)
    return get_run(connection, run_id)


def set_run_lifecycle(connection: Connection, run_id: str, stage: LifecycleStage, *, now: int) -> None:
    """Delete a run softly, or restore it; idempotent."""
    row, _ = _row(connection, run_id)
    deleted_at = now if stage is LifecycleStage.DELETED else None
    connection.execute(
        update(runs)
        .where(runs.c.id == row, runs.c.lifecycle_stage != stage.value)
        .values(lifecycle_stage=stage.value, deleted_at=deleted_at)
    )


def log_batch(
    connection: Connection,
    run_id: str,
    *,
    metrics: Iterable[Metric] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    now: int,
    attempt: int = 0,
) -> None:
    """Log to a run; all of it is stored, or nothing.

    Parameters
    ----------
    now : int
        The time, ms UTC.
    attempt : int
        The number of the attempt that logged, 0 where it was none; a number beyond the run's latest one
        makes it the latest.

    Raises
    ------
    NotFoundError
        If there is no such run.
    UsageError
        If a parameter exists with another value.
    """
    row, current = _row(connection, run_id)
    if attempt > current:
        begin_attempt(connection, row, attempt)
        current = attempt
    if metrics:
        add_points(connection, row, metrics, attempt=attempt, current_attempt=current)
    for key, value in (params or {}).items():
        _add_param(connection, row, run_id, key, value)
    for key, value in (tags or {}).items():
        _put_tag(connection, row, key, value)


def log_param(connection: Connection, run_id: str, key: str, value: str) -> None:
    """Set a parameter once.

    Raises
    ------
    UsageError
        If it has another value already.
    """
    row, _ = _row(connection, run_id)
    _add_param(connection, row, run_id, key, value)


def set_tag(connection: Connection, run_id: str, key: str, value: str) -> None:
    """Set a tag; ``mlflow.runName`` renames the run."""
    row, _ = _row(connection, run_id)
    _put_tag(connection, row, key, value)


def delete_tag(connection: Connection, run_id: str, key: str) -> None:
    """Delete a tag; without ``mlflow.runName`` the run keeps its name.

    Raises
    ------
    NotFoundError
        If there is no such run or tag.
    """
    row, _ = _row(connection, run_id)
    if connection.execute(delete(tags).where(tags.c.run == row, tags.c.key == key)).rowcount == 0:
        raise NotFoundError(f'Run {run_id} has no tag "{key}".', ref=f"job:{run_id}")


def start_attempt(connection: Connection, run_id: str, number: int) -> None:
    """Make an attempt the run's latest before it logs anything; the metrics of earlier ones stop to count."""
    row, current = _row(connection, run_id)
    if number > current:
        begin_attempt(connection, row, number)


def _row(connection: Connection, run_id: str) -> tuple[int, int]:
    found = _FIND_ROW.first(connection, (run_id,))
    if found is None:
        raise _unknown(run_id)
    return found[0], found[1]


def _unknown(run_id: str) -> NotFoundError:
    return NotFoundError(f"No run with the id {run_id!r}.", ref=f"job:{run_id}")


def _add_param(connection: Connection, row: int, run_id: str, key: str, value: str) -> None:
    known = _FIND_PARAM.first(connection, (row, key))
    if known is None:
        _ADD_PARAM.run(connection, (row, key, value))
    elif known[0] != value:
        raise UsageError(
            f'The parameter "{key}" of run {run_id} is {known[0][:200]!r} and cannot become {value[:200]!r}.',
            hint="Parameters are set once; use a tag or a metric for what changes.",
            ref=f"job:{run_id}",
        )


def _put_tag(connection: Connection, row: int, key: str, value: str) -> None:
    _PUT_TAG.run(connection, (row, key, value))
    if key == RUN_NAME_TAG:
        connection.execute(update(runs).where(runs.c.id == row).values(run_name=value))


def _pairs(connection: Connection, table: Any, rows: list[int]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {row: {} for row in rows}
    for run, key, value in connection.execute(select(table).where(table.c.run.in_(rows))):
        found[run][key] = value
    return found


def _runs(connection: Connection, rows: Sequence[Row[Any]], *, details: bool) -> list[Run]:
    found = []
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        ids = [row.id for row in chunk] if details else []
        pairs = [_pairs(connection, table, ids) if ids else {} for table in (params, tags)]
        metrics = latest_of(connection, ids) if ids else {}
        found += [
            Run(
                run_id=row.run_id,
                experiment_id=str(row.experiment),
                run_name=row.run_name,
                user_id=row.user_id,
                status=RunStatus(row.status),
                start_time=row.start_time,
                end_time=row.end_time,
                lifecycle_stage=LifecycleStage(row.lifecycle_stage),
                artifact_uri=row.artifact_uri,
                params=pairs[0].get(row.id, {}),
                tags=pairs[1].get(row.id, {}),
                latest_metrics=tuple(metrics.get(row.id, ())),
            )
            for row in chunk
        ]
    return found
