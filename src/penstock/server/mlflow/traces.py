"""Traces of MLflow's GenAI side: not kept here, and said so in words that its client shows.

501 is not retried by the client, and what logs traces beside training catches it: autologging goes on.
"""

from __future__ import annotations

from penstock.server.mlflow.call import Call
from penstock.server.mlflow.errors import NotHereYetError
from penstock.server.mlflow.wire import Json

_PREFIXES = ("/api/2.0/mlflow/traces", "/api/3.0/mlflow/traces", "/v1/traces", "/api/2.0/otel", "/api/3.0/otel")


def is_trace(path: str) -> bool:
    """Return whether a path belongs to traces."""
    return path.startswith(_PREFIXES)


async def refuse(call: Call) -> Json:
    """Say that traces are not kept."""
    raise NotHereYetError(
        "This server keeps no traces yet",
        hint="Runs, metrics, models and artifacts are kept. `mlflow.tracing.disable()` stops sending traces.",
        ref=call.request.scope["path"],
    )
