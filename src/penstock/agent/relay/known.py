"""What the relay can answer by itself while the server is away: what it saw last, and what was written since.

So ``start_run``, ``end_run`` and reading back the job's own run go on. Other questions have no answer here.
"""

from __future__ import annotations

import json
import threading
import time

from penstock.agent.relay.calls import (
    API,
    CREATE_RUN,
    GET_RUN,
    LOG_BATCH,
    LOG_METRIC,
    LOG_OUTPUTS,
    LOG_PARAM,
    SET_TAG,
    UPDATE_RUN,
    BadCall,
    query_of,
    read_message,
    run_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from penstock.agent.assignment import Assignment

VERSION = "/version"
SERVER_INFO = "/api/3.0/mlflow/server-info"
REMEMBERED = (VERSION, SERVER_INFO, f"{API}/experiments/get", f"{API}/experiments/get-by-name")
DEFAULTS = {VERSION: b"3.18.0", SERVER_INFO: b"{}"}
MAX_REMEMBERED = 200
MAX_ANSWER = 1 << 20
NAME_TAG = "mlflow.runName"
STATUSES = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}


class KnownRun:
    """One run: its last known answer in parts, by key."""

    def __init__(self, run: dict[str, Any]) -> None:
        data = run.get("data") or {}
        self.info: dict[str, Any] = dict(run.get("info") or {})
        self.inputs: dict[str, Any] = run.get("inputs") or {}
        self.outputs: list[dict[str, Any]] = list((run.get("outputs") or {}).get("model_outputs") or ())
        self.metrics: dict[str, dict[str, Any]] = {item["key"]: item for item in data.get("metrics") or ()}
        self.params: dict[str, str] = {item["key"]: (item.get("value") or "") for item in data.get("params") or ()}
        self.tags: dict[str, str] = {item["key"]: (item.get("value") or "") for item in data.get("tags") or ()}

    def check_params(self, path: str, message: dict[str, Any]) -> None:
        """Refuse another value for a param that is known; raises BadCall."""
        items = {LOG_PARAM: [message], LOG_BATCH: message.get("params") or []}.get(path, [])
        for item in items:
            known = self.params.get(item["key"])
            if known is not None and known != (item.get("value") or "")[: len(known) if len(known) >= 6000 else None]:
                raise BadCall(
                    f"Changing param values is not allowed. Param with key='{item['key']}' was already logged with "
                    f"value='{known[:200]}' for run ID='{self.info.get('run_id')}'."
                )

    def write(self, path: str, message: dict[str, Any]) -> None:
        """Lay one accepted call over what is known."""
        if path == LOG_METRIC:
            self._point(message)
        elif path == LOG_PARAM:
            self.params[message["key"]] = message.get("value") or ""
        elif path == SET_TAG:
            self._tag(message["key"], (message.get("value") or ""))
        elif path == LOG_BATCH:
            for item in message.get("metrics") or ():
                self._point(item)
            for item in message.get("params") or ():
                self.params[item["key"]] = item.get("value") or ""
            for item in message.get("tags") or ():
                self._tag(item["key"], (item.get("value") or ""))
        elif path == LOG_OUTPUTS:
            sent = [{"model_id": item["model_id"], "step": int(item.get("step") or 0)} for item in message["models"]]
            self.outputs += [item for item in sent if item not in self.outputs]
        elif path == UPDATE_RUN:
            if message.get("status") is not None:
                status = STATUSES.get(str(message["status"]), str(message["status"]))
                if status in STATUSES.values():
                    self.info["status"] = status
            if message.get("end_time"):
                self.info["end_time"] = int(message["end_time"])
            if message.get("run_name"):
                self._tag(NAME_TAG, message["run_name"])

    def shown(self) -> dict[str, Any]:
        """Return the run as the protocol shows it."""
        data: dict[str, Any] = {}
        if self.metrics:
            data["metrics"] = [self.metrics[key] for key in sorted(self.metrics)]
        for name, pairs in (("params", self.params), ("tags", self.tags)):
            if pairs:
                data[name] = [{"key": key, "value": pairs[key]} for key in sorted(pairs)]
        shown = {"info": self.info, "data": data, "inputs": self.inputs}
        return {**shown, "outputs": {"model_outputs": self.outputs}} if self.outputs else shown

    def _tag(self, key: str, value: str) -> None:
        self.tags[key] = value
        if key == NAME_TAG and value:
            self.info["run_name"] = value

    def _point(self, item: dict[str, Any]) -> None:
        value = float(item["value"])
        point = {
            "key": item["key"],
            "value": "NaN" if value != value else min(max(value, -1.7976931348623157e308), 1.7976931348623157e308),
            "timestamp": int(item["timestamp"]),
            "step": int(item.get("step") or 0),
        }
        known = self.metrics.get(item["key"])
        if known is None or _order(point) >= _order(known):
            self.metrics[item["key"]] = point


