"""JSON as REST shows it: RFC 3339 times, no nulls, numbers that JSON lacks as strings.

Entities keep milliseconds; only this file turns them into text. Pages carry an opaque ``next``.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel
from starlette.responses import Response

from penstock.entities.attempt import Attempt
from penstock.entities.errors import UsageError
from penstock.entities.run import Experiment, Metric
from penstock.rules.instants import rfc3339

T = TypeVar("T")


def number(value: float) -> float | str:
    """Return a float, or ``"NaN"``, ``"Infinity"``, ``"-Infinity"``, which JSON has no numbers for."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def entity(record: BaseModel) -> dict[str, Any]:
    """Return an entity as REST shows it; its own times are RFC 3339."""
    shown = record.model_dump(mode="json", by_alias=True, exclude_none=True)
    return _times(shown)


def attempt(record: Attempt) -> dict[str, Any]:
    """Return an attempt as REST shows it: without its token's hash and the store's offsets."""
    shown = {
        "id": record.attempt_id,
        "job_name": record.job_name,
        "number": record.number,
        "state": record.state.value,
        "node": record.node,
        "pid": record.pid or None,
        "exit_code": record.exit_code,
        "reason": record.reason or None,
        "created_at": record.created_at,
        "ended_at": record.ended_at,
    }
    return _times({key: value for key, value in shown.items() if value is not None})


def experiment(record: Experiment) -> dict[str, Any]:
    """Return an experiment as REST shows it."""
    return _times(
        {
            "id": record.experiment_id,
            "name": record.name,
            "artifact_location": record.artifact_location,
            "lifecycle_stage": record.lifecycle_stage.value,
            "tags": record.tags,
            "created_at": record.created_at,
            "updated_at": record.updated_at,
        }
    )


def point(metric: Metric) -> dict[str, Any]:
    """Return one point of a metric's history."""
    return {"step": metric.step, "timestamp": rfc3339(metric.timestamp), "value": number(metric.value)}


def _times(shown: dict[str, Any]) -> dict[str, Any]:
    for key, value in shown.items():
        if (key == "at" or key.endswith("_at")) and isinstance(value, int):
            shown[key] = rfc3339(value)
    return shown


class JsonResponse(Response):
    """JSON by msgspec; what the entities hold is turned into JSON types before."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return msgspec.json.encode(content)


def page(items: Sequence[T], limit: int, show: Callable[[T], dict[str, Any]], key: Callable[[T], str]) -> Response:
    """Return one page of a list that was asked for one item more than ``limit``.

    ``key`` of the last item shown is where the next page begins.
    """
    shown = items[:limit]
    body: dict[str, Any] = {"items": [show(item) for item in shown]}
    if len(items) > limit:
        body["next"] = base64.urlsafe_b64encode(msgspec.json.encode(key(shown[-1]))).decode().rstrip("=")
    return JsonResponse(body)


def read_next(text: str | None) -> str | None:
    """Return the key behind an opaque ``next``, None where there is none.

    Raises
    ------
    UsageError
        If it is not one that a page carried.
    """
    if not text:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=str)
    except (ValueError, RecursionError) as error:
        raise wrong_next() from error


def wrong_next() -> UsageError:
    """Return the error for a ``next`` that no page carried."""
    return UsageError("`next` is not one that a page carried", hint="Leave it out for the first page.")


def read_json(body: bytes) -> dict[str, Any]:
    """Return a JSON object from a raw body.

    Raises
    ------
    UsageError
        If it is no JSON, or no object.
    """
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is no valid JSON: {error}") from error
    if not isinstance(document, Mapping):
        raise UsageError("the body must be a JSON object")
    return dict(document)


def read_agent_json(body: bytes) -> dict[str, Any]:
    """Return an agent's JSON object; unlike :func:`read_json` its texts may hold lone surrogates.

    Bytes of a command's output that are no UTF-8 travel as the surrogates of Python's ``surrogateescape``, so
    that the server writes exactly what the command wrote; strict parsers refuse them.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is no valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise UsageError("the body must be a JSON object")
    return document
