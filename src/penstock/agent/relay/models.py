"""The logged models of one job, as far as its relay made or promised them: what ``log_model`` asks in an outage.

A model that the relay promises has its id from here; the server creates it under that id when the call is delivered.
"""

from __future__ import annotations

import json
import re
import threading
import time

from penstock.agent.relay.calls import API, BadCall, unquote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MODELS = f"{API}/logged-models"
SEARCH = f"{MODELS}/search"
MAX_MODELS = 1000
BAD_IN_NAME = "/:.%\"'"
STATUSES = {
    "1": "LOGGED_MODEL_PENDING",
    "2": "LOGGED_MODEL_READY",
    "3": "LOGGED_MODEL_UPLOAD_FAILED",
}
MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
BY_NAME = re.compile(r"\s*(?:attributes\.)?name\s*=\s*'([^'\\]*)'\s*")
CHANGES = {("PATCH", ""), ("POST", "params"), ("PATCH", "tags")}


def is_change(method: str, path: str) -> bool:
    """Return whether a call creates or changes a logged model, in a way that can be kept for later."""
    if path == MODELS:
        return method == "POST"
    if not path.startswith(f"{MODELS}/") or path == SEARCH:
        return False
    model_id, _, rest = path[len(MODELS) + 1 :].partition("/")
    return (method, rest) in CHANGES and MODEL_ID.fullmatch(model_id) is not None


def model_of(path: str) -> str:
    """Return the model that a path below ``logged-models`` names."""
    return path[len(MODELS) + 1 :].partition("/")[0]


