"""One progressive release as the gateway steers it: who gets how much, and when that changes.

The rule decides (``rules/rollout.py``); here are its counts, its state on disk and the news for the server. What was
decided is written before it is told, so a kill at any moment neither loses a verdict nor asks twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from penstock.home import write_private
from penstock.rules.rollout import Action, Counts, Decision, Plan, State, judge, may_send, next_look, split_at
from penstock.rules.traffic import LowDiscrepancyPicker
from penstock.serving.desired import DesiredRollout
from penstock.serving.tally import Tally

logger = logging.getLogger(__name__)

STALLED_MS = 60_000


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Decided(msgspec.Struct, frozen=True):
    """One decision with the numbers it was made on; in the server's words."""

    at: int
    action: str
    percent: int
    reason: str
    p_value: float
    requests: int
    failures: int
    old_requests: int
    old_failures: int


class Kept(msgspec.Struct):
    """What a release needs to go on after a restart."""

    number: int
    step: int = 0
    looked: int = 0
    began_requests: int = 0
    began_ms: int = 0
    decisions: list[Decided] = []


class RolloutGuard:
    """A release under way; on the event loop only.

    Parameters
    ----------
    wanted : DesiredRollout
        As the server has it.
    tally : Tally
        Counts the new version's requests since the release began.
    old : callable
        Returns the counts of the old versions, before and since.
    path : Path
        Where the state is kept.
    on_decision : callable
        Called when the split is another one.
    clock : callable, optional
        Returns milliseconds since 1970-01-01 UTC: what is kept over a restart counts by it.
    """

    def __init__(
        self,
        wanted: DesiredRollout,
        tally: Tally,
        *,
        old: Callable[[], Counts],
        path: Path,
        on_decision: Callable[[], None],
        clock: Callable[[], int] = _now_ms,
    ) -> None:
        self.tally = tally
        self._wanted = wanted
        self._old = old
        self._path = path
        self._on_decision = on_decision
        self._clock = clock
        known = _load(path, wanted.number)
        self._kept = known or Kept(wanted.number, step=min(wanted.step, len(wanted.steps) - 1), began_ms=clock())
        self._sent = tally.requests
        self._next_look = next_look(self._kept.looked)
        self._last_count, self._last_change = self._sent, clock()
        self.follow(wanted)

    @property
    def to(self) -> str:
        """Return the new version's name."""
        return self._wanted.to

    @property
    def number(self) -> int:
        """Return the release's number."""
        return self._wanted.number

    @property
    def is_over(self) -> bool:
        """Return whether it has ended, well or not."""
        return bool(self._kept.decisions) and self._kept.decisions[-1].action != Action.ADVANCE

    @property
    def traffic(self) -> dict[str, int]:
        """Return the split that holds now."""
        is_back = self.is_over and self._kept.decisions[-1].action == Action.ROLL_BACK
        percent = 0 if is_back else self._wanted.steps[self._kept.step]
        return split_at(self._wanted.base, self._wanted.to, percent)

    def follow(self, wanted: DesiredRollout) -> None:
        """Take what people changed: pausing and resuming."""
        self._wanted = wanted
        self._plan = Plan(
            wanted.steps,
            step_requests=wanted.requests if wanted.requests or wanted.time else 200,
            step_ms=None if wanted.time is None else int(wanted.time * 1000),
            latency_factor=wanted.latency_factor,
        )

    def picker(self) -> GuardedPicker:
        """Return what picks among the split's deployments, never too many of an undecided one."""
        return GuardedPicker(self.traffic, self._wanted.base, self)

    def may_send(self) -> bool:
        """Say whether the new version may get a request, and count it as sent if so."""
        if not may_send(self._state(), self._sent):
            return False
        self._sent += 1
        return True

    def take_back(self) -> None:
        """Uncount a request that was sent and that says nothing of the version: its queue was full, its client left."""
        self._sent -= 1

    def note(self, seconds: float, *, is_failure: bool) -> None:
        """Count what became of one request of the new version, and look if it is time."""
        self.tally.note(seconds, is_failure=is_failure)
        if not self.is_over and self.tally.requests >= self._due():
            self.look()

    def look(self) -> None:
        """Decide, if there is something to decide."""
        if self.is_over:
            return
        new, old, kept = self.tally.counts(), self._old(), self._kept
        before = self._state()
        state, decision = judge(self._plan, before, new, old, now_ms=self._clock(), is_paused=self._wanted.is_paused)
        self._next_look = next_look(state.looked)
        if state == before and decision.action is Action.WAIT:
            return
        kept.step, kept.looked = state.step, state.looked
        kept.began_requests, kept.began_ms = state.began_requests, state.began_ms
        if decision.action is not Action.WAIT:
            self._decide(decision, new, old)
        self._save()
        if decision.action is not Action.WAIT:
            self._on_decision()

    def news(self) -> dict[str, Any]:
        """Return what the server records."""
        new, old = self.tally.counts(), self._old()
        return {
            "number": self._wanted.number,
            "to": self._wanted.to,
            "message": self._message(new, old),
            "requests": new.requests,
            "failures": new.failures,
            "old_requests": old.requests,
            "old_failures": old.failures,
            "decisions": [msgspec.to_builtins(decision) for decision in self._kept.decisions],
        }

    def _due(self) -> int:
        """Return the number of requests at which there may be something to decide."""
        if self._plan.step_requests is None:
            return self._next_look
        return min(self._next_look, max(self._kept.began_requests + self._plan.step_requests, 1))

    def _state(self) -> State:
        kept = self._kept
        return State(kept.step, kept.looked, kept.began_requests, kept.began_ms)

    def _decide(self, decision: Decision, new: Counts, old: Counts) -> None:
        percent = 0 if decision.action is Action.ROLL_BACK else self._wanted.steps[self._kept.step]
        self._kept.decisions.append(
            Decided(
                at=self._clock(),
                action=decision.action.value,
                percent=percent,
                reason=decision.reason,
                p_value=decision.p_value,
                requests=new.requests,
                failures=new.failures,
                old_requests=old.requests,
                old_failures=old.failures,
            )
        )
        log = logger.warning if decision.action is Action.ROLL_BACK else logger.info
        log("release %s of %s: %s to %s %%: %s", self.number, self.to, decision.action.value, percent, decision.reason)

    def _message(self, new: Counts, old: Counts) -> str:
        if self.is_over:
            return self._kept.decisions[-1].reason
        if new.requests != self._last_count:
            self._last_count, self._last_change = new.requests, self._clock()
        if self._wanted.is_paused:
            return "paused; a version that fails more often still goes back"
        if self._kept.looked < 200 <= new.requests and old.requests < 200:
            return f"waits for requests to compare with: the version before has answered {old.requests} of 200"
        silent_ms = self._clock() - self._last_change
        if silent_ms >= STALLED_MS:
            return f"stalled: no request for the new version in {silent_ms // STALLED_MS} min"
        return ""

    def _save(self) -> None:
        try:
            write_private(self._path, msgspec.json.encode(self._kept).decode("utf-8"))
        except OSError as error:
            logger.warning("the state of release %s could not be kept for a restart: %s", self.number, error)


