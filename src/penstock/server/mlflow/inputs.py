"""``runs/log-inputs`` and ``runs/outputs``: the datasets and models a run used, the models it made."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import Struct, field
from sqlalchemy import Connection

from penstock.entities.errors import UsageError
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.errors import BadRequestError
from penstock.server.mlflow.limits import required
from penstock.server.mlflow.reach import check_models
from penstock.server.mlflow.wire import Json, OfRun, Pair
from penstock.stores.metadata.datasets import INPUT, OUTPUT, Dataset, log_datasets, log_models
from penstock.stores.metadata.runs import find_tag, set_tag

_MAX_LENGTHS = {"name": 500, "digest": 36, "source": 65_535, "schema": 1_048_575, "profile": 16_777_215}
HISTORY_TAG = "mlflow.log-model.history"
_MODEL_MEMBERS = ("artifact_path", "flavors", "utc_time_created", "run_id")
_MAX_TAG_KEY, _MAX_TAG_VALUE = 255, 500


class SentDataset(Struct):
    """A dataset as the client describes it."""

    name: str = ""
    digest: str = ""
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None


class DatasetInput(Struct):
    """A dataset and what it was used for."""

    dataset: SentDataset | None = None
    tags: list[Pair] = []


class ModelLink(Struct):
    """A logged model that a run used, or made at a step."""

    model_id: str = ""
    step: int = 0


class LogInputs(OfRun):
    """``runs/log-inputs``."""

    datasets: list[DatasetInput] = field(default_factory=list)
    models: list[ModelLink] = field(default_factory=list)


class LogOutputs(OfRun):
    """``runs/outputs``."""

    models: list[ModelLink] | None = None


class LogModel(OfRun):
    """``runs/log-model``, by which clients of MLflow 2 say that they logged a model among a run's artifacts."""

    model_json: str = ""


async def log_inputs(call: Call) -> Json:
    """Add datasets and models to what a run used; those it has already stay once."""
    sent = await call.read(LogInputs)
    used = [_read_dataset(item, f"datasets[{index}]") for index, item in enumerate(sent.datasets)]
    models = _read_models(sent.models)

    def operation(connection: Connection) -> None:
        call.check_run(connection, sent.run)
        check_models(connection, call.actor, (model_id for model_id, _ in models))
        log_datasets(connection, sent.run, used)
        log_models(connection, sent.run, INPUT, models)
        if used or models:
            datasets = ", ".join(dataset.name for dataset in used)
            call.record_change(connection, "log-inputs", sent.run, datasets=datasets, models=_ids(models))

    await call.write(operation)
    return {}


async def log_outputs(call: Call) -> Json:
    """Add logged models to what a run made."""
    sent = await call.read(LogOutputs)
    required(sent.run, "run_id")
    if sent.models is None:
        raise UsageError("Missing value for required parameter 'models'.")
    models = _read_models(sent.models)

    def operation(connection: Connection) -> None:
        call.check_run(connection, sent.run)
        check_models(connection, call.actor, (model_id for model_id, _ in models))
        log_models(connection, sent.run, OUTPUT, models)
        if models:
            call.record_change(connection, "log-outputs", sent.run, models=_ids(models))

    await call.write(operation)
    return {}


async def log_model(call: Call) -> Json:
    """Add a model to the run's tag that lists the models among its artifacts."""
    sent = await call.read(LogModel)
    required(sent.run, "run_id")
    required(sent.model_json, "model_json")
    try:
        model = msgspec.json.decode(sent.model_json, type=Json)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"Malformed model info: it is no JSON object: {error}") from error
    missing = [name for name in _MODEL_MEMBERS if name not in model]
    if missing:
        raise UsageError(f"Model json is missing mandatory fields: {', '.join(missing)}")
    entry = {name: model.get(name) for name in ("run_id", "artifact_path", "utc_time_created", "model_uuid", "flavors")}

    def operation(connection: Connection) -> None:
        call.check_run(connection, sent.run)
        try:
            known = msgspec.json.decode(find_tag(connection, sent.run, HISTORY_TAG) or "[]", type=list[Any])
        except (ValueError, RecursionError):  # anybody may write a tag
            known = []
        set_tag(connection, sent.run, HISTORY_TAG, json.dumps([*known, entry]))
        call.record_change(connection, "set-tag", sent.run, key=HISTORY_TAG)

    await call.write(operation)
    return {}


def _read_dataset(item: DatasetInput, path: str) -> Dataset:
    sent = item.dataset
    if sent is None:
        raise UsageError(f"Missing value for required parameter '{path}.dataset'.")
    for name, most in _MAX_LENGTHS.items():
        if len(getattr(sent, name) or "") > most:
            raise UsageError(f"'{path}.dataset.{name}' exceeds the maximum length of {most} characters.")
    for tag in item.tags:
        if len(tag.key) > _MAX_TAG_KEY or len(tag.value) > _MAX_TAG_VALUE:
            raise UsageError(
                f"A tag of '{path}' exceeds the maximum length: {_MAX_TAG_KEY} characters of key, "
                f"{_MAX_TAG_VALUE} of value."
            )
    tags = {tag.key: tag.value for tag in item.tags}
    if len(tags) < len(item.tags):
        raise BadRequestError(f"A tag of '{path}' is there twice.")
    return Dataset(sent.name, sent.digest, sent.source_type, sent.source, sent.schema, sent.profile, tags=tags)


def _ids(models: list[tuple[str, int]]) -> str:
    return ", ".join(model_id for model_id, _ in models)


def _read_models(models: list[ModelLink]) -> list[tuple[str, int]]:
    for index, model in enumerate(models):
        required(model.model_id, f"models[{index}].model_id")
    return [(model.model_id, model.step) for model in models]
