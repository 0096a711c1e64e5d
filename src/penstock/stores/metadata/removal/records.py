"""Remove deleted records for good, a bounded number of rows at a time.

A record disappears in one operation: its own names are taken from it and it is parked under an experiment that no
view shows, so its id and name are free at once and nobody can restore half of it. What lies below it follows in
further operations, and whoever is killed between two of them goes on where :func:`list_parked` says.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Table, and_, case, delete, func, insert, or_, select, tuple_, update

from penstock.entities.job import JobStatus
from penstock.entities.run import LifecycleStage
from penstock.rules.collection import Deleted, Kind
from penstock.rules.lifecycle import TERMINAL
from penstock.stores.metadata.tables import (
    asset_version_tags,
    asset_versions,
    attempts,
    datasets,
    experiment_tags,
    experiments,
    jobs,
    latest,
    logged_model_metrics,
    logged_model_params,
    logged_model_tags,
    logged_models,
    model_artifacts,
    params,
    points,
    run_artifacts,
    run_datasets,
    run_models,
    runs,
    tags,
    tokens,
)

PARKED = -1
"""The row of the experiment that holds what is being removed; it is there only while something is."""

_WORD = re.compile(r"[A-Za-z0-9_-]+")
_IN_USE = 2**62
_DELETED = LifecycleStage.DELETED.value
_UNFINISHED = [status.value for status in JobStatus if status not in TERMINAL]
_SMALL_BELOW_RUN = (latest, params, tags, run_datasets, run_models)
_LARGE_BELOW_RUN = (points, run_artifacts, logged_model_metrics)
_SMALL_BELOW_MODEL = (logged_model_params, logged_model_tags)
_LARGE_BELOW_MODEL = (logged_model_metrics, model_artifacts)


def list_deleted(connection: Connection, *, experiment: int | None = None, run: int | None = None) -> list[Deleted]:
    """Return every deleted record, or those of one experiment, or one run; runs first, experiments last."""
    found = _deleted_runs(connection, experiment, run)
    if run is None:
        found += _deleted_models(connection, experiment)
        if experiment is None:
            found += _deleted_versions(connection)
        found += _deleted_experiments(connection, experiment)
    return found


def remove(connection: Connection, record: Deleted, *, most: int) -> bool | None:
    """Remove a deleted record; return whether all of it is gone, None where it is not deleted any more.

    Parameters
    ----------
    most : int
        About so many rows at most; where there are more, :func:`remove_parked` goes on.
    """
    return _REMOVE[record.kind](connection, record, most)


def has_park(connection: Connection) -> bool:
    """Return whether the experiment is there that holds what is being removed."""
    return connection.execute(select(experiments.c.id).where(experiments.c.id == PARKED)).first() is not None


def list_parked(connection: Connection) -> list[tuple[Kind, int]]:
    """Return what an earlier removal left unfinished: (kind, row)."""
    found = []
    for kind, table in ((Kind.RUN, runs), (Kind.LOGGED_MODEL, logged_models)):
        rows = connection.execute(select(table.c.id).where(table.c.experiment == PARKED))
        found += [(kind, int(row)) for row in rows.scalars()]
    return found


def remove_parked(connection: Connection, kind: Kind, row: int, *, most: int) -> bool:
    """Remove about ``most`` more rows of a parked record; return whether all of it is gone."""
    table, below, column = (
        (runs, _LARGE_BELOW_RUN, "run") if kind is Kind.RUN else (logged_models, _LARGE_BELOW_MODEL, "model")
    )
    if not _empty(connection, below, column, row, most):
        return False
    connection.execute(delete(table).where(table.c.id == row))
    return True


def close_park(connection: Connection) -> None:
    """Remove the experiment that held what was being removed, once it is empty."""
    if not list_parked(connection):
        connection.execute(delete(experiments).where(experiments.c.id == PARKED))


def _remove_run(connection: Connection, record: Deleted, most: int) -> bool | None:
    row = connection.execute(
        select(runs.c.run_id).where(runs.c.id == record.row, runs.c.lifecycle_stage == _DELETED)
    ).scalar_one_or_none()
    if row is None:
        return None
    busy = select(jobs.c.id).where(jobs.c.name == row, jobs.c.status.in_(_UNFINISHED))
    if connection.execute(busy).first() is not None:
        return None
    _remove_job(connection, row)
    named = select(run_datasets.c.dataset).where(run_datasets.c.run == record.row)
    dataset_rows = list(connection.execute(named).scalars())
    for table in _SMALL_BELOW_RUN:
        connection.execute(delete(table).where(table.c.run == record.row))
    _remove_unused_datasets(connection, dataset_rows)
    if _empty(connection, _LARGE_BELOW_RUN, "run", record.row, most):
        connection.execute(delete(runs).where(runs.c.id == record.row))
        return True
    _park(connection, runs, record.row, run_id=f"~removed-{record.row}")
    return False


def _remove_job(connection: Connection, name: str) -> None:
    of_job = select(attempts.c.attempt_id).where(attempts.c.job_name == name)
    connection.execute(delete(tokens).where(tokens.c.attempt_id.in_(of_job)))
    connection.execute(delete(attempts).where(attempts.c.job_name == name))
    connection.execute(delete(jobs).where(jobs.c.name == name))


def _remove_unused_datasets(connection: Connection, rows: Sequence[int]) -> None:
    for row in rows:
        if connection.execute(select(run_datasets.c.run).where(run_datasets.c.dataset == row)).first() is None:
            connection.execute(delete(datasets).where(datasets.c.id == row))


def _remove_model(connection: Connection, record: Deleted, most: int) -> bool | None:
    is_deleted = or_(logged_models.c.lifecycle_stage == _DELETED, experiments.c.lifecycle_stage == _DELETED)
    source = logged_models.join(experiments, experiments.c.id == logged_models.c.experiment)
    statement = select(logged_models.c.model_id).select_from(source).where(logged_models.c.id == record.row, is_deleted)
    model_id = connection.execute(statement).scalar_one_or_none()
    if model_id is None:
        return None
    for table in _SMALL_BELOW_MODEL:
        connection.execute(delete(table).where(table.c.model == record.row))
    connection.execute(delete(run_models).where(run_models.c.model_id == model_id))
    if _empty(connection, _LARGE_BELOW_MODEL, "model", record.row, most):
        connection.execute(delete(logged_models).where(logged_models.c.id == record.row))
        return True
    _park(connection, logged_models, record.row, model_id=f"~removed-{record.row}")
    return False


def _remove_version(connection: Connection, record: Deleted, most: int) -> bool | None:
    wanted = and_(asset_versions.c.id == record.row, asset_versions.c.is_deleted)
    if connection.execute(select(asset_versions.c.id).where(wanted)).first() is None:
        return None
    connection.execute(delete(asset_version_tags).where(asset_version_tags.c.version == record.row))
    connection.execute(delete(asset_versions).where(wanted))
    return True


def _remove_experiment(connection: Connection, record: Deleted, most: int) -> bool | None:
    wanted = and_(experiments.c.id == record.row, experiments.c.lifecycle_stage == _DELETED)
    if connection.execute(select(experiments.c.id).where(wanted)).first() is None:
        return None
    for table in (runs, logged_models):
        if connection.execute(select(table.c.id).where(table.c.experiment == record.row).limit(1)).first():
            return None
    connection.execute(delete(experiment_tags).where(experiment_tags.c.experiment == record.row))
    connection.execute(delete(datasets).where(datasets.c.experiment == record.row))
    connection.execute(delete(experiments).where(wanted))
    return True


_REMOVE: dict[Kind, Callable[[Connection, Deleted, int], bool | None]] = {
    Kind.RUN: _remove_run,
    Kind.LOGGED_MODEL: _remove_model,
    Kind.VERSION: _remove_version,
    Kind.EXPERIMENT: _remove_experiment,
}


def _empty(connection: Connection, tables: Sequence[Table], column: str, row: int, most: int) -> bool:
    """Delete at most ``most`` rows below a record from ``tables``; return whether none is left."""
    left = most
    for table in tables:
        keys = list(table.primary_key)
        some = select(*keys).where(table.c[column] == row).limit(left + 1)
        found = delete(table).where(tuple_(*keys).in_(some))
        left -= connection.execute(found).rowcount
        if left < 0:
            return False
    return True


def _park(connection: Connection, table: Table, row: int, **renamed: str) -> None:
    if not has_park(connection):
        # Names are given by anybody who may create an experiment; this one nobody can guess and take.
        name = f"~removed-{secrets.token_hex(16)}"
        values = {"name": name, "artifact_location": "", "lifecycle_stage": _DELETED}
        connection.execute(insert(experiments).values(id=PARKED, created_at=0, updated_at=0, **values))
    connection.execute(update(table).where(table.c.id == row).values(experiment=PARKED, **renamed))


def _deleted_runs(connection: Connection, experiment: int | None, run: int | None) -> list[Deleted]:
    is_busy = case((jobs.c.status.in_(_UNFINISHED), 1), else_=0)
    deleted_at = func.coalesce(runs.c.deleted_at, 0)
    statement = (
        select(runs.c.id, runs.c.run_id, runs.c.run_name, deleted_at, runs.c.experiment, is_busy)
        .select_from(runs.outerjoin(jobs, jobs.c.name == runs.c.run_id))
        .where(runs.c.lifecycle_stage == _DELETED, runs.c.experiment != PARKED)
        .order_by(runs.c.id)
    )
    if experiment is not None:
        statement = statement.where(runs.c.experiment == experiment)
    if run is not None:
        statement = statement.where(runs.c.id == run)
    used = _used_words(connection)
    return [
        Deleted(
            Kind.RUN,
            row,
            run_id,
            at,
            of,
            is_busy=bool(busy) or used.get(run_id) == _IN_USE,
            title=name,
            used_until=used.get(run_id, 0),
        )
        for row, run_id, name, at, of, busy in connection.execute(statement)
    ]


def _used_words(connection: Connection) -> dict[str, int]:
    """Return every word of what needs files of runs and logged models, among them the ids of those, and until when.

    Specs of jobs that have not ended, and sources of registered versions that have no files of their own yet. Until
    when is the deletion of a version that may be restored, :data:`_IN_USE` for all else.
    """
    specs = connection.execute(select(jobs.c.spec).where(jobs.c.status.in_(_UNFINISHED))).scalars()
    table = asset_versions
    until = case((table.c.is_deleted, func.coalesce(table.c.updated_at, 0)), else_=_IN_USE)
    sources = connection.execute(select(table.c.source, until).where(table.c.tree.is_(None)))
    found: dict[str, int] = {}
    for text, when in (*((spec, _IN_USE) for spec in specs), *sources):
        for word in _WORD.findall(text):
            found[word] = max(when, found.get(word, 0))
    return found


def _deleted_models(connection: Connection, experiment: int | None) -> list[Deleted]:
    """Return deleted logged models and those of deleted experiments, which MLflow's client does not delete itself."""
    table = logged_models
    with_experiment = experiments.c.lifecycle_stage == _DELETED
    own = table.c.lifecycle_stage == _DELETED
    when = case((own, func.coalesce(table.c.deleted_at, table.c.updated_at)), else_=experiments.c.updated_at)
    statement = (
        select(table.c.id, table.c.model_id, when, table.c.experiment, table.c.lifecycle_stage)
        .join(experiments, experiments.c.id == table.c.experiment)
        .where(or_(own, with_experiment), table.c.experiment != PARKED)
        .order_by(table.c.id)
    )
    if experiment is not None:
        statement = statement.where(table.c.experiment == experiment)
    used = _used_words(connection)
    rows = connection.execute(statement)
    return [
        Deleted(
            Kind.LOGGED_MODEL,
            row,
            model_id,
            deleted_at,
            of,
            is_busy=used.get(model_id) == _IN_USE,
            follows=stage != _DELETED,
            used_until=used.get(model_id, 0),
        )
        for row, model_id, deleted_at, of, stage in rows
    ]


def _deleted_versions(connection: Connection) -> list[Deleted]:
    table = asset_versions
    statement = select(table.c.id, table.c.kind, table.c.name, table.c.version, table.c.updated_at, table.c.created_at)
    rows = connection.execute(statement.where(table.c.is_deleted).order_by(table.c.id))
    return [Deleted(Kind.VERSION, r.id, f"{r.kind}:{r.name}:{r.version}", r.updated_at or r.created_at) for r in rows]


def _deleted_experiments(connection: Connection, experiment: int | None) -> list[Deleted]:
    active = and_(runs.c.experiment == experiments.c.id, runs.c.lifecycle_stage != _DELETED)
    lives = select(func.count()).select_from(runs).where(active).scalar_subquery()
    statement = (
        select(experiments.c.id, experiments.c.name, experiments.c.updated_at, lives)
        .where(experiments.c.lifecycle_stage == _DELETED, experiments.c.id != PARKED)
        .order_by(experiments.c.id)
    )
    if experiment is not None:
        statement = statement.where(experiments.c.id == experiment)
    rows = connection.execute(statement)
    return [Deleted(Kind.EXPERIMENT, row[0], row[1], row[2], lives=int(row[3])) for row in rows]