class GuardedPicker:
    """Pick by a release's split; what an undecided version may not have goes to those before it.

    Parameters
    ----------
    traffic, base : mapping
        The split, and the one without the new version.
    guard : RolloutGuard
        Says whether the new version may get one more.
    """

    __slots__ = ("_base", "_split", "guard")

    def __init__(self, traffic: Mapping[str, int], base: Mapping[str, int], guard: RolloutGuard) -> None:
        self._split = LowDiscrepancyPicker(traffic)
        self._base = LowDiscrepancyPicker(base)
        self.guard = guard

    def pick(self) -> str | None:
        """Return the next name."""
        name = self._split.pick()
        if name == self.guard.to and not self.guard.may_send():
            return self._base.pick()
        return name


def _load(path: Path, number: int) -> Kept | None:
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
    except (OSError, msgspec.MsgspecError):
        return None
    return kept if kept.number == number else None


def counts_of(tallies: Mapping[str, Tally], names: Mapping[str, int]) -> Counts:
    """Return the summed counts of some deployments."""
    requests = failures = 0
    latencies: list[int] = []
    for name in names:
        if name in tallies:
            one = tallies[name].counts()
            requests, failures = requests + one.requests, failures + one.failures
            latencies = (
                [a + b for a, b in zip(latencies, one.latencies, strict=True)] if latencies else [*one.latencies]
            )
    return Counts(requests, failures, latencies)
