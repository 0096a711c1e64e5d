"""What training loops call: metrics, parameters, tags; each acknowledged once it is durable."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from penstock.entities.run import LifecycleStage, Metric
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.limits import (
    MAX_PARAM,
    MAX_TAG,
    check_batch,
    check_key,
    check_run_id,
    read_metric,
    read_metrics,
    read_params,
    read_tags,
)
from penstock.server.mlflow.reach import check_models
from penstock.server.mlflow.wire import Json, LogBatch, LogMetric, MetricPoint, OfRun, RunPair
from penstock.stores.metadata import runs
from penstock.stores.metadata.logged_models import ModelPoint, add_model_metrics

MAX_SHOWN = 200
"""So much of a tag's or parameter's value stands in the audit log."""
VERBS = {LifecycleStage.DELETED: "delete", LifecycleStage.ACTIVE: "restore"}


async def log_metric(call: Call) -> Json:
    """Log one value."""
    sent = await call.read(LogMetric)
    metric = read_metric(sent)
    if sent.model_id:
        await _log_points(call, sent.run, [metric], _of_models([sent], [metric]))
    else:
        await call.log_point(sent.run, metric)
    return {}


async def log_batch(call: Call) -> Json:
    """Log many values; all of them are stored, or none."""
    sent = await call.read(LogBatch)
    if sent.run:
        check_run_id(sent.run)
    check_batch(sent)
    metrics = read_metrics(sent.metrics)
    of_models = _of_models(sent.metrics, metrics)
    await _log_points(call, sent.run, metrics, of_models, read_params(sent.params), read_tags(sent.tags))
    return {}


async def _log_points(
    call: Call,
    run: str,
    metrics: list[Metric],
    of_models: list[ModelPoint],
    params: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
) -> None:
    def operation(connection: Connection) -> None:
        call.check_run(connection, run)
        attempt = call.attempt(run)
        runs.log_batch(connection, run, metrics=metrics, params=params, tags=tags, attempt=attempt)
        if of_models:
            check_models(connection, call.actor, (point.model_id for point in of_models))
            add_model_metrics(connection, run, of_models)
        _record_batch(call, connection, run, params or {}, tags or {})

    await call.write(operation)
    call.changed(run)


def _record_batch(call: Call, connection: Connection, run: str, params: dict[str, str], tags: dict[str, str]) -> None:
    """Write one event for the parameters and tags of a batch; its points have none."""
    if params and tags:
        call.record_change(connection, "log-batch", run, params=", ".join(params), tags=", ".join(tags))
    elif params:
        call.record_change(connection, "log-params", run, keys=", ".join(params))
    elif tags:
        call.record_change(connection, "set-tags", run, keys=", ".join(tags))


def _of_models(sent: Iterable[LogMetric | MetricPoint], metrics: Iterable[Metric]) -> list[ModelPoint]:
    """Return the points that say of which logged model they are; the run keeps them as well."""
    return [
        ModelPoint(
            point.model_id,
            metric.key,
            metric.value,
            metric.timestamp,
            metric.step,
            point.dataset_name or None,
            point.dataset_digest or None,
        )
        for point, metric in zip(sent, metrics, strict=True)
        if point.model_id
    ]


async def log_parameter(call: Call) -> Json:
    """Set a parameter once."""
    sent = await call.read(RunPair)
    check_key(sent.key)

    def operation(connection: Connection) -> None:
        call.check_run(connection, sent.run)
        runs.log_param(connection, sent.run, sent.key, sent.value[:MAX_PARAM])
        call.record_change(connection, "log-param", sent.run, key=sent.key, value=sent.value[:MAX_SHOWN])

    await call.write(operation)
    return {}


async def set_tag(call: Call) -> Json:
    """Set a tag; ``mlflow.runName`` renames the run."""
    sent = await call.read(RunPair)
    check_key(sent.key)

    def operation(connection: Connection) -> None:
        call.check_run(connection, sent.run)
        runs.set_tag(connection, sent.run, sent.key, sent.value[:MAX_TAG])
        call.record_change(connection, "set-tag", sent.run, key=sent.key, value=sent.value[:MAX_SHOWN])

    await call.write(operation)
    return {}


async def delete_tag(call: Call) -> Json:
    """Delete a tag; one that is not there is 404."""
    sent = await call.read(RunPair)
    check_key(sent.key)

    def operation(connection: Connection) -> None:
        call.check_run(connection, sent.run)
        runs.delete_tag(connection, sent.run, sent.key)
        call.record_change(connection, "delete-tag", sent.run, key=sent.key)

    await call.write(operation)
    return {}


async def delete_run(call: Call) -> Json:
    """Delete a run softly; twice is fine."""
    return await _set_lifecycle(call, LifecycleStage.DELETED)


async def restore_run(call: Call) -> Json:
    """Restore a run; an active one is fine."""
    return await _set_lifecycle(call, LifecycleStage.ACTIVE)


async def _set_lifecycle(call: Call, stage: LifecycleStage) -> Json:
    sent = await call.read(OfRun)

    def operation(connection: Connection) -> None:
        call.check_run(connection, sent.run, is_write=False)
        call.check_owner(connection, sent.run)
        runs.set_run_lifecycle(connection, sent.run, stage, now=call.now)
        call.record(connection, VERBS[stage], f"run:{sent.run}")

    await call.write(operation)
    return {}
