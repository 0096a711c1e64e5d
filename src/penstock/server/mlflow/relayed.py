"""What an agent's relay took from an MLflow client while this server was away: applied in order, each call once.

The calls run through the same handlers as if they had come by themselves, so they mean the same. All calls of one
delivery share a transaction with the attempt's ``relay_seq``: what comes again after a lost answer is passed over. A
call that is refused is told to the agent, and does not hold up those behind it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from starlette.requests import Request

from penstock.access.actors import Actor
from penstock.entities.errors import PenstockError, UsageError
from penstock.jobs.attempts import check_content
from penstock.server.mlflow import ingest, inputs, logged_model_records, logged_models, runs
from penstock.server.mlflow.artifacts import keep_upload
from penstock.server.mlflow.call import Call
from penstock.server.mlflow.errors import error_response
from penstock.server.mlflow.routes import ARTIFACTS
from penstock.server.mlflow.wire import Json, StructT, read_body
from penstock.server.services import Services
from penstock.stores.metadata import attempts

logger = logging.getLogger(__name__)
T = TypeVar("T")

API = "/api/2.0/mlflow"
CREATE_RUN = f"{API}/runs/create"
OVER = 1 << 62
HANDLERS: dict[str, Callable[[Call], Coroutine[Any, Any, Json]]] = {
    CREATE_RUN: runs.create_run,
    f"{API}/runs/update": runs.update_run,
    f"{API}/runs/log-metric": ingest.log_metric,
    f"{API}/runs/log-batch": ingest.log_batch,
    f"{API}/runs/log-parameter": ingest.log_parameter,
    f"{API}/runs/set-tag": ingest.set_tag,
    f"{API}/runs/log-inputs": inputs.log_inputs,
    f"{API}/runs/outputs": inputs.log_outputs,
    logged_model_records.PREFIX: logged_models.create_model,
}


def apply_relayed(services: Services, actor: Actor, request: Request, attempt_id: str, payload: Json) -> Json:
    """Apply what was spooled and answer how far the store came.

    Parameters
    ----------
    payload : dict
        ``calls``: each with ``seq`` (rising), ``path``, and ``body`` (JSON text), or ``digest`` and ``size`` of a blob
        that this attempt sent already, for a file; the size that counts is the blob's own. A ``runs/create`` names
        the id that the relay promised as ``run_id``.

    Returns
    -------
    dict
        ``relay_seq``, the last call that counts now; ``refused``, a list of ``seq`` and ``error``; ``missing``, the
        digests that must be sent first (then nothing was applied).
    """
    calls = _read_calls(payload)
    with services.store.read() as connection:
        attempt = attempts.get_attempt(connection, attempt_id)
    if attempt.state.is_final:
        return {"relay_seq": OVER, "refused": [], "missing": []}
    wanted = [item["digest"] for item in calls if "digest" in item and item["seq"] > attempt.relay_seq]
    missing = services.attempts.missing(attempt, wanted)
    if missing:
        return {"relay_seq": attempt.relay_seq, "refused": [], "missing": missing}
    touched: set[str] = set()

    def operation(connection: Connection) -> Json:
        done = attempts.get_attempt(connection, attempt_id).relay_seq
        refused: list[Json] = []
        for item in calls:
            if item["seq"] <= done:
                continue
            call = _Relayed(services, actor, request, connection, item, touched)
            error = _try(connection, call)
            if error:
                refused.append({"seq": item["seq"], "error": error})
            done = item["seq"]
        attempts.update_attempt(connection, attempt_id, relay_seq=done)
        return {"relay_seq": done, "refused": refused, "missing": []}

    answer = services.store.write(operation)
    for run_id in touched:
        services.feed.notify(f"job:{run_id}")
    return answer


@dataclass(frozen=True, slots=True)
class _Relayed(Call):
    """A spooled call inside the open transaction: nothing here waits, so its handler runs to its end at once."""

    connection: Connection
    item: Json
    touched: set[str]

    async def read(self, kind: type[StructT]) -> StructT:
        return read_body(kind, self.item["body"].encode("utf-8", "replace"))

    async def write(self, operation: Callable[[Connection], T]) -> T:
        return operation(self.connection)

    async def ask(self, question: Callable[[Connection], T]) -> T:
        return question(self.connection)

    def promised_model(self) -> str:
        return str(self.item.get("model_id"))

    def promised_run(self) -> str:
        return str(self.item.get("run_id"))

    def check_alive(self, connection: Connection) -> None:
        """Let it pass: an agent delivers what its command logged while the attempt had not ended."""

    def changed(self, run_id: str) -> None:
        self.touched.add(run_id)


def _try(connection: Connection, call: _Relayed) -> str:
    """Apply one call and return why it was refused, empty if it was not; raises what may pass by itself."""
    try:
        with connection.begin_nested():
            _finish(_handle(call))
    except PenstockError as error:
        if error_response(error).status_code > 500:
            raise
        return error.message
    except (DataError, IntegrityError) as error:
        return f"The store does not take it: {error.orig}."
    except DBAPIError:
        raise
    except Exception:
        logger.exception("a relayed call failed: %s", call.item["path"], extra={"run_id": call.actor.job_name})
        return "The server has a defect here; its log says more."
    return ""


def _handle(call: _Relayed) -> Coroutine[Any, Any, Any]:
    item, path = call.item, call.item["path"]
    if "digest" in item:
        if not path.startswith(f"{ARTIFACTS}/"):
            raise UsageError(f"{path} takes no file")
        size = call.services.blobs.size(item["digest"])
        return keep_upload(call, path.removeprefix(f"{ARTIFACTS}/"), item["digest"], size)
    if path.startswith(f"{logged_model_records.PREFIX}/"):
        return _change_model(call, path)
    if path not in HANDLERS:
        raise UsageError(f"{path} cannot be relayed")
    return HANDLERS[path](call)


def _change_model(call: _Relayed, path: str) -> Coroutine[Any, Any, Json]:
    """Run what answers a path that names a logged model; which of the changes it is, its end says."""
    method = "POST" if path.endswith("/params") else "PATCH"
    handler = logged_model_records.find_handler(method, path)
    if handler is None:
        raise UsageError(f"{path} cannot be relayed")
    scope = {**call.request.scope, "method": method, "path": path}
    return cast(Coroutine[Any, Any, Json], handler(replace(call, request=Request(scope))))


def _finish(handler: Coroutine[Any, Any, T]) -> T:
    """Run a handler that never waits, here and now, inside the writer's transaction."""
    try:
        handler.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    handler.close()
    raise RuntimeError("a relayed handler waited for something")


def _read_calls(payload: Json) -> list[Json]:
    calls = payload.get("calls")
    if not isinstance(calls, list) or not all(isinstance(item, dict) for item in calls):
        raise UsageError("calls must be a list of objects")
    for item in calls:
        seq = item.get("seq")
        if not isinstance(seq, int) or isinstance(seq, bool) or not 0 <= seq < OVER:
            raise UsageError("a relayed call has a seq")
        if not isinstance(item.get("path"), str):
            raise UsageError("a relayed call has a path")
        if "digest" in item:
            check_content(item)
        elif not isinstance(item.get("body"), str):
            raise UsageError("a relayed call has a body")
    return calls
