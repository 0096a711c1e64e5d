"""What MLflow takes as names and values: its own rules, so that a client sees the same refusals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

from penstock.entities.errors import UsageError
from penstock.entities.run import Metric
from penstock.rules.run_keys import KEY, MAX_KEY, leads_elsewhere
from penstock.server.mlflow.wire import LogBatch, LogMetric, MetricPoint, Pair

MAX_PARAM = 6000
MAX_TAG = 8000
MAX_EXPERIMENT_TAG = 20_000
MAX_NAME = 500
USUAL_PAGE, MAX_PAGE = 1000, 50_000
MAX_METRICS, MAX_PARAMS, MAX_TAGS, MAX_ENTITIES = 1000, 100, 100, 1000

JSON = "application/json"
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}")
_PLAIN_KEY = re.compile(rf"[\w\-][\w.\- :]{{0,{MAX_KEY - 1}}}")
"""No folders and no leading dot: what nearly every key is, seen at once."""


def required(value: Any, name: str) -> None:
    """Raise UsageError if a required member is missing."""
    if value is None or value == "":
        raise UsageError(f"Missing value for required parameter '{name}'.")


def check_content_type(sent: str | None) -> None:
    """Raise UsageError if a body does not call itself JSON."""
    if sent != JSON and (sent or "").partition(";")[0].strip() != JSON:
        raise UsageError(f"Bad Request. The Content-Type must be {JSON}, not {(sent or 'absent')[:100]}.")


def check_run_id(run_id: str) -> None:
    """Raise UsageError for an id that no run can have; asked where MLflow asks it, which is not everywhere."""
    if not _RUN_ID.fullmatch(run_id):
        raise UsageError(f"Invalid value {run_id[:MAX_KEY]!r} for parameter 'run_id' supplied.")


def check_key(key: str, name: str = "key") -> str:
    """Return a metric's, parameter's or tag's name, or raise UsageError."""
    if _PLAIN_KEY.fullmatch(key):
        return key
    required(key, name)
    if not KEY.fullmatch(key):
        raise UsageError(
            f"Invalid value {key[:MAX_KEY]!r} for parameter '{name}' supplied: Names may only contain alphanumerics, "
            "underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)."
        )
    normal = leads_elsewhere(key)
    if normal is not None:
        raise UsageError(
            f"Invalid value {key[:MAX_KEY]!r} for parameter '{name}' supplied: Names may be treated as files in "
            f"certain cases, and must not resolve to other names. This name would resolve to {normal[:MAX_KEY]!r}."
        )
    if len(key) > MAX_KEY:
        raise UsageError(f"'{name}' exceeds the maximum length of {MAX_KEY} characters.")
    return key


def read_metric(point: LogMetric | MetricPoint, index: int | None = None) -> Metric:
    """Return a point that may be stored, or raise UsageError; ``index`` is its place in a batch."""
    timestamp = point.timestamp
    if point.value is not None and timestamp is not None and timestamp >= 0 and _PLAIN_KEY.fullmatch(point.key):
        return Metric(point.key, point.value, timestamp, point.step)
    path = "" if index is None else f"metrics[{index}]."
    check_key(point.key, f"{path}key")
    required(point.value, f"{path}value")
    required(point.timestamp, f"{path}timestamp")
    assert point.value is not None
    assert point.timestamp is not None
    if point.timestamp < 0:
        raise UsageError(f"Invalid value {point.timestamp} for parameter '{path}timestamp': it must not be negative.")
    return Metric(point.key, point.value, point.timestamp, point.step)


def read_metrics(points: Sequence[MetricPoint]) -> list[Metric]:
    """Return the points of a batch, or raise UsageError for the first that may not be stored."""
    plain: set[str] = set()
    for index, point in enumerate(points):
        timestamp = point.timestamp
        if point.key not in plain or point.value is None or timestamp is None or timestamp < 0:
            read_metric(point, index)
            plain.add(point.key)
    # They have a metric's members, all of them set now; copying each would cost a fifth of the batch.
    return cast("list[Metric]", points)


def read_params(pairs: Iterable[Pair]) -> dict[str, str]:
    """Return parameters, long values cut as MLflow cuts them; a key twice is refused."""
    found: dict[str, str] = {}
    for index, pair in enumerate(pairs):
        key = check_key(pair.key, f"params[{index}].key")
        if key in found:
            raise UsageError(f"Duplicate parameter keys have been submitted: {key!r}.")
        found[key] = pair.value[:MAX_PARAM]
    return found


def read_tags(pairs: Iterable[Pair]) -> dict[str, str]:
    """Return tags, long values cut as MLflow cuts them; the last of equal keys counts."""
    return {check_key(pair.key, f"tags[{index}].key"): pair.value[:MAX_TAG] for index, pair in enumerate(pairs)}


def check_batch(batch: LogBatch) -> None:
    """Raise UsageError for a batch that is too large."""
    for name, items, most in (
        ("metrics", batch.metrics, MAX_METRICS),
        ("params", batch.params, MAX_PARAMS),
        ("tags", batch.tags, MAX_TAGS),
    ):
        _check_size(name, items, most)
    total = len(batch.metrics) + len(batch.params) + len(batch.tags)
    if total > MAX_ENTITIES:
        raise UsageError(
            f"A batch logging request can contain at most {MAX_ENTITIES} metrics, params, and tags. Got {total}."
        )


def _check_size(name: str, items: Sequence[object], most: int) -> None:
    if len(items) > most:
        raise UsageError(f"A batch logging request can contain at most {most} {name}. Got {len(items)} {name}.")


def check_experiment_tag(key: str, value: str) -> None:
    """Raise UsageError for an experiment's tag that is too long."""
    check_key(key)
    if len(value) > MAX_EXPERIMENT_TAG:
        raise UsageError(f"'value' exceeds the maximum length of {MAX_EXPERIMENT_TAG} characters.")


def check_name(name: str) -> str:
    """Return an experiment's name, or raise UsageError."""
    required(name, "name")
    if len(name) > MAX_NAME:
        raise UsageError(f"'name' exceeds the maximum length of {MAX_NAME} characters.")
    return name


def check_page(asked: float) -> int:
    """Return a page's size, or raise UsageError; a fraction is read as if nothing had been asked, as MLflow does."""
    max_results = asked if isinstance(asked, int) else USUAL_PAGE
    if not 1 <= max_results <= MAX_PAGE:
        raise UsageError(
            f"Invalid value {max_results} for parameter 'max_results' supplied: it must be at least 1 and at most "
            f"{MAX_PAGE}."
        )
    return max_results


def read_view(view: str | int) -> str:
    """Return ``ACTIVE_ONLY``, ``DELETED_ONLY`` or ``ALL`` from the name or number of an MLflow view.

    What is none of them is the first, as for MLflow.
    """
    names = ("ACTIVE_ONLY", "DELETED_ONLY", "ALL")
    if isinstance(view, str) and view in names:
        return view
    return names[int(view) - 1] if str(view) in {"1", "2", "3"} else names[0]
