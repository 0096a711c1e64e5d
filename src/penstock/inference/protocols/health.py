"""Doors that say whether something answers and who it is; none needs the model, so a gateway answers them itself."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.inference.protocols.paths import Asked, Door
from penstock.inference.runtimes.base import ScoreResponse
from penstock.version import __version__

SERVER = {"name": "penstock", "version": __version__, "extensions": ["binary_tensor_data", "classification"]}


def answer_health(asked: Asked, *, is_ready: bool) -> ScoreResponse:
    """Answer one of ``paths.HEALTH_DOORS``; what is not ready is 503."""
    door = asked.door
    if door is Door.VERSION:
        return ScoreResponse(__version__.encode())
    if door is Door.SERVER:
        return _json(SERVER)
    if door is Door.LIVE:
        return _json({"live": True})
    status = 200 if is_ready else 503
    if door is Door.READY:
        return _json({"ready": is_ready}, status)
    if door is Door.MODEL_READY:
        return _json({"name": asked.model, "ready": is_ready}, status)
    if door is Door.PING:
        return ScoreResponse(b"\n", status=status)
    return ScoreResponse(b"Healthy" if is_ready else b"Not ready", "text/html; charset=utf-8", status)


def _json(value: Any, status: int = 200) -> ScoreResponse:
    return ScoreResponse(msgspec.json.encode(value), status=status)
