"""The one way to write an audit event: inside the transaction of the change it records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from penstock.entities.event import Event
from penstock.stores.metadata.events import append_event

MAX_TEXT = 2000


def record_event(
    connection: Connection, actor: str, verb: str, ref: str, *, now: int, detail: Mapping[str, Any] | None = None
) -> Event:
    """Append one event to the hash-chained log of the open transaction.

    Parameters
    ----------
    actor : str
        Who did it; controllers are ``system:<name>``.
    verb : str
        What was done, such as ``create`` or ``cancel``.
    ref : str
        To what, such as ``job:cosy_ant_1``.
    now : int
        Milliseconds UTC.
    detail : mapping
        JSON types; long texts are cut, so a detail never carries a whole spec or log.
    """
    return append_event(connection, actor=actor, verb=verb, ref=ref, detail=_bounded(dict(detail or {})), now=now)


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "…"
    if isinstance(value, Mapping):
        return {str(key): _bounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_bounded(item) for item in value]
    return value
