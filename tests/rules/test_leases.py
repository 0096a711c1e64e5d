from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.entities.errors import ConflictError
from penstock.rules.leases import ArmedLease, Lease, arm, check_epoch, renew, take


def test_a_loaded_lease_has_its_whole_duration_ahead():
    armed = arm(Lease("a", 7, 10.0), now=1000.0)
    assert not armed.is_expired(1009.9)
    assert armed.is_expired(1010.0)
    assert not armed.should_renew(1001.0)
    assert armed.should_renew(1004.0)


def test_an_expired_lease_cannot_be_renewed():
    armed = arm(Lease("a", 7, 10.0), now=0.0)
    assert renew(armed, 9.0).deadline == 19.0
    with pytest.raises(ConflictError):
        renew(armed, 10.0)


def test_an_expired_lease_cannot_write():
    with pytest.raises(ConflictError):
        check_epoch(Lease("b", 8, 10.0), 7)
    with pytest.raises(ConflictError):
        check_epoch(None, 7)
    check_epoch(Lease("b", 8, 10.0), 8)


class Holders(RuleBasedStateMachine):
    """Holders take, renew and let go of one lease while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.current: ArmedLease | None = None
        self.epochs: list[int] = [0]

    @rule(seconds=st.floats(0, 20))
    def pass_time(self, seconds):
        self.now += seconds

    @rule(holder=st.sampled_from("abc"), duration=st.floats(1, 10))
    def take(self, holder, duration):
        before = self.current
        held = before is not None and not before.is_expired(self.now)
        try:
            self.current = take(before, holder, duration, self.now)
        except ConflictError:
            assert held
            assert before is not None
            assert before.lease.holder != holder
            return
        assert self.current.lease.holder == holder
        assert (self.current.lease.epoch == self.epochs[-1]) == held
        self.epochs.append(self.current.lease.epoch)

    @rule()
    def renew(self):
        if self.current is not None and not self.current.is_expired(self.now):
            self.current = renew(self.current, self.now)

    @invariant()
    def epochs_only_grow(self):
        assert self.epochs == sorted(self.epochs)


TestHolders = Holders.TestCase
