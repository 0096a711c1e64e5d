"""What training loops call: metrics, parameters, tags; each acknowledged once it is durable."""

from __future__ import annotations

from sqlalchemy import Connection

from penstock.entities.run import LifecycleStage
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.limits import (
    MAX_PARAM,
    MAX_TAG,
    check_batch,
    check_key,
    read_metric,
    read_params,
    read_tags,
)
from penstock.server.mlflow.wire import Json, LogBatch, LogMetric, OfRun, RunPair
from penstock.stores.metadata import runs

MAX_SHOWN = 200
"""So much of a tag's value stands in the audit log."""
VERBS = {LifecycleStage.DELETED: "delete", LifecycleStage.ACTIVE: "restore"}


async def log_metric(call: Call) -> Json:
    """Log one value."""
    sent = await call.read(LogMetric)
    metric = read_metric(sent)
    await call.log_point(sent.run, metric)
    return {}


async def log_batch(call: Call) -> Json:
    """Log many values; all of them are stored, or none."""
    sent = await call.read(LogBatch)
    check_batch(sent)
    metrics = [read_metric(point, index) for index, point in enumerate(sent.metrics)]
    params, tags = read_params(sent.params), read_tags(sent.tags)

    def operation(connection: Connection) -> None:
        call.check_run(connection, sent.run)
        attempt = call.attempt(sent.run)
        runs.log_batch(connection, sent.run, metrics=metrics, params=params, tags=tags, now=call.now, attempt=attempt)
        if tags:
            call.record_change(connection, "set-tags", sent.run, keys=", ".join(tags))

    await call.write(operation)
    call.changed(sent.run)
    return {}


async def log_parameter(call: Call) -> Json:
    """Set a parameter once."""
    sent = await call.read(RunPair)
    check_key(sent.key)

    def operation(connection: Connection) -> None:
        call.check_run(connection, sent.run)
        runs.log_param(connection, sent.run, sent.key, sent.value[:MAX_PARAM])

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
