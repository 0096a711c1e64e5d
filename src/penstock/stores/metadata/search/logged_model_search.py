"""Find logged models: MLflow's filters and orders, with values on a dataset among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, and_, case, cast, exists, func, or_, select, true

from penstock.entities.errors import UsageError
from penstock.entities.logged_model import ModelStatus
from penstock.entities.run import LifecycleStage
from penstock.rules.filters.tree import Condition, Op, Scope
from penstock.stores.metadata.experiments import parse_id
from penstock.stores.metadata.search.record_conditions import Record
from penstock.stores.metadata.search.row_sets import among
from penstock.stores.metadata.search.run_conditions import bytewise, metric_names, value_condition
from penstock.stores.metadata.tables import (
    logged_model_metrics as metrics,
)
from penstock.stores.metadata.tables import logged_model_params, logged_model_tags, metric_keys, runs
from penstock.stores.metadata.tables import logged_models as models

METRICS = "metrics."
_STATUSES = {ModelStatus.PENDING: "PENDING", ModelStatus.READY: "READY", ModelStatus.FAILED: "FAILED"}
_NAMES = {
    "creation_time": "creation_timestamp_ms",
    "creation_timestamp": "creation_timestamp_ms",
    "last_updated_timestamp": "last_updated_timestamp_ms",
}


@dataclass(frozen=True, slots=True)
class OnDataset:
    """A dataset by name, and perhaps digest."""

    name: str
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class ModelOrder:
    """One key of an order: an attribute or ``metrics.<key>``, the latter perhaps of one dataset only."""

    field_name: str
    is_descending: bool = False
    dataset_name: str | None = None
    dataset_digest: str | None = None


def search_models(
    connection: Connection,
    experiments: Sequence[str],
    *,
    where: Condition | None = None,
    datasets: Sequence[OnDataset] = (),
    order: Sequence[ModelOrder] = (),
    limit: int,
    offset: int = 0,
) -> list[int]:
    """Return the integer rows of logged models that are not deleted; newest first where the order says nothing.

    Parameters
    ----------
    experiments : sequence of str
        Ids; unknown ones hold nothing.
    datasets : sequence of OnDataset
        Comparisons of metrics then mean values measured on one of these; without such a comparison, models with any
        value on one of these are found.

    Raises
    ------
    UsageError
        If the filter or the order names what logged models do not have.
    """
    dialect = connection.dialect.name
    wanted = [parse_id(one) for one in experiments]
    on_dataset = _on_datasets(dialect, datasets)
    record = _record(dialect, on_dataset)
    conditions = [models.c.lifecycle_stage == LifecycleStage.ACTIVE.value, among(dialect, models.c.experiment, wanted)]
    conditions.append(record.condition(where))
    if datasets and not metric_names(where):
        conditions.append(exists(select(1).where(metrics.c.model == models.c.id, on_dataset)))
    statement = select(models.c.id).where(*conditions)
    keys: list[ColumnElement[Any]] = []
    for key in order:
        keys += _order(record, key)
    names = {_NAMES.get(key.field_name, key.field_name) for key in order}
    if "creation_timestamp_ms" not in names:
        keys.append(models.c.created_at.desc())
    if "model_id" not in names:
        keys.append(bytewise(models.c.model_id, dialect).asc())
    return list(connection.execute(statement.order_by(*keys).limit(limit).offset(offset)).scalars())


def _record(dialect: str, on_dataset: ColumnElement[bool]) -> Record:
    status = case(
        *((models.c.status == status.value, name) for status, name in _STATUSES.items()), else_=models.c.status
    )
    attributes: dict[str, ColumnElement[Any]] = {
        "name": models.c.name,
        "model_id": models.c.model_id,
        "model_type": models.c.model_type,
        "source_run_id": models.c.source_run_id,
        "status": status,
        "status_message": models.c.status_message,
        "lifecycle_stage": models.c.lifecycle_stage,
        "artifact_location": models.c.artifact_location,
        "experiment_id": cast(models.c.experiment, Text),
        "creation_timestamp_ms": models.c.created_at,
        "last_updated_timestamp_ms": models.c.updated_at,
    }
    attributes.update({alias: attributes[name] for alias, name in _NAMES.items()})
    plain = Record("logged models", dialect, attributes)

    def measured(key: str, op: Op, value: Any) -> ColumnElement[bool]:
        wanted = (
            select(1)
            .select_from(metrics.join(metric_keys, metric_keys.c.id == metrics.c.key))
            .where(metrics.c.model == models.c.id, metric_keys.c.key == key, on_dataset)
        )
        if op in (Op.IS_NULL, Op.IS_NOT_NULL):
            return ~exists(wanted) if op is Op.IS_NULL else exists(wanted)
        # The value of NaN is stored as 0 and competes as such, here as in MLflow.
        return exists(wanted.where(value_condition(metrics.c.value, op, value, dialect)))

    return Record(
        "logged models",
        dialect,
        attributes,
        {
            Scope.TAG: plain.pair(logged_model_tags, logged_model_tags.c.model == models.c.id),
            Scope.PARAM: plain.pair(logged_model_params, logged_model_params.c.model == models.c.id),
            Scope.METRIC: measured,
        },
    )


def _on_datasets(dialect: str, datasets: Sequence[OnDataset]) -> ColumnElement[bool]:
    """Return the condition of a value measured on one of them, however many: each kind is bound as one list."""
    if not datasets:
        return true()
    found: list[ColumnElement[bool]] = []
    names = {one.name for one in datasets if not one.digest}
    pairs = {(one.name, one.digest) for one in datasets if one.digest}
    if names:
        found.append(among(dialect, metrics.c.dataset_name, sorted(names)))
    if pairs:
        # The length says where the name ends and the digest begins.
        named = (
            cast(func.length(metrics.c.dataset_name), Text) + ":" + metrics.c.dataset_name + metrics.c.dataset_digest
        )
        found.append(among(dialect, named, sorted(f"{len(name)}:{name}{digest}" for name, digest in pairs)))
    return or_(*found)


def _on_dataset(name: str | None, digest: str | None) -> ColumnElement[bool]:
    found: list[ColumnElement[bool]] = [true()]
    if name:
        found.append(metrics.c.dataset_name == name)
    if digest:
        found.append(metrics.c.dataset_digest == digest)
    return and_(*found)


def _order(record: Record, key: ModelOrder) -> list[ColumnElement[Any]]:
    if "." not in key.field_name:
        column = record.attributes.get(_NAMES.get(key.field_name, key.field_name))
        if column is None:
            raise UsageError(f"Invalid order by field name: {key.field_name}")
        column = bytewise(column, record.dialect) if key.field_name in {"name", "model_id", "model_type"} else column
        return [(column.desc() if key.is_descending else column.asc()).nulls_last()]
    if not key.field_name.startswith(METRICS):
        raise UsageError(f"Invalid order by field name: {key.field_name}. Only metrics are supported.")
    place = func.row_number().over(
        partition_by=metrics.c.model,
        order_by=(metrics.c.timestamp.desc(), metrics.c.step.desc(), runs.c.run_id.asc()),
    )
    ranked = (
        select(metrics.c.model, metrics.c.value, place.label("place"))
        .join(metric_keys, metric_keys.c.id == metrics.c.key)
        .join(runs, runs.c.id == metrics.c.run)
        .where(metric_keys.c.key == key.field_name[len(METRICS) :])
        .where(_on_dataset(key.dataset_name, key.dataset_digest))
        .subquery()
    )
    last = select(ranked).where(ranked.c.place == 1).subquery()
    value = select(last.c.value).where(last.c.model == models.c.id).scalar_subquery()
    return [(value.desc() if key.is_descending else value.asc()).nulls_last()]


def find_by_run(connection: Connection, run_id: str, name: str) -> int | None:
    """Return the row of the newest logged model of that name that a run logged, or None."""
    statement = select(models.c.id).where(
        models.c.source_run_id == run_id,
        models.c.name == name,
        models.c.lifecycle_stage == LifecycleStage.ACTIVE.value,
    )
    return connection.execute(statement.order_by(models.c.created_at.desc(), models.c.id.desc()).limit(1)).scalar()
