"""Which handler answers which path of the MLflow protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Raw
from starlette.responses import Response

from penstock.server.mlflow import (
    artifacts,
    experiments,
    history,
    ingest,
    inputs,
    logged_model_records,
    logged_models,
    registry,
    runs,
    traces,
    versions,
)
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.wire import Json

Handler = Callable[[Call], Awaitable[Json | Raw | Response]]
"""Gives an answer that is to be encoded, or one that is finished."""

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"

_API = "/api/2.0/mlflow"
_HANDLERS: dict[tuple[str, str], Handler] = {
    ("POST", f"{_API}/experiments/create"): experiments.create_experiment,
    ("GET", f"{_API}/experiments/get"): experiments.get_experiment,
    ("GET", f"{_API}/experiments/get-by-name"): experiments.get_by_name,
    ("GET", f"{_API}/experiments/search"): experiments.search_experiments,
    ("POST", f"{_API}/experiments/search"): experiments.search_experiments,
    ("POST", f"{_API}/experiments/update"): experiments.update_experiment,
    ("POST", f"{_API}/experiments/delete"): experiments.delete_experiment,
    ("POST", f"{_API}/experiments/restore"): experiments.restore_experiment,
    ("POST", f"{_API}/experiments/set-experiment-tag"): experiments.set_tag,
    ("POST", f"{_API}/experiments/delete-experiment-tag"): experiments.delete_tag,
    ("POST", f"{_API}/runs/create"): runs.create_run,
    ("GET", f"{_API}/runs/get"): runs.get_run,
    ("POST", f"{_API}/runs/update"): runs.update_run,
    ("POST", f"{_API}/runs/search"): runs.search_runs,
    ("POST", f"{_API}/runs/delete"): ingest.delete_run,
    ("POST", f"{_API}/runs/restore"): ingest.restore_run,
    ("POST", f"{_API}/runs/log-metric"): ingest.log_metric,
    ("POST", f"{_API}/runs/log-batch"): ingest.log_batch,
    ("POST", f"{_API}/runs/log-parameter"): ingest.log_parameter,
    ("POST", f"{_API}/runs/set-tag"): ingest.set_tag,
    ("POST", f"{_API}/runs/delete-tag"): ingest.delete_tag,
    ("POST", f"{_API}/runs/log-inputs"): inputs.log_inputs,
    ("POST", f"{_API}/runs/outputs"): inputs.log_outputs,
    ("POST", f"{_API}/runs/log-model"): inputs.log_model,
    ("POST", logged_model_records.PREFIX): logged_models.create_model,
    ("POST", f"{logged_model_records.PREFIX}/search"): logged_models.search,
    ("POST", f"{_API}/registered-models/create"): registry.create_model,
    ("GET", f"{_API}/registered-models/get"): registry.get_model,
    ("PATCH", f"{_API}/registered-models/update"): registry.update_model,
    ("POST", f"{_API}/registered-models/rename"): registry.rename_model,
    ("DELETE", f"{_API}/registered-models/delete"): registry.delete_model,
    ("GET", f"{_API}/registered-models/search"): registry.search,
    ("GET", f"{_API}/registered-models/get-latest-versions"): registry.get_latest_versions,
    ("POST", f"{_API}/registered-models/get-latest-versions"): registry.get_latest_versions,
    ("POST", f"{_API}/registered-models/set-tag"): registry.set_tag,
    ("DELETE", f"{_API}/registered-models/delete-tag"): registry.delete_tag,
    ("GET", f"{_API}/registered-models/alias"): registry.get_by_alias,
    ("POST", f"{_API}/registered-models/alias"): registry.set_alias,
    ("DELETE", f"{_API}/registered-models/alias"): registry.delete_alias,
    ("POST", f"{_API}/model-versions/create"): versions.create_version,
    ("GET", f"{_API}/model-versions/get"): versions.get_version,
    ("PATCH", f"{_API}/model-versions/update"): versions.update_version,
    ("DELETE", f"{_API}/model-versions/delete"): versions.delete_version,
    ("GET", f"{_API}/model-versions/search"): versions.search,
    ("GET", f"{_API}/model-versions/get-download-uri"): versions.get_download_uri,
    ("POST", f"{_API}/model-versions/transition-stage"): versions.transition_stage,
    ("POST", f"{_API}/model-versions/set-tag"): versions.set_tag,
    ("DELETE", f"{_API}/model-versions/delete-tag"): versions.delete_tag,
    ("GET", f"{_API}/metrics/get-history"): history.get_history,
    ("GET", f"{_API}/metrics/get-history-bulk"): history.get_bulk,
    ("GET", f"{_API}/metrics/get-history-bulk-interval"): history.get_samples,
    ("GET", f"{_API}/artifacts/list"): artifacts.list_of_run,
    ("GET", ARTIFACTS): artifacts.list_folder,
}
FILE_HANDLERS: dict[str, Callable[[Call, str], Awaitable[Response]]] = {
    "GET": artifacts.download,
    "HEAD": artifacts.download,
    "PUT": artifacts.upload,
    "DELETE": artifacts.delete,
}


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_MISSING = tuple(
    f"/api/{version}/mlflow{noun}"
    for version in ("2.0", "3.0")
    for noun in (
        "-artifacts/mpu/",
        "-artifacts/presigned/",
        "/assessments",
        "/datasets",
        "/evaluations",
        "/experiments/search-datasets",
        "/gateway",
        "/get-online-trace-details",
        "/issues",
        "/jobs",
        "/label-schemas",
        "/prompt",
        "/review-queues",
        "/runs/link-",
        "/scorers",
        "/unified-traces",
        "/webhooks",
        "/workspaces",
    )
)
"""What MLflow has under these beginnings, this server does not have."""


def find_handler(method: str, path: str) -> Handler | None:
    """Return what answers a path with JSON, or None."""
    handler = _HANDLERS.get((method, path))
    if handler is None and path.startswith(f"{logged_model_records.PREFIX}/"):
        return logged_model_records.find_handler(method, path)
    return traces.refuse if handler is None and traces.is_trace(path) else handler


def allowed_methods(path: str) -> list[str]:
    """Return what a path takes, nothing for an unknown one."""
    if path.startswith(f"{ARTIFACTS}/"):
        return list(FILE_HANDLERS)
    return [method for method in METHODS if find_handler(method, path) is not None]


def is_missing(path: str) -> bool:
    """Return whether MLflow has something at this path that this server has not."""
    return path.startswith(_MISSING)
