"""What to do about replicas: wanted deployments and running replicas in, next actions out.

Pure: the gateway's control loop loads what it sees, asks :func:`decide`, applies the answer and looks again. It
may be killed between any two actions; the next look leads to the same end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

MAX_LOSSES_WHILE_LOADING = 3
RESTART_DELAYS_MS = (0, 500, 1_000, 2_000, 5_000, 10_000, 30_000)
STEADY_MS = 60_000

Key = tuple[str, str]
"""(endpoint, deployment)."""


class ReplicaState(StrEnum):
    """Where a replica is; a draining one gets no new requests."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A deployment as it should be; ``fingerprint`` names everything a replica is started with."""

    key: Key
    revision: int
    fingerprint: str
    instances: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A replica as it is; ``since`` is when it came into its state, in ms.

    ``is_inline`` says that it is a model within the gateway, which takes the place of a replica's process.
    """

    replica_id: str
    key: Key
    fingerprint: str
    state: ReplicaState
    since: int
    in_flight: int = 0
    message: str = ""
    is_inline: bool = False


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong with one fingerprint of a deployment so far.

    ``is_fatal``: it cannot be loaded, so it is not tried again before the deployment is changed.
    ``shortages``: how often in a row the machine lacked something to start it.
    """

    losses: int = 0
    shortages: int = 0
    not_before: int = 0
    is_fatal: bool = False
    was_ready: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the server is told about a revision: it is ``ready`` or ``failed``."""

    key: Key
    revision: int
    is_ready: bool
    message: str = ""


@dataclass(slots=True)
class Decision:
    """The next actions, to be applied in the order of the fields.

    ``routes`` holds, for every wanted deployment, all replicas that get its requests from now on.
    """

    routes: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    drains: list[str] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    starts: list[Wanted] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    look_again_at: int | None = None


def decide(
    wanted: Iterable[Wanted],
    seen: Sequence[Seen],
    troubles: Mapping[tuple[Key, str], Trouble],
    *,
    now: int,
    start_timeout_ms: int,
    drain_timeout_ms: int,
) -> Decision:
    """Return the next actions.

    A new fingerprint is started beside the old one; requests move over once as many replicas as wanted are ready
    (or any, where no old one is), and only then the old ones drain. Whatever is not wanted drains too. A draining
    replica is stopped when it has no request in flight, or after ``drain_timeout_ms``.

    Parameters
    ----------
    wanted : iterable of Wanted
        Each key once.
    seen : sequence of Seen
        Every running replica.
    troubles : mapping
        (key, fingerprint) to what went wrong so far.
    now : int
        Time in ms, of the same clock as ``Seen.since`` and ``Trouble.not_before``.
    """
    decision = Decision()
    by_key = {target.key: target for target in wanted}
    for target in by_key.values():
        mine = [replica for replica in seen if replica.key == target.key]
        _decide_one(decision, target, mine, troubles.get((target.key, target.fingerprint), Trouble()), now)
    for replica in seen:
        if replica.key not in by_key and replica.state is not ReplicaState.DRAINING:
            decision.drains.append(replica.replica_id)
        if replica.state is ReplicaState.DRAINING:
            if replica.in_flight == 0 or now - replica.since >= drain_timeout_ms:
                decision.stops.append(replica.replica_id)
            else:
                _look_again(decision, replica.since + drain_timeout_ms)
        elif replica.state is ReplicaState.STARTING:
            if now - replica.since >= start_timeout_ms:
                decision.stops.append(replica.replica_id)
            else:
                _look_again(decision, replica.since + start_timeout_ms)
        elif replica.state is ReplicaState.FAILED:
            decision.stops.append(replica.replica_id)
    return decision


def _decide_one(decision: Decision, target: Wanted, mine: list[Seen], trouble: Trouble, now: int) -> None:
    current = [r for r in mine if r.fingerprint == target.fingerprint]
    ready = [r for r in current if r.state is ReplicaState.READY]
    ready.sort(key=lambda r: not r.is_inline)  # of too many, those at the end go
    starting = [r for r in current if r.state is ReplicaState.STARTING]
    old_ready = [r for r in mine if r.fingerprint != target.fingerprint and r.state is ReplicaState.READY]
    surplus = len(ready) + len(starting) - target.instances
    dropped = [*reversed(starting), *reversed(ready)][:surplus] if surplus > 0 else []
    decision.drains.extend(r.replica_id for r in dropped)
    ready = [r for r in ready if r not in dropped]
    is_switched = len(ready) >= target.instances or (bool(ready) and not old_ready)
    decision.routes[target.key] = tuple(r.replica_id for r in (ready if is_switched else old_ready))
    if is_switched:
        decision.drains.extend(r.replica_id for r in old_ready)
    for replica in mine:
        if replica.fingerprint != target.fingerprint and replica.state is ReplicaState.STARTING:
            decision.drains.append(replica.replica_id)
    if len(ready) >= target.instances:
        decision.verdicts.append(Verdict(target.key, target.revision, is_ready=True))
    elif trouble.is_fatal:
        decision.verdicts.append(Verdict(target.key, target.revision, is_ready=False, message=trouble.message))
    elif surplus < 0:
        if now >= trouble.not_before:
            decision.starts.extend([target] * -surplus)
        else:
            _look_again(decision, trouble.not_before)


def _look_again(decision: Decision, at: int) -> None:
    decision.look_again_at = at if decision.look_again_at is None else min(at, decision.look_again_at)


def after_ready(trouble: Trouble) -> Trouble:
    """Return the record once a replica was ready: later trouble is a loss, not a model that cannot load."""
    return replace(trouble, was_ready=True, shortages=0)


def after_shortage(trouble: Trouble, *, message: str, now: int) -> Trouble:
    """Return the record after a start for which the machine lacked something: files, disk, memory.

    That says nothing about the deployment, so it is tried for ever, more and more slowly.
    """
    shortages = trouble.shortages + 1
    delay = RESTART_DELAYS_MS[min(shortages, len(RESTART_DELAYS_MS) - 1)]
    return replace(trouble, shortages=shortages, not_before=now + delay, message=message)


def after_end(trouble: Trouble, *, ready_ms: int | None, said_failed: bool, message: str, now: int) -> Trouble:
    """Return the record after a replica ended that nobody had asked to end.

    Parameters
    ----------
    ready_ms : int or None
        How long it had been ready, None if it never was.
    said_failed : bool
        Whether it reported that its model or script cannot be loaded.
    message : str
        Why it ended.
    """
    if ready_ms is None and not trouble.was_ready and (said_failed or trouble.losses + 1 >= MAX_LOSSES_WHILE_LOADING):
        return replace(trouble, losses=trouble.losses + 1, is_fatal=True, message=message)
    losses = 1 if ready_ms is not None and ready_ms >= STEADY_MS else trouble.losses + 1
    delay = RESTART_DELAYS_MS[min(losses, len(RESTART_DELAYS_MS)) - 1]
    return replace(trouble, losses=losses, not_before=now + delay, message=message)
