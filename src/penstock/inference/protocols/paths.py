"""Which path below an endpoint is which door, and which protocol it belongs to; no numpy, so a gateway can ask.

Paths are relative to the endpoint: ``/score``, ``/v2/models/digits/infer``, with no slash at the end but for ``/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Door(StrEnum):
    """What a path asks for."""

    SCORE = "score"
    HEALTHY = "healthy"
    SWAGGER = "swagger"
    OPENAPI = "openapi"
    INVOCATIONS = "invocations"
    PING = "ping"
    VERSION = "version"
    SERVER = "server"
    LIVE = "live"
    READY = "ready"
    MODEL = "model"
    MODEL_READY = "model-ready"
    INFER = "infer"


@dataclass(frozen=True, slots=True)
class Asked:
    """A door, and the model's name and version where the path has them."""

    door: Door
    model: str = ""
    version: str = ""


AZURE, MLFLOW, OPEN_INFERENCE = "Azure ML", "MLflow", "Open Inference Protocol v2"
SHOWN: Mapping[str, str] = {
    AZURE: "/score, /, /swagger.json, /openapi.json",
    MLFLOW: "/invocations, /ping, /health, /version",
    OPEN_INFERENCE: "/v2, /v2/health/live, /v2/health/ready, /v2/models/<name>, /v2/models/<name>/infer",
}
"""Each protocol and its paths, as they are told to people."""

_AZURE_DOORS = frozenset({Door.SCORE, Door.HEALTHY, Door.SWAGGER, Door.OPENAPI})
DOORS: Mapping[str, frozenset[Door]] = {
    "script": _AZURE_DOORS,
    "mlflow": frozenset({*_AZURE_DOORS, Door.INVOCATIONS, Door.PING, Door.VERSION}),
}
"""What the runtimes answer that do not answer everything: a script reads bodies as it likes, pyfunc takes tables."""
SCORING_DOORS = frozenset({Door.SCORE, Door.INVOCATIONS, Door.INFER})
"""Doors behind which the model runs, and which the traffic split is for."""
HEALTH_DOORS = frozenset({Door.HEALTHY, Door.PING, Door.VERSION, Door.SERVER, Door.LIVE, Door.READY, Door.MODEL_READY})
"""Doors that a host answers for a model without code: none of it depends on the model."""

_GET = ("GET", "HEAD")
_POST = ("POST",)
_FIXED = {
    "/score": Door.SCORE,
    "/": Door.HEALTHY,
    "/swagger.json": Door.SWAGGER,
    "/openapi.json": Door.OPENAPI,
    "/invocations": Door.INVOCATIONS,
    "/ping": Door.PING,
    "/health": Door.PING,
    "/version": Door.VERSION,
    "/v2": Door.SERVER,
    "/v2/health/live": Door.LIVE,
    "/v2/health/ready": Door.READY,
}
_OF_MODEL = {(): Door.MODEL, ("ready",): Door.MODEL_READY, ("infer",): Door.INFER}
_ASKED = {path: Asked(door) for path, door in _FIXED.items()}


def parse_path(path: str) -> Asked | None:
    """Return which door a path is, None where there is none."""
    found = _ASKED.get(path)
    if found is not None:
        return found
    parts = path.split("/")
    if parts[:3] != ["", "v2", "models"] or len(parts) < 4 or not parts[3]:
        return None
    version, rest = "", tuple(parts[4:])
    if len(rest) > 1 and rest[0] == "versions" and rest[1]:
        version, rest = rest[1], rest[2:]
    door = _OF_MODEL.get(rest)
    return None if door is None else Asked(door, parts[3], version)


def methods_of(door: Door) -> tuple[str, ...]:
    """Return the methods a door takes; ``OPTIONS`` tells them."""
    if door is Door.SCORE:
        return ("GET", "POST")
    return _POST if door in SCORING_DOORS else _GET


def speaks(runtime: str, door: Door) -> bool:
    """Return whether a runtime answers at a door."""
    return runtime not in DOORS or door in DOORS[runtime]


def protocols_of(runtime: str = "onnx") -> str:
    """Return a sentence that says what deployments of a runtime speak."""
    if runtime == "script":
        return f"It runs a score.py, which speaks {AZURE}: {SHOWN[AZURE]}."
    if runtime == "mlflow":
        return f"It runs a model of MLflow's, which speaks {MLFLOW}: {SHOWN[MLFLOW]}; {AZURE}: {SHOWN[AZURE]}."
    return "It speaks " + "; ".join(f"{name}: {paths}" for name, paths in SHOWN.items()) + "."


def problem_fields(path: str, message: str) -> dict[str, str]:
    """Return what the clients of a path's protocol look for in the body of a failure."""
    if path == "/v2" or path.startswith("/v2/"):
        return {"error": message}
    if path == "/invocations":
        return {"error_code": "BAD_REQUEST", "message": message}
    return {"message": message}