class Known:
    """What is known of the job's own run, of those it created, and of experiments; for any thread."""

    def __init__(self, assignment: Assignment) -> None:
        environment = assignment.environment
        self._job = assignment.job
        self._experiment = environment.get("MLFLOW_EXPERIMENT_ID", "0")
        self._experiment_name = environment.get("AZUREML_EXPERIMENT_NAME", "Default")
        self._lock = threading.Lock()
        self._answers: dict[str, bytes] = {}
        self._runs = {assignment.job: KnownRun({"info": self._info(assignment.job, assignment.job, 0)})}

    def owns(self, run_id: str) -> bool:
        """Return whether a run is the job's own or one that it created."""
        return run_id in self._runs

    def learn(self, path: str, target: str, content: bytes, answer: bytes) -> None:
        """Remember what the server said to a call, or what was written with it."""
        if target.partition("?")[0] in REMEMBERED:
            with self._lock:
                if len(self._answers) < MAX_REMEMBERED and len(answer) <= MAX_ANSWER:
                    self._answers[target] = answer
            return
        try:
            if path in {GET_RUN, CREATE_RUN}:
                if len(answer) <= MAX_ANSWER:
                    self._learn_run(json.loads(answer)["run"], is_new=path == CREATE_RUN)
            else:
                self.write(path, read_message(content))
        except (ValueError, KeyError, TypeError, AttributeError, BadCall):
            return  # an answer of another shape teaches nothing

    def check(self, path: str, message: dict[str, Any]) -> None:
        """Refuse what the server will refuse for what is known of the run; raises BadCall."""
        with self._lock:
            run = self._runs.get(run_of(message))
            if run is not None:
                run.check_params(path, message)

    def write(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        """Lay an accepted call over what is known and return the answer to it."""
        with self._lock:
            run = self._runs.get(run_of(message))
            if run is None:
                return {}
            run.write(path, message)
            return {"run_info": run.info} if path == UPDATE_RUN else {}

    def create(self, message: dict[str, Any], run_id: str) -> dict[str, Any] | None:
        """Return the answer to the creation of a run with this id; None if it is not for the job's own experiment."""
        if str(message.get("experiment_id") or "0") != self._experiment or len(self._runs) >= MAX_REMEMBERED:
            return None
        tags = {item["key"]: (item.get("value") or "") for item in message.get("tags") or ()}
        name = message.get("run_name") or tags.get(NAME_TAG) or f"run-{run_id[:8]}"
        start = int(message.get("start_time") or time.time_ns() // 1_000_000)
        message.update(run_name=name, start_time=start)
        info = {**self._info(run_id, name, start), "user_id": message.get("user_id", "")}
        pairs = [{"key": key, "value": value} for key, value in {**tags, NAME_TAG: name}.items()]
        run = KnownRun({"info": info, "data": {"tags": pairs}})
        with self._lock:
            self._runs[run_id] = run
        return {"run": run.shown()}

    def forget(self, run_id: str) -> None:
        """Forget a run that could not be kept."""
        with self._lock:
            self._runs.pop(run_id, None)

    def answer(self, path: str, target: str) -> bytes | None:
        """Return the answer to a question, None where it is not known."""
        query = query_of(target)
        with self._lock:
            if path == GET_RUN:
                run = self._runs.get(query.get("run_id") or query.get("run_uuid") or "")
                return None if run is None else json.dumps({"run": run.shown()}).encode("ascii")
            if target in self._answers:
                return self._answers[target]
        if path in DEFAULTS:
            return DEFAULTS[path]
        is_own = path == REMEMBERED[2] and query.get("experiment_id") == self._experiment
        if is_own or (path == REMEMBERED[3] and query.get("experiment_name") == self._experiment_name):
            return json.dumps(
                {
                    "experiment": {
                        "experiment_id": self._experiment,
                        "name": self._experiment_name,
                        "artifact_location": f"mlflow-artifacts:/{self._experiment}",
                        "lifecycle_stage": "active",
                    }
                }
            ).encode("ascii")
        return None

    def _learn_run(self, run: dict[str, Any], *, is_new: bool) -> None:
        run_id = run["info"]["run_id"]
        with self._lock:
            if run_id in self._runs or (is_new and len(self._runs) < MAX_REMEMBERED):
                self._runs[run_id] = KnownRun(run)

    def _info(self, run_id: str, name: str, start: int) -> dict[str, Any]:
        info = {
            "run_id": run_id,
            "run_uuid": run_id,
            "run_name": name,
            "experiment_id": self._experiment,
            "status": "RUNNING",
            "artifact_uri": f"mlflow-artifacts:/{self._experiment}/{run_id}/artifacts",
            "lifecycle_stage": "active",
        }
        return {**info, "start_time": start} if start else info


def _order(point: dict[str, Any]) -> tuple[int, int, float]:
    value = point["value"]
    return int(point.get("step") or 0), int(point.get("timestamp") or 0), 0.0 if value == "NaN" else float(value)
