"""Logged models: the record of a model beside the runs that made and used it; their files are artifacts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from penstock.entities.errors import NotFoundError, UsageError
from penstock.entities.logged_model import LoggedModel, ModelMetric, ModelStatus
from penstock.entities.run import LifecycleStage
from penstock.stores.metadata.engine.statements import HotStatement, insert_into, put_row
from penstock.stores.metadata.experiments import get_experiment, parse_id
from penstock.stores.metadata.run_log import row_of
from penstock.stores.metadata.tables import (
    logged_model_metrics,
    logged_model_params,
    logged_model_tags,
    logged_models,
    metric_keys,
    runs,
)

_AT_ONCE = 500
_NAN = float("nan")
_METRIC = ("model", "key", "timestamp", "step", "run", "value", "is_nan", "dataset_name", "dataset_digest")
_ADD_METRIC = HotStatement(
    lambda dialect: insert_into(dialect, logged_model_metrics).on_conflict_do_nothing(), *_METRIC
)
_FIND_MODEL = HotStatement(
    lambda _: select(logged_models.c.id).where(logged_models.c.model_id == bindparam("name")), "name"
)
_FIND_KEY = HotStatement(lambda _: select(metric_keys.c.id).where(metric_keys.c.key == bindparam("name")), "name")


@dataclass(frozen=True, slots=True)
class ModelPoint:
    """A value a run logs that says of which logged model it is."""

    model_id: str
    key: str
    value: float
    timestamp: int
    step: int
    dataset_name: str | None = None
    dataset_digest: str | None = None


def create_model(
    connection: Connection,
    *,
    model_id: str,
    experiment_id: str,
    name: str,
    now: int,
    model_type: str = "",
    source_run_id: str | None = None,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> LoggedModel:
    """Create a pending logged model and return it.

    Raises
    ------
    NotFoundError
        If there is no such experiment.
    UsageError
        If the experiment was deleted.
    """
    experiment = get_experiment(connection, experiment_id)
    if experiment.lifecycle_stage is not LifecycleStage.ACTIVE:
        raise UsageError(f"The experiment {experiment_id} must be in the 'active' state. It was deleted.")
    root = experiment.artifact_location.rstrip("/")
    row = connection.execute(
        insert(logged_models)
        .values(
            model_id=model_id,
            experiment=parse_id(experiment_id),
            name=name,
            artifact_location=f"{root}/models/{model_id}/artifacts",
            model_type=model_type,
            source_run_id=source_run_id,
            status=ModelStatus.PENDING.value,
            status_message="",
            lifecycle_stage=LifecycleStage.ACTIVE.value,
            created_at=now,
            updated_at=now,
        )
        .returning(logged_models.c.id)
    ).scalar_one()
    for table, pairs in ((logged_model_params, params or {}), (logged_model_tags, tags or {})):
        for key, value in pairs.items():
            put_row(connection, table, model=row, key=key, value=value)
    return get_model(connection, model_id)


def find_model(connection: Connection, model_id: str, *, with_deleted: bool = True) -> LoggedModel | None:
    """Return a logged model without its params, tags and metrics, or None."""
    statement = select(logged_models).where(logged_models.c.model_id == model_id)
    row = connection.execute(statement).one_or_none()
    if row is None or (row.lifecycle_stage != LifecycleStage.ACTIVE.value and not with_deleted):
        return None
    return _model(row)


def get_model(connection: Connection, model_id: str, *, with_deleted: bool = True) -> LoggedModel:
    """Return a logged model.

    Raises
    ------
    NotFoundError
        If there is none, or it was deleted and those are not asked for.
    """
    found = find_model(connection, model_id, with_deleted=with_deleted)
    if found is None:
        raise unknown_model(model_id)
    return read_models(connection, [found.row])[0]


def unknown_model(model_id: str) -> NotFoundError:
    """Return the error for a logged model that does not exist."""
    return NotFoundError(f"Logged model with ID '{model_id}' not found", ref=f"logged-model:{model_id}")


def read_models(connection: Connection, rows: Sequence[int]) -> list[LoggedModel]:
    """Return the logged models with these integer rows, in that order, with all that belongs to them."""
    found: list[LoggedModel] = []
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        params, tags = (_pairs(connection, table, part) for table in (logged_model_params, logged_model_tags))
        metrics = _metrics(connection, part)
        known = {row.id: row for row in connection.execute(select(logged_models).where(logged_models.c.id.in_(part)))}
        found += [_model(known[row], params[row], tags[row], metrics[row]) for row in part if row in known]
    return found


def finish_model(connection: Connection, model_id: str, status: ModelStatus, *, now: int) -> LoggedModel:
    """Set how far a logged model is and return it."""
    row = get_model(connection, model_id).row
    connection.execute(
        update(logged_models).where(logged_models.c.id == row).values(status=status.value, updated_at=now)
    )
    return get_model(connection, model_id)


def delete_model(connection: Connection, model_id: str, *, now: int) -> None:
    """Delete a logged model softly; twice is fine."""
    row = get_model(connection, model_id).row
    connection.execute(
        update(logged_models)
        .where(logged_models.c.id == row)
        .values(lifecycle_stage=LifecycleStage.DELETED.value, deleted_at=now, updated_at=now)
    )


def add_params(connection: Connection, model_id: str, params: Mapping[str, str]) -> None:
    """Add parameters; one that is there keeps its value.

    Raises
    ------
    UsageError
        If one is there with another value.
    """
    model = get_model(connection, model_id)
    for key, value in params.items():
        if model.params.get(key, value) != value:
            raise UsageError(
                f"Changing param values is not allowed. Param with key='{key}' was already logged with "
                f"value='{model.params[key]}' for the logged model {model_id}. Attempted: '{value}'."
            )
        put_row(connection, logged_model_params, model=model.row, key=key, value=value)


def set_tags(connection: Connection, model_id: str, tags: Mapping[str, str]) -> None:
    """Set tags."""
    row = get_model(connection, model_id).row
    for key, value in tags.items():
        put_row(connection, logged_model_tags, model=row, key=key, value=value)


def delete_tag(connection: Connection, model_id: str, key: str) -> None:
    """Delete a tag.

    Raises
    ------
    NotFoundError
        If the model has no such tag.
    """
    row = get_model(connection, model_id).row
    table = logged_model_tags
    if not connection.execute(delete(table).where(table.c.model == row, table.c.key == key)).rowcount:
        raise NotFoundError(f"No tag with key '{key}' found for model with ID '{model_id}'.")


def add_model_metrics(connection: Connection, run_id: str, points: Iterable[ModelPoint]) -> None:
    """Store values that a run measured on logged models, beside those of the run itself; equal ones once.

    Raises
    ------
    NotFoundError
        If there is no such run, or a model is unknown.
    """
    run = row_of(connection, run_id).id
    models: dict[str, int] = {}
    keys: dict[str, int] = {}
    rows = []
    for point in points:
        if point.model_id not in models:
            found = _FIND_MODEL.first(connection, (point.model_id,))
            if found is None:
                raise NotFoundError(f"Logged model with ID '{point.model_id}' not found")
            models[point.model_id] = int(found[0])
        if point.key not in keys:
            keys[point.key] = _key(connection, point.key)
        is_nan = math.isnan(point.value)
        value = 0.0 if is_nan else point.value
        place = (models[point.model_id], keys[point.key], point.timestamp, point.step, run)
        rows.append((*place, value, is_nan, point.dataset_name, point.dataset_digest))
    _ADD_METRIC.many(connection, rows)


def _key(connection: Connection, name: str) -> int:
    found = _FIND_KEY.first(connection, (name,))
    if found is None:
        connection.execute(insert(metric_keys).values(key=name))
        found = _FIND_KEY.first(connection, (name,))
    return int(found[0])


def _pairs(connection: Connection, table: Any, rows: Sequence[int]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {row: {} for row in rows}
    for row in connection.execute(select(table).where(table.c.model.in_(rows)).order_by(table.c.key)):
        found[row.model][row.key] = row.value
    return found


def _metrics(connection: Connection, rows: Sequence[int]) -> dict[int, list[ModelMetric]]:
    found: dict[int, list[ModelMetric]] = {row: [] for row in rows}
    table = logged_model_metrics
    statement = (
        select(table, metric_keys.c.key.label("name"), runs.c.run_id)
        .join(metric_keys, metric_keys.c.id == table.c.key)
        .join(runs, runs.c.id == table.c.run)
        .where(table.c.model.in_(rows))
        .order_by(table.c.model, metric_keys.c.key, table.c.timestamp, table.c.step, runs.c.run_id)
    )
    for row in connection.execute(statement):
        value = _NAN if row.is_nan else row.value
        found[row.model].append(
            ModelMetric(row.name, value, row.timestamp, row.step, row.run_id, row.dataset_name, row.dataset_digest)
        )
    return found


def _model(
    row: Row[Any],
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    metrics: Iterable[ModelMetric] = (),
) -> LoggedModel:
    return LoggedModel(
        row=row.id,
        model_id=row.model_id,
        experiment_id=str(row.experiment),
        name=row.name,
        artifact_location=row.artifact_location,
        model_type=row.model_type,
        source_run_id=row.source_run_id,
        status=ModelStatus(row.status),
        status_message=row.status_message,
        lifecycle_stage=LifecycleStage(row.lifecycle_stage),
        created_at=row.created_at,
        updated_at=row.updated_at,
        params=params or {},
        tags=tags or {},
        metrics=tuple(metrics),
    )
