"""How many instances a deployment should have: up at once, down only when fewer would have done for a while.

Pure: the load comes in, the next state comes out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from penstock.entities.errors import Problem


@dataclass(frozen=True, slots=True)
class ScaleLimits:
    """Between what, and for what, instances are counted.

    Parameters
    ----------
    min_instances, max_instances : int
        The bounds; none at all where ``min_instances`` is 0 and nothing is asked.
    slots : int
        Requests that one instance works on at the same time.
    target : float
        Share of all slots that should be busy, in (0, 1].
    delay_ms : int
        For so long fewer instances must have done before one is ended.
    """

    min_instances: int
    max_instances: int
    slots: int
    target: float
    delay_ms: int


@dataclass(frozen=True, slots=True)
class ScaleState:
    """How many instances there should be, since when fewer do, and the most that were needed since."""

    instances: int
    fewer_since: int | None = None
    most_since: int = 0


def needed(limits: ScaleLimits, demand: float) -> int:
    """Return how many instances keep the share of busy slots at or below the target.

    Parameters
    ----------
    demand : float
        Requests in replicas and in the queue.
    """
    wanted = math.ceil(demand / (limits.slots * limits.target) - 1e-9)
    return max(limits.min_instances, min(limits.max_instances, wanted))


def scale(limits: ScaleLimits, state: ScaleState, demand: float, *, now: int) -> ScaleState:
    """Return the next state.

    Parameters
    ----------
    now : int
        Time in ms, of any clock that does not go back.
    """
    need = needed(limits, demand)
    if need >= state.instances:
        return ScaleState(need)
    if state.instances > limits.max_instances:
        return ScaleState(limits.max_instances)
    if state.fewer_since is None:
        state = ScaleState(state.instances, now, need)
    most = max(state.most_since, need)
    if now - (state.fewer_since or 0) < limits.delay_ms:
        return ScaleState(state.instances, state.fewer_since, most)
    return ScaleState(most)


def first_state(limits: ScaleLimits, running: int) -> ScaleState:
    """Return the state of a new revision, or of a gateway that has just started: one instance at least.

    So every revision is loaded once, and what cannot load is known before a request needs it.
    """
    return ScaleState(min(limits.max_instances, max(1, limits.min_instances, running)))


def check_scaling(min_instances: int, max_instances: int, pointer: str = "/scale_settings") -> list[Problem]:
    """Return what is wrong with the bounds."""
    if min_instances <= max_instances:
        return []
    hint = f"Set max_instances to {min_instances} or more."
    return [Problem(f"min_instances {min_instances} is above max_instances {max_instances}", pointer, hint)]