class Models:
    """What is known of the job's logged models; for any thread.

    Parameters
    ----------
    experiment : str
        The job's own, in which models may be promised.
    owns : callable
        Whether a run is the job's own or one that it created.
    is_whole : bool
        Whether every model of the job passes this relay: in its first attempt.
    """

    def __init__(self, experiment: str, owns: Callable[[str], bool], *, is_whole: bool = False) -> None:
        self._experiment = experiment
        self._owns_run = owns
        self._is_whole = is_whole
        self._lock = threading.Lock()
        self._models: dict[str, dict[str, Any]] = {}

    def owns(self, model_id: str) -> bool:
        """Return whether the job made a model through this relay."""
        return model_id in self._models

    def create(self, message: dict[str, Any], model_id: str) -> dict[str, Any] | None:
        """Promise a new model and return it as the protocol shows it; None if it is not one of this job.

        Raises
        ------
        BadCall
            If the server would refuse it.
        """
        name = message.get("name") or ""
        if not isinstance(name, str) or any(letter in BAD_IN_NAME for letter in name):
            raise BadCall(f"Invalid model name ({str(name)[:100]!r}) provided.")
        run_id = str(message.get("source_run_id") or "")
        is_ours = str(message.get("experiment_id") or "") == self._experiment and (not run_id or self._owns_run(run_id))
        if not is_ours or len(self._models) >= MAX_MODELS:
            return None
        params, tags = _pairs(message, "params"), _pairs(message, "tags")
        now = time.time_ns() // 1_000_000
        message["name"] = name or f"model-{model_id[2:10]}"
        model = {
            "model_id": model_id,
            "experiment_id": self._experiment,
            "name": message["name"],
            "creation_timestamp_ms": now,
            "last_updated_timestamp_ms": now,
            "artifact_uri": f"mlflow-artifacts:/{self._experiment}/models/{model_id}/artifacts",
            "status": STATUSES["1"],
            "model_type": str(message.get("model_type") or ""),
            "source_run_id": run_id,
        }
        with self._lock:
            self._models[model_id] = {"info": model, "params": params, "tags": tags}
            return {"model": self._shown(model_id)}

    def forget(self, model_id: str) -> None:
        """Forget a model that could not be kept."""
        with self._lock:
            self._models.pop(model_id, None)

    def remove(self, path: str) -> None:
        """Forget the model, or the tag of one, that the server deleted."""
        model_id, _, rest = path[len(MODELS) + 1 :].partition("/")
        with self._lock:
            if not rest:
                self._models.pop(model_id, None)
            elif rest.startswith("tags/") and model_id in self._models:
                self._models[model_id]["tags"].pop(rest.removeprefix("tags/"), None)

    def check(self, path: str, message: dict[str, Any]) -> None:
        """Refuse a change that the server would refuse; raises BadCall."""
        rest = path[len(MODELS) + 1 :].partition("/")[2]
        if not rest:
            _status(message)
            return
        pairs = _pairs(message, rest)
        with self._lock:
            known = self._models[model_of(path)]["params"] if rest == "params" else {}
            for key, value in pairs.items():
                if known.get(key, value) != value:
                    raise BadCall(
                        f"Changing param values is not allowed. Param with key='{key}' was already logged with "
                        f"value='{known[key][:200]}' for the logged model {model_of(path)}."
                    )

    def write(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        """Lay an accepted change over what is known and return the answer to it."""
        model_id, _, rest = path[len(MODELS) + 1 :].partition("/")
        with self._lock:
            model = self._models.get(model_id)
            if model is None:
                return {}
            if rest:
                model[rest].update(_pairs(message, rest))
                return {}
            model["info"]["status"] = _status(message)
            model["info"]["last_updated_timestamp_ms"] = time.time_ns() // 1_000_000
            return {"model": self._shown(model_id)}

    def learn(self, path: str, message: dict[str, Any], answer: bytes) -> str:
        """Remember what the server did; return the id of a model that it created."""
        if path != MODELS:
            self.write(path, message)
            return ""
        model = json.loads(answer)["model"]
        info, data = dict(model["info"]), model.get("data") or {}
        with self._lock:
            if len(self._models) >= MAX_MODELS:
                return ""
            self._models[info["model_id"]] = {
                "tags": _pairs({"tags": info.pop("tags", [])}, "tags"),
                "params": _pairs(data, "params"),
                "info": info,
            }
        return str(info["model_id"])

    def answer(self, method: str, path: str, content: bytes) -> dict[str, Any] | None:
        """Return the answer to a question about models, None where it is not known.

        A search is answered where it asks for a name, with models of this job alone: a client resolves ``runs:/…`` by
        it, also of a plain file, and has asked for the run before, which must be one of this job, too.
        """
        if method == "GET" and path.startswith(f"{MODELS}/"):
            with self._lock:
                model_id = unquote(path[len(MODELS) + 1 :])
                return {"model": self._shown(model_id)} if model_id in self._models else None
        if method != "POST" or path != SEARCH:
            return None
        message = json.loads(content or b"{}")
        named = BY_NAME.fullmatch(str(message.get("filter") or ""))
        others = message.get("datasets") or message.get("order_by") or message.get("page_token")
        if named is None or others or message.get("experiment_ids") != [self._experiment]:
            return None
        with self._lock:
            found = [key for key, model in self._models.items() if model["info"]["name"] == named[1]]
            if not found:
                return {} if self._is_whole else None
            return {"models": [self._shown(key) for key in reversed(found)]}

    def _shown(self, model_id: str) -> dict[str, Any]:
        model = self._models[model_id]
        info: dict[str, Any] = dict(model["info"])
        data: dict[str, Any] = {}
        for name, member in (("tags", info), ("params", data)):
            if model[name]:
                member[name] = [{"key": key, "value": model[name][key]} for key in sorted(model[name])]
        return {"info": info, "data": data}


def _status(message: dict[str, Any]) -> str:
    status = str(message.get("status") or "")
    status = STATUSES.get(status, status)
    if status not in STATUSES.values():
        raise BadCall(f"Invalid value {status[:100]!r} for parameter 'status'.")
    return status


def _pairs(message: dict[str, Any], name: str) -> dict[str, str]:
    items = message.get(name) or []
    if not isinstance(items, list):
        raise BadCall(f"Invalid value for parameter '{name}': it is a list.")
    found: dict[str, str] = {}
    for item in items:
        key, value = (item.get("key"), item.get("value") or "") if isinstance(item, dict) else (None, "")
        if not isinstance(key, str) or not key or not isinstance(value, str):
            raise BadCall(f"Invalid value for parameter '{name}': each has a key and a value of text.")
        found[key] = value
    return found
