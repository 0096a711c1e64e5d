"""What the page of counts says of each deployment now; read when the page is asked for, and not before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from penstock.rules.replicas import Key, ReplicaState, Seen
from penstock.serving.backend import Backend
from penstock.serving.metrics import Gauges
from penstock.serving.steering import Steering


def read_gauges(
    backends: Mapping[Key, Backend],
    seen: Iterable[Seen],
    steerings: Mapping[str, Steering],
    ended: Mapping[tuple[Key, str], int],
) -> Iterator[Gauges]:
    """Yield the gauges of every deployment.

    Parameters
    ----------
    seen : iterable of Seen
        All replicas.
    ended : mapping
        (deployment, why) to how many replicas ended unasked.
    """
    states: Counter[tuple[Key, ReplicaState]] = Counter((one.key, one.state) for one in seen)
    for key, backend in sorted(backends.items()):
        endpoint, name = key
        steering = steerings.get(endpoint)
        mirror = None if steering is None else steering.mirror
        mirrored: dict[str, int] = {}
        if mirror is not None and mirror.to == name:
            counts = mirror.tally.counts()
            mirrored = {
                "answered": counts.requests - counts.failures,
                "failed": counts.failures,
                "dropped": mirror.tally.dropped,
            }
        yield Gauges(
            endpoint,
            name,
            waiting=backend.waiting if backend.is_ready else 0,
            in_flight=backend.in_flight,
            held=0 if backend.is_ready else backend.waiting,
            replicas={state.value: states[key, state] for state in ReplicaState},
            batches=backend.batches,
            ended={why: count for (owner, why), count in ended.items() if owner == key},
            traffic=0 if steering is None else steering.traffic.get(name, 0),
            mirrored=mirrored,
        )
