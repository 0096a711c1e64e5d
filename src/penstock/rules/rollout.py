"""Whether a new version may have more of the requests: a guard on failures and latency, looked at a few times.

Pure: counts come in, a decision and the next state come out. The counts of the old version are its requests just
before and during the release, so both are compared on the same days' traffic.

The test of failures is Fisher's conditional one [1]_ with the mid-p value [2]_: given how many requests failed in
all, how likely is it that so many of them fell to the new version? Of the error allowed in a whole release, almost all
is spent at one look, after 200 requests of the new version, because that is where the promise stands; before it only
gross failures count, and what is left is for afterwards. docs/explanation/rollout.md shows what follows from it.

References
----------
.. [1] R. A. Fisher, Statistical Methods for Research Workers, 5th edition, 1934, section 21.02.
.. [2] H. O. Lancaster, Significance tests in discrete distributions, JASA 56, 1961.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from penstock.entities.errors import Problem

DECIDING_LOOK = 200
"""Requests of the new version after which one that fails clearly more often is found."""

FEWEST_FAILURES = 3
"""One or two requests that fail are no pattern, however rarely the version before fails."""

EARLY_ALPHA = {5: 1e-6, 10: 4e-6, 20: 1e-5, 50: 2e-5, 100: 5e-5}
DECIDING_ALPHA = 9.4e-3
DECIDING_ALPHA_OF_LITTLE = 8.8e-3
ENOUGH_HISTORY = 5_000
LATER_ALPHA = 1e-4
LATENCY_FROM = 50
LATENCY_ALPHA = 2e-5
TAIL_SHARE = 0.05
"""Latency is compared where this share of the old version's answers is slower."""

MAX_FIRST_STEP = 50

BUCKETS = 96
BUCKETS_PER_DOUBLING = 4
SHORTEST_S = 1e-5


