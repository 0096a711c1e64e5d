"""The audit log's entries."""

from __future__ import annotations

from typing import Any

from penstock.entities.base import Entity, TimestampMs


class Event(Entity):
    """Who did what to which thing, when; ``hash`` chains to the entry before.

    ``hash`` is the SHA-256 of the previous entry's hash and this entry's canonical JSON.
    """

    seq: int
    at: TimestampMs
    actor: str
    verb: str
    ref: str
    detail: dict[str, Any]
    previous_hash: str
    hash: str
