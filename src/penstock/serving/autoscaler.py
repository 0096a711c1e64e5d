"""Counts a few times a second what scaled deployments have to do, and says how many instances they should have.

The rule decides (``rules/scaling.py``). A queue that is half full, or a request that finds no instance at all, is seen
at once: the next instance must be there before the queue overflows.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from penstock.compute.limits import most_threads
from penstock.rules.quantities import read_limits
from penstock.rules.replicas import Key
from penstock.rules.scaling import ScaleLimits, ScaleState, first_state, scale
from penstock.serving.backend import Backend
from penstock.serving.desired import DesiredDeployment, Scaling
from penstock.serving.rounds import go_round

logger = logging.getLogger(__name__)

SAMPLES = 5
"""Looks per polling interval; what counts is their mean."""


@dataclass(slots=True)
class _Scaled:
    backend: Backend
    scaling: Scaling
    limits: ScaleLimits
    revision: int
    state: ScaleState
    demand_sum: float = 0.0
    samples: int = 0


class Autoscaler:
    """The instances of scaled deployments; on the event loop only.

    Parameters
    ----------
    on_change : callable
        Called when another number of instances is wanted.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._scaled: dict[Key, _Scaled] = {}
        self._has_followed = asyncio.Event()

    def follow(
        self,
        deployments: Mapping[Key, DesiredDeployment],
        backends: Mapping[Key, Backend],
        running: Callable[[Key], int],
    ) -> None:
        """Take what the server wants; ``running`` says how many instances a deployment has now."""
        for key in self._scaled.keys() - deployments.keys():
            del self._scaled[key]
        for key, deployment in deployments.items():
            scaling = deployment.scaling
            if scaling is None:
                self._scaled.pop(key, None)
                continue
            limits = scale_limits(deployment, scaling)
            known = self._scaled.get(key)
            if known is not None and known.revision == deployment.revision:
                continue
            state = first_state(limits, running(key))
            self._scaled[key] = _Scaled(backends[key], scaling, limits, deployment.revision, state)
        self._has_followed.set()

    def instances(self, key: Key, deployment: DesiredDeployment) -> int:
        """Return how many instances a deployment should have now."""
        scaled = self._scaled.get(key)
        return deployment.instance_count if scaled is None else scaled.state.instances

    def press(self, key: Key) -> None:
        """Look at once: requests pile up."""
        scaled = self._scaled.get(key)
        if scaled is not None:
            self._scale(key, scaled, scaled.backend.demand)

    async def run(self) -> None:
        """Look again and again, as long as something is scaled."""
        await go_round(self._look, "a look at what is scaled")

    async def _look(self) -> None:
        self._has_followed.clear()
        pause_s = min((one.scaling.polling_interval / SAMPLES for one in self._scaled.values()), default=None)
        try:
            await asyncio.wait_for(self._has_followed.wait(), pause_s)
        except TimeoutError:
            self._sample()

    def _sample(self) -> None:
        for key, scaled in self._scaled.items():
            scaled.demand_sum += scaled.backend.demand
            scaled.samples += 1
            if scaled.samples >= SAMPLES:
                mean = scaled.demand_sum / scaled.samples
                scaled.demand_sum, scaled.samples = 0.0, 0
                self._scale(key, scaled, mean)

    def _scale(self, key: Key, scaled: _Scaled, demand: float) -> None:
        before = scaled.state.instances
        scaled.state = scale(scaled.limits, scaled.state, demand, now=int(time.monotonic() * 1000))
        if scaled.state.instances != before:
            logger.info("%s/%s: %s instances instead of %s", *key, scaled.state.instances, before)
            self._on_change()


def scale_limits(deployment: DesiredDeployment, scaling: Scaling) -> ScaleLimits:
    """Return the bounds of a deployment's instances, and how many requests each takes at once."""
    slots = deployment.request_settings.max_concurrent_requests_per_instance
    if deployment.is_onnx:
        slots = min(slots, most_threads(read_limits(deployment.resources)))
    return ScaleLimits(
        scaling.min_instances,
        scaling.max_instances,
        slots,
        scaling.target_utilization_percentage / 100.0,
        int(scaling.scale_down_delay * 1000),
    )
