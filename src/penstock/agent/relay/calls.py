"""Which calls of MLflow's protocol may be acknowledged while the server is away, and whether they look right.

The checks are of shape only: what is refused here is what the server would refuse without looking at the run.
"""

from __future__ import annotations

import json
import re

from penstock.agent.collection import MAX_PART_BYTES, MAX_PATH_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

API = "/api/2.0/mlflow"
ARTIFACTS = f"{API}-artifacts/artifacts/"
CREATE_RUN = f"{API}/runs/create"
UPDATE_RUN = f"{API}/runs/update"
GET_RUN = f"{API}/runs/get"
LOG_METRIC = f"{API}/runs/log-metric"
LOG_BATCH = f"{API}/runs/log-batch"
LOG_PARAM = f"{API}/runs/log-parameter"
SET_TAG = f"{API}/runs/set-tag"
LOG_INPUTS = f"{API}/runs/log-inputs"
LOG_OUTPUTS = f"{API}/runs/outputs"

MAX_KEY = 250
MAX_BATCH = {"metrics": 1000, "params": 100, "tags": 100}
MAX_IN_ALL = 1000
WORDS = frozenset({"NaN", "Infinity", "-Infinity", "inf", "-inf"})
KEY = re.compile(r"[\w\-. /:]+")
NUMBER = re.compile(r"-?\d{1,19}")
ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
HIDDEN = re.compile(r"%(?=2e|2f|5c|00|25)", re.IGNORECASE)


class BadCall(Exception):
    """The server would refuse this call; the message is its sentence."""


def unquote(text: str) -> str:
    """Return a percent-encoded path as text; ``urllib.parse`` would cost 3 ms to import."""
    return ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), text.encode("latin-1")).decode("utf-8", "replace")


def query_of(target: str) -> dict[str, str]:
    """Return the query of a request's target."""
    pairs = (part.partition("=") for part in target.partition("?")[2].split("&"))
    return {unquote(name): unquote(value.replace("+", " ")) for name, _, value in pairs}


def is_spoolable(method: str, path: str) -> bool:
    """Return whether a call of this kind may be kept for later; whose run it is decides then."""
    return (method == "POST" and path in CHECKS) or (method == "PUT" and path.startswith(ARTIFACTS))


def read_message(content: bytes) -> dict[str, Any]:
    """Return a JSON body that is an object, or refuse it."""
    try:
        message = json.loads(content or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadCall(f"The body is no valid JSON: {error}.") from error
    if not isinstance(message, dict):
        raise BadCall("The body must be a JSON object.")
    return message


def run_of(message: dict[str, Any]) -> str:
    """Return the run a message names; empty where it names none."""
    return str(message.get("run_id") or message.get("run_uuid") or "")


def check(path: str, message: dict[str, Any]) -> None:
    """Refuse a message of another shape than its path wants; raises BadCall."""
    if path != CREATE_RUN and not run_of(message):
        raise BadCall("Missing value for required parameter 'run_id'.")
    CHECKS[path](message)


def check_file(path: str) -> None:
    """Refuse an artifact's path that could leave its root; raises BadCall."""
    parts = path.split("/")
    sizes = [len(part.encode("utf-8", "replace")) for part in parts]
    if (
        any(part in {"", ".", ".."} for part in parts)
        or "\\" in path
        or "\ufffd" in path
        or any(ord(letter) < 32 or ord(letter) == 127 for letter in path)
        or HIDDEN.search(path)
        or max(sizes) > MAX_PART_BYTES
        or sum(sizes) + len(sizes) - 1 > MAX_PATH_BYTES
    ):
        raise BadCall(f"Invalid path: {path[:100]!r}.")


def _key(item: Any) -> str:
    key = item.get("key") if isinstance(item, dict) else None
    if not isinstance(key, str) or not key:
        raise BadCall("Missing value for required parameter 'key'.")
    if len(key) > MAX_KEY or not KEY.fullmatch(key) or any(part in {"", ".", ".."} for part in key.split("/")):
        raise BadCall(f"Invalid value {key[:100]!r} for parameter 'key'.")
    return key


def _whole(item: dict[str, Any], name: str, *, is_required: bool) -> None:
    value = item.get(name)
    if value is None and not is_required:
        return
    is_whole = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    if not is_whole and not (isinstance(value, str) and NUMBER.fullmatch(value)):
        raise BadCall(f"Invalid value for parameter '{name}': it is a whole number.")


def _point(item: Any) -> None:
    _key(item)
    value = item.get("value")
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and value in WORDS):
        raise BadCall("Invalid value for parameter 'value': it is a number.")
    _whole(item, "timestamp", is_required=True)
    _whole(item, "step", is_required=False)


def _pair(item: Any) -> None:
    _key(item)
    if not isinstance(item.get("value") or "", str):
        raise BadCall("Invalid value for parameter 'value': it is a text.")


def _batch(message: dict[str, Any]) -> None:
    total = 0
    for name, most in MAX_BATCH.items():
        items = message.get(name) or []
        if not isinstance(items, list) or len(items) > most:
            raise BadCall(f"A batch has at most {most} {name}.")
        total += len(items)
        for item in items:
            (_point if name == "metrics" else _pair)(item)
    if total > MAX_IN_ALL:
        raise BadCall(f"A batch has at most {MAX_IN_ALL} metrics, params and tags in all.")
    keys = [item["key"] for item in message.get("params") or ()]
    if len(keys) != len(set(keys)):
        raise BadCall("A param stands twice in one batch.")


def _update(message: dict[str, Any]) -> None:
    status = message.get("status")
    if isinstance(status, int) and not 1 <= status <= 5:
        raise BadCall(f"Invalid value {status!r} for parameter 'status'.")
    _whole(message, "end_time", is_required=False)


def _create(message: dict[str, Any]) -> None:
    _whole(message, "start_time", is_required=False)
    tags = message.get("tags") or []
    if not isinstance(tags, list):
        raise BadCall("Invalid value for parameter 'tags': it is a list.")
    for tag in tags:
        _pair(tag)
    named = {tag["key"]: tag.get("value", "") for tag in tags}.get("mlflow.runName")
    if named and message.get("run_name") not in {None, "", named}:
        raise BadCall("Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values.")


def _inputs(message: dict[str, Any]) -> None:
    if not isinstance(message.get("datasets") or [], list):
        raise BadCall("Invalid value for parameter 'datasets': it is a list.")


def _outputs(message: dict[str, Any]) -> None:
    models = message.get("models")
    if not isinstance(models, list):
        raise BadCall("Missing value for required parameter 'models'.")
    if not all(isinstance(model, dict) and model.get("model_id") for model in models):
        raise BadCall("Missing value for required parameter 'model_id'.")
    for model in models:
        _whole(model, "step", is_required=False)


CHECKS: dict[str, Callable[[dict[str, Any]], None]] = {
    CREATE_RUN: _create,
    UPDATE_RUN: _update,
    LOG_METRIC: _point,
    LOG_BATCH: _batch,
    LOG_PARAM: _pair,
    SET_TAG: _pair,
    LOG_INPUTS: _inputs,
    LOG_OUTPUTS: _outputs,
}
