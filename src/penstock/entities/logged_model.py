"""A logged model: what MLflow 3 records of a model before anybody registers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from penstock.entities.run import LifecycleStage


class ModelStatus(StrEnum):
    """How far a logged model is; the protocol counts them from 1 in this order."""

    PENDING = "LOGGED_MODEL_PENDING"
    READY = "LOGGED_MODEL_READY"
    FAILED = "LOGGED_MODEL_UPLOAD_FAILED"


@dataclass(frozen=True, slots=True)
class ModelMetric:
    """One value measured on a logged model, by a run and perhaps on a dataset; ``value`` may be NaN."""

    key: str
    value: float
    timestamp: int
    step: int
    run_id: str
    dataset_name: str | None = None
    dataset_digest: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A logged model with what belongs to it; times are milliseconds UTC."""

    row: int
    model_id: str
    experiment_id: str
    name: str
    artifact_location: str
    model_type: str
    source_run_id: str | None
    status: ModelStatus
    status_message: str
    lifecycle_stage: LifecycleStage
    created_at: int
    updated_at: int
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[ModelMetric, ...] = ()
