"""Look at the memory of limited replicas, and end those that hold more than they may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from penstock.compute.limits import LOOK_S, memory_of
from penstock.rules.quantities import read_limits
from penstock.rules.replicas import Key
from penstock.serving.desired import DesiredDeployment
from penstock.serving.fleet import Fleet
from penstock.serving.rounds import go_round


async def watch_memory(
    fleet: Fleet, deployments: Callable[[], Mapping[Key, DesiredDeployment]], changed: asyncio.Event
) -> None:
    """Look every 0.2 s while a deployment has a limit; else sleep until there may be one.

    Parameters
    ----------
    changed : Event
        Set whenever what is wanted may have changed.
    """
    await go_round(partial(_watch_once, fleet, deployments, changed), "a look at the replicas' memory")


async def _watch_once(
    fleet: Fleet, deployments: Callable[[], Mapping[Key, DesiredDeployment]], changed: asyncio.Event
) -> None:
    changed.clear()
    wanted = deployments()
    watched = [(one, one.limits.memory_bytes) for one in fleet.limit(wanted) if one.limits and one.limits.memory_bytes]
    if not watched and not any(read_limits(one.resources).memory_bytes for one in wanted.values()):
        await changed.wait()
        return
    looks = [(one.pid, most) for one, most in watched]
    for (replica, most), held in zip(watched, await asyncio.to_thread(_look, looks), strict=True):
        if held > most:
            fleet.end_for_memory(replica, held)
    await asyncio.sleep(LOOK_S)


def _look(watched: list[tuple[int, int]]) -> list[int]:
    return [memory_of(pid, most) for pid, most in watched]
