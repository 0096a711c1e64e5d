"""Which waiting jobs start now: first come, first served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued job; ``created_at`` in ms and then the name decide the order."""

    name: str
    created_at: int
    slots: int = 1


def place(waiting: Sequence[Waiting], *, free: int, total: int) -> list[str]:
    """Return the names of the jobs to start now, oldest first.

    A job never overtakes an older one that waits for more slots, so none waits for ever. One that wants more slots
    than there are in all gets all of them.

    Parameters
    ----------
    waiting : sequence of Waiting
        The queued jobs of one compute, in any order.
    free, total : int
        Slots not in use, and all slots.
    """
    chosen = []
    for job in sorted(waiting, key=lambda job: (job.created_at, job.name)):
        wanted = min(max(job.slots, 1), max(total, 1))
        if wanted > free:
            break
        free -= wanted
        chosen.append(job.name)
    return chosen
