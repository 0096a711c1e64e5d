"""Who may act on something, and until when; the guard of every apply step.

A lease is stored as epoch plus duration, because wall clocks jump and machines sleep. Whoever loads it arms
it on the monotonic clock, so a lease found at start is good for its whole duration from then on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from penstock.entities.errors import ConflictError


@dataclass(frozen=True, slots=True)
class Lease:
    """What is stored: the holder, its epoch (grows with every new holder) and the duration in seconds."""

    holder: str
    epoch: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class ArmedLease:
    """A lease with its deadline on the monotonic clock, in seconds."""

    lease: Lease
    deadline: float

    def is_expired(self, now: float) -> bool:
        """Return whether the holder's time is over."""
        return now >= self.deadline

    def should_renew(self, now: float) -> bool:
        """Return whether a third of the time has gone, when a careful holder renews."""
        return self.deadline - now <= self.lease.duration_s * 2 / 3


def arm(lease: Lease, now: float) -> ArmedLease:
    """Return a loaded lease with its full duration ahead of it."""
    return ArmedLease(lease, now + lease.duration_s)


def renew(armed: ArmedLease, now: float) -> ArmedLease:
    """Return the lease with its full duration ahead of it again.

    Raises
    ------
    ConflictError
        If it had expired; somebody else may act by now.
    """
    if armed.is_expired(now):
        raise ConflictError(f"the lease of {armed.lease.holder} has expired", ref=f"lease:{armed.lease.epoch}")
    return replace(armed, deadline=now + armed.lease.duration_s)


def take(current: ArmedLease | None, holder: str, duration_s: float, now: float) -> ArmedLease:
    """Return a lease for ``holder``, with a new epoch unless it holds one already.

    Raises
    ------
    ConflictError
        If somebody else holds a lease that has not expired.
    """
    if current is not None and not current.is_expired(now):
        if current.lease.holder != holder:
            raise ConflictError(f"{current.lease.holder} holds the lease", ref=f"lease:{current.lease.epoch}")
        return arm(replace(current.lease, duration_s=duration_s), now)
    epoch = current.lease.epoch + 1 if current is not None else 1
    return arm(Lease(holder, epoch, duration_s), now)


def check_epoch(stored: Lease | None, epoch: int) -> None:
    """Raise ConflictError unless ``epoch`` is the stored one: the last check before a write."""
    if stored is None or stored.epoch != epoch:
        now = "none" if stored is None else f"epoch {stored.epoch} of {stored.holder}"
        raise ConflictError(f"the lease of epoch {epoch} is no longer valid, now {now}", ref=f"lease:{epoch}")
