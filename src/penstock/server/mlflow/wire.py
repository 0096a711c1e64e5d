"""The protocol's messages: what the client sends as msgspec Structs, what it gets as plain JSON types.

Numbers may come as JSON strings; names in two spellings (``run_id``, ``run_uuid``). Empty lists and absent
values are left out of answers, as protobuf's JSON does.
"""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from penstock.entities.errors import UsageError
from penstock.entities.run import Experiment, Metric, Run

StructT = TypeVar("StructT", bound=Struct)
Json = dict[str, Any]

LARGEST = sys.float_info.max


class Pair(Struct, gc=False):
    """A parameter or tag."""

    key: str = ""
    value: str = ""


class MetricPoint(Struct, gc=False):
    """One value of a metric."""

    key: str = ""
    value: float | None = None
    timestamp: int | None = None
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class OfRun(Struct):
    """Anything that names a run."""

    run_id: str = ""
    run_uuid: str = ""

    @property
    def run(self) -> str:
        """Return the run's id, whichever spelling was sent."""
        return self.run_id or self.run_uuid


class LogMetric(OfRun):
    """``runs/log-metric``."""

    key: str = ""
    value: float | None = None
    timestamp: int | None = None
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LogBatch(OfRun):
    """``runs/log-batch``."""

    metrics: list[MetricPoint] = []
    params: list[Pair] = []
    tags: list[Pair] = []


class RunPair(OfRun):
    """``runs/log-parameter``, ``set-tag`` and ``delete-tag``."""

    key: str = ""
    value: str = ""


class CreateRun(Struct):
    """``runs/create``."""

    experiment_id: str = ""
    user_id: str = ""
    run_name: str = ""
    start_time: int | None = None
    tags: list[Pair] = []


class UpdateRun(OfRun):
    """``runs/update``."""

    status: str | int | None = None
    end_time: int | None = None
    run_name: str | None = None


class SearchRuns(Struct):
    """``runs/search``."""

    experiment_ids: list[str | int] = []
    filter: str = ""
    run_view_type: str | int = "ACTIVE_ONLY"
    max_results: int | float = 1000
    order_by: list[str] = []
    page_token: str = ""


class SearchModels(Struct):
    """``logged-models/search``."""

    experiment_ids: list[str] = []


class ListArtifacts(OfRun):
    """``artifacts/list`` and the listing of ``mlflow-artifacts``."""

    path: str = ""


class CreateExperiment(Struct):
    """``experiments/create``."""

    name: str = ""
    artifact_location: str = ""
    tags: list[Pair] = []


class OfExperiment(Struct):
    """Anything that names an experiment."""

    experiment_id: str = ""
    experiment_name: str = ""
    new_name: str = ""
    key: str = ""
    value: str = ""


class SearchExperiments(Struct):
    """``experiments/search``."""

    filter: str = ""
    view_type: str | int = "ACTIVE_ONLY"
    max_results: int | None = None
    most: int | None = msgspec.field(default=None, name="maxResults")
    order_by: list[str] = []
    page_token: str = ""


_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_decoders: dict[type[Struct], msgspec.json.Decoder[Any]] = {}


def read_body(kind: type[StructT], body: bytes) -> StructT:
    """Return a request's message.

    Raises
    ------
    UsageError
        If the body is no JSON object or a member has another type.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind, strict=False)
    try:
        return decoder.decode(body or b"{}")  # type: ignore[no-any-return] # the decoder was made for this kind
    except RecursionError as error:
        raise UsageError("The request's body is nested too deeply.") from error
    except ValueError:  # also what has a member of another type, and bytes that are no text
        return _read_lenient(kind, body)


def _read_lenient(kind: type[StructT], body: bytes) -> StructT:
    """Read what the strict way refuses: NaN and infinity, which are no JSON, and null, which means absent.

    Half a character, which JSON can spell and UTF-8 cannot, is refused: no store would take it, nor an answer tell it.
    """
    try:
        found = json.loads(body or b"{}")
        if _HALF.search(body):
            json.dumps(found, ensure_ascii=False).encode()
        return msgspec.convert(_without_null(found), kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"Invalid value in the request: {error}.") from error
    except UnicodeEncodeError as error:
        raise UsageError("The request's body has half of a surrogate pair, which is no text.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The request's body is not what is wanted here: {error}.") from error


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_null(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_without_null(member) for member in value]
    return value


def read_query(kind: type[StructT], query: dict[str, Any]) -> StructT:
    """Return the message of a GET request."""
    try:
        return msgspec.convert(query, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"Invalid value in the query: {error}.") from error


def shown_value(value: float) -> float | str:
    """Return a metric's value as the protocol shows it: NaN as text, infinity as the largest number."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else math.copysign(LARGEST, value)


def shown_metric(metric: Metric) -> Json:
    """Return a metric's point."""
    return {
        "key": metric.key,
        "value": shown_value(metric.value),
        "timestamp": metric.timestamp,
        "step": metric.step,
    }


def shown_pairs(pairs: dict[str, str]) -> list[Json]:
    """Return parameters or tags."""
    return [{"key": key, "value": value} for key, value in pairs.items()]


def shown_info(run: Run) -> Json:
    """Return a run's ``info``."""
    info = {
        "run_uuid": run.run_id,
        "run_id": run.run_id,
        "experiment_id": run.experiment_id,
        "run_name": run.run_name,
        "user_id": run.user_id,
        "status": run.status.value,
        "start_time": run.start_time,
        "artifact_uri": run.artifact_uri,
        "lifecycle_stage": run.lifecycle_stage.value,
    }
    return info if run.end_time is None else {**info, "end_time": run.end_time}


def shown_experiment(experiment: Experiment) -> Json:
    """Return an experiment."""
    shown = {
        "experiment_id": experiment.experiment_id,
        "name": experiment.name,
        "artifact_location": experiment.artifact_location,
        "lifecycle_stage": experiment.lifecycle_stage.value,
        "last_update_time": experiment.updated_at,
        "creation_time": experiment.created_at,
    }
    return {**shown, "tags": shown_pairs(experiment.tags)} if experiment.tags else shown
