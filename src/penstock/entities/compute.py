"""Compute: where jobs run."""

from __future__ import annotations

from penstock.entities.base import Entity


class Compute(Entity):
    """A named target; ``slots`` jobs run on it at the same time."""

    name: str
    type: str = "local"
    state: str = "Succeeded"
    slots: int
    running: int = 0
    queued: int = 0
    cpus: int
    memory_bytes: int
