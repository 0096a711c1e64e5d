"""What is sent and shown of logged models."""

from __future__ import annotations

from msgspec import Struct

from penstock.entities.errors import UsageError
from penstock.entities.logged_model import LoggedModel, ModelMetric, ModelStatus
from penstock.server.mlflow.limits import check_key, required
from penstock.server.mlflow.wire import Json, Pair, shown_pairs, shown_value

_STATUSES = (ModelStatus.PENDING, ModelStatus.READY, ModelStatus.FAILED)


class CreateModel(Struct):
    """``POST logged-models``."""

    experiment_id: str = ""
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[Pair] = []
    tags: list[Pair] = []


class ChangeModel(Struct):
    """What is sent to an address below one model."""

    status: str | int = ""
    params: list[Pair] = []
    tags: list[Pair] = []
    artifact_directory_path: str = ""
    allow_deleted: str | bool = ""


class SentDataset(Struct):
    """A dataset that values were measured on."""

    dataset_name: str = ""
    dataset_digest: str = ""


class SentOrder(Struct):
    """One key of an order."""

    field_name: str = ""
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


class SearchModels(Struct):
    """``POST logged-models/search``."""

    experiment_ids: list[str] | None = None
    filter: str = ""
    datasets: list[SentDataset] = []
    max_results: int | None = None
    order_by: list[SentOrder] = []
    page_token: str = ""


def shown_model(model: LoggedModel) -> Json:
    """Return a logged model."""
    info: Json = {
        "model_id": model.model_id,
        "experiment_id": model.experiment_id,
        "name": model.name,
        "creation_timestamp_ms": model.created_at,
        "last_updated_timestamp_ms": model.updated_at,
        "artifact_uri": model.artifact_location,
        "status": model.status.value,
        "model_type": model.model_type,
        "source_run_id": model.source_run_id or "",
    }
    if model.status_message:
        info["status_message"] = model.status_message
    if model.tags:
        info["tags"] = shown_pairs(dict(model.tags))
    data: Json = {}
    if model.params:
        data["params"] = shown_pairs(dict(model.params))
    if model.metrics:
        data["metrics"] = [_shown_metric(metric, model.model_id) for metric in model.metrics]
    return {"info": info, "data": data}


def _shown_metric(metric: ModelMetric, model_id: str) -> Json:
    shown: Json = {
        "key": metric.key,
        "value": shown_value(metric.value),
        "timestamp": metric.timestamp,
        "step": metric.step,
        "model_id": model_id,
        "run_id": metric.run_id,
    }
    if metric.dataset_name:
        shown["dataset_name"] = metric.dataset_name
    if metric.dataset_digest:
        shown["dataset_digest"] = metric.dataset_digest
    return shown


def shown_file(path: str, is_dir: bool, size: int) -> Json:
    """Return one child of a folder of a model's files."""
    shown: Json = {"path": path, "is_dir": is_dir}
    return {**shown, "file_size": size} if size and not is_dir else shown


def read_status(status: str | int) -> ModelStatus:
    """Return a status sent by its name or its number, or raise UsageError."""
    required(status, "status")
    if str(status) in {"1", "2", "3"}:
        return _STATUSES[int(status) - 1]
    try:
        return ModelStatus(str(status))
    except ValueError as error:
        known = ", ".join(one.value for one in _STATUSES)
        raise UsageError(f"Invalid value {status!r} for parameter 'status': it is one of {known}.") from error


def read_pairs(pairs: list[Pair]) -> dict[str, str]:
    """Return parameters or tags by their names, or raise UsageError."""
    return {check_key(pair.key): pair.value for pair in pairs}


def model_ref(model: LoggedModel) -> str:
    """Return how events and errors name a logged model."""
    return f"logged-model:{model.model_id}"