class Action(StrEnum):
    """What to do now."""

    WAIT = "wait"
    ADVANCE = "advance"
    FINISH = "finish"
    ROLL_BACK = "roll-back"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a release goes.

    Parameters
    ----------
    steps : sequence of int
        Percent of the requests, ascending.
    step_requests : int or None
        A step ends after so many requests of the new version.
    step_ms : int or None
        A step ends after so much time; the earlier of both where both are given.
    latency_factor : float
        The new version may be so many times slower.
    """

    steps: Sequence[int]
    step_requests: int | None = DECIDING_LOOK
    step_ms: int | None = None
    latency_factor: float = 2.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of one side's requests; ``latencies`` counts the answers that did not fail by :func:`bucket_of`."""

    requests: int = 0
    failures: int = 0
    latencies: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class State:
    """Where a release is; ``began_requests`` and ``began_ms`` are those of the present step.

    ``looked`` is the number of requests of the last look: each look happens once, also over a restart.
    """

    step: int = 0
    looked: int = 0
    began_requests: int = 0
    began_ms: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do and why; ``p_value`` is how likely chance alone gives such a difference, 1 where nothing was asked."""

    action: Action
    reason: str = ""
    p_value: float = 1.0


def next_look(looked: int) -> int:
    """Return after how many requests of the new version the guard looks again."""
    for look in (*EARLY_ALPHA, DECIDING_LOOK):
        if look > looked:
            return look
    look = DECIDING_LOOK
    while look <= looked:
        look *= 2
    return look


def failure_alpha(look: int, known: int = ENOUGH_HISTORY) -> float:
    """Return the probability of a false alarm on failures that is allowed at a look; its sum is below 0.0097.

    Parameters
    ----------
    known : int
        Requests of the old version. With few of them the mid-p value errs a little more often than it says.
    """
    if look < DECIDING_LOOK:
        return EARLY_ALPHA.get(look, 0.0)
    if look > DECIDING_LOOK:
        return LATER_ALPHA * DECIDING_LOOK / look
    return DECIDING_ALPHA if known >= ENOUGH_HISTORY else DECIDING_ALPHA_OF_LITTLE


def latency_alpha(look: int) -> float:
    """Return the same on latency; its sum is below 0.0001."""
    if look < LATENCY_FROM:
        return 0.0
    return LATENCY_ALPHA * min(1.0, DECIDING_LOOK / look)


def may_send(state: State, sent: int) -> bool:
    """Return whether the new version may get one more request: before the deciding look it gets no more than that."""
    return state.looked >= DECIDING_LOOK or sent < DECIDING_LOOK


def judge(
    plan: Plan, state: State, new: Counts, old: Counts, *, now_ms: int, is_paused: bool = False
) -> tuple[State, Decision]:
    """Return the next state and what to do.

    Parameters
    ----------
    new, old : Counts
        Of requests that the split chose, of the new version since the release began and of the old one before and
        since.
    now_ms : int
        Time of the clock of ``state.began_ms``.
    is_paused : bool
        Then no step ends; the guard goes on.
    """
    while (look := next_look(state.looked)) <= new.requests:
        if look == DECIDING_LOOK and old.requests < DECIDING_LOOK:
            break  # too little to compare with; may_send holds the new version where it is meanwhile
        state = replace(state, looked=look)
        if new.requests >= next_look(look):
            continue  # a later look is due too; its test has all requests
        decision = _compare(plan, look, new, old)
        if decision.action is Action.ROLL_BACK:
            return state, decision
    if is_paused or not _is_step_over(plan, state, new, now_ms):
        return state, Decision(Action.WAIT)
    done = f"{new.failures} of {new.requests} requests failed, before {old.failures} of {old.requests}"
    if state.step + 1 >= len(plan.steps):
        return state, Decision(Action.FINISH, done)
    state = replace(state, step=state.step + 1, began_requests=new.requests, began_ms=now_ms)
    return state, Decision(Action.ADVANCE, done)


def _is_step_over(plan: Plan, state: State, new: Counts, now_ms: int) -> bool:
    if state.looked < DECIDING_LOOK:
        return False
    mine = new.requests - state.began_requests
    if plan.step_requests is not None and mine >= plan.step_requests:
        return True
    return plan.step_ms is not None and mine > 0 and now_ms - state.began_ms >= plan.step_ms


def _compare(plan: Plan, look: int, new: Counts, old: Counts) -> Decision:
    p_value = excess_probability(new.failures, new.requests, old.failures, old.requests)
    if new.failures >= FEWEST_FAILURES and p_value <= failure_alpha(look, old.requests):
        reason = (
            f"{new.failures} of {new.requests} requests failed, of the version before {old.failures} of {old.requests}"
        )
        return Decision(Action.ROLL_BACK, reason, p_value)
    return _compare_latency(plan, look, new, old, p_value)


def _compare_latency(plan: Plan, look: int, new: Counts, old: Counts, p_value: float) -> Decision:
    alpha = latency_alpha(look)
    known, total = sum(old.latencies), sum(new.latencies)
    if not alpha or known < LATENCY_FROM or not total:
        return Decision(Action.WAIT, p_value=p_value)
    slower, limit = known, 0
    for limit, count in enumerate(old.latencies):  # noqa: B007 - the bucket is used below
        slower -= count
        if slower <= TAIL_SHARE * known:
            break
    moved = limit + math.ceil(BUCKETS_PER_DOUBLING * math.log2(plan.latency_factor) - 1e-9)
    late = sum(new.latencies[moved + 1 :])
    chance = excess_probability(late, total, slower, known)
    if chance > alpha:
        return Decision(Action.WAIT, p_value=p_value)
    reason = (
        f"{late} of {total} answers took more than {bucket_end_s(moved) * 1000:.3g} ms, of the version before "
        f"{slower} of {known} more than {bucket_end_s(limit) * 1000:.3g} ms"
    )
    return Decision(Action.ROLL_BACK, reason, chance)


def excess_probability(x: int, n: int, y: int, m: int) -> float:
    """Return the mid-p value of ``x`` failures of ``n`` against ``y`` of ``m``: small if ``x`` is too many.

    P(X > x) + P(X = x) / 2 for a hypergeometric X, which is what X is if both fail equally often. 1 where nothing
    can be said, and at once where ``x`` is not above its share.
    """
    if not n or not m or x * m <= y * n:
        return 1.0
    total = x + y
    term = math.exp(_log_choose(n, x) + _log_choose(m, y) - _log_choose(n + m, total))
    found = term / 2.0
    for k in range(x, min(n, total)):
        term *= (n - k) * (total - k) / ((k + 1.0) * (m - total + k + 1.0))
        found += term
        if term < 1e-9 * found:
            break
    return min(1.0, found)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1.0) - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0)


def bucket_of(seconds: float) -> int:
    """Return the bucket of a latency: four per doubling, from 10 µs on."""
    return bisect_left(_ENDS, seconds)


def bucket_end_s(bucket: int) -> float:
    """Return the longest latency of a bucket, in seconds."""
    return SHORTEST_S * math.exp2(bucket / BUCKETS_PER_DOUBLING)


_ENDS = [bucket_end_s(bucket) for bucket in range(BUCKETS - 1)]


def check_plan(steps: Sequence[int], pointer: str = "/rollout/steps") -> list[Problem]:
    """Return what is wrong with a release's steps: they rise, and the first leaves something to compare with."""
    problems = []
    if any(later <= step for step, later in pairwise(steps)):
        problems.append(Problem("the steps do not rise", pointer, "Write for example [10, 50, 100]."))
    if steps and steps[0] > MAX_FIRST_STEP:
        hint = f"Begin with {MAX_FIRST_STEP} or less: the old version is what the new one is compared with."
        problems.append(Problem(f"the first step is {steps[0]} %", f"{pointer}/0", hint))
    return problems


def split_at(base: Mapping[str, int], to: str, percent: int) -> dict[str, int]:
    """Return the traffic split that gives ``percent`` to the new version and shares the rest as ``base`` does.

    What whole numbers leave over goes to those with the largest remainders, so the sum is 100.
    """
    rest, total = 100 - percent, sum(base.values())
    shares = {name: rest * share // total for name, share in base.items()}
    by_remainder = sorted(base, key=lambda name: (-(rest * base[name] % total), name))
    for name in by_remainder[: rest - sum(shares.values())]:
        shares[name] += 1
    return {**shares, to: percent}
