"""How often does the guard of a progressive release find a bad version, and how often is it wrong?

``python -m benchmarks.study_rollout`` prints the tables of docs/explanation/rollout.md: whole releases of three steps
(10, 50 and 100 %, 200 requests each), seeded, all of a cell's at once. The looks and what each may err are the
rule's own; its p-value, one release at a time, is held against this one's in ``tests/rules/test_rollout.py``.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.stats import hypergeom

from penstock.rules.rollout import DECIDING_LOOK, ENOUGH_HISTORY, FEWEST_FAILURES, failure_alpha, next_look

RELEASES = 20_000
WINDOW = 10_000
STEPS = ((200, 0.10), (400, 0.50), (600, 1.00))


def simulate(
    old: float, new: float, history: int, *, seed: int, releases: int = RELEASES
) -> tuple[float, float, float]:
    """Return the shares of releases stopped by the deciding look and in all, and the mean requests until then.

    Parameters
    ----------
    old, new : float
        Failure rates of the two versions.
    history : int
        Requests of the old version before the release.
    """
    draws = np.random.default_rng(seed)
    x = np.zeros(releases, np.int64)
    m = np.full(releases, history)
    y = draws.binomial(m, old)
    stopped_at = np.zeros(releases, np.int64)
    n = 0
    while (look := next_look(n)) <= STEPS[-1][0]:
        x += draws.binomial(look - n, new, releases)
        share = next(share for end, share in STEPS if look <= end)
        beside = draws.negative_binomial(look - n, share, releases) if share < 1 else np.zeros(releases, np.int64)
        kept = np.minimum(m, np.maximum(WINDOW - beside, 0))  # the oldest leave the window
        y = draws.hypergeometric(y, m - y, kept) + draws.binomial(np.minimum(beside, WINDOW), old)
        m = kept + np.minimum(beside, WINDOW)
        n = look
        total = x + y
        p_value = hypergeom.sf(x, n + m, total, n) + hypergeom.pmf(x, n + m, total, n) / 2
        alpha = np.where(m >= ENOUGH_HISTORY, failure_alpha(look), failure_alpha(look, 0))
        is_bad = (p_value <= alpha) & (x >= FEWEST_FAILURES) & (x * m > y * n)
        stopped_at[(stopped_at == 0) & is_bad] = look
    was = stopped_at > 0
    by_decision = was & (stopped_at <= DECIDING_LOOK)
    mean = float(stopped_at[was].mean()) if was.any() else float("nan")
    return float(by_decision.mean()), float(was.mean()), mean


def main() -> int:
    """Print both tables."""
    print("| old fails | new fails | history | stopped within 200 | in the whole release | after (mean) |")
    print("| --- | --- | --- | --- | --- | --- |")
    seed = 1
    for history in (10_000, 2_000, 0):
        for old, new in ((0.1, 0.2), (0.1, 0.15), (0.1, 0.3), (0.01, 0.05), (0.01, 0.1), (0.001, 0.03), (0.01, 1.0)):
            within, ever, mean = simulate(old, new, history, seed=seed)
            seed += 1
            print(f"| {old:.1%} | {new:.1%} | {history} | {within:.2%} | {ever:.2%} | {mean:.0f} |", flush=True)
    print("\n| both fail | 10,000 before | 2,000 before | none before |")
    print("| --- | --- | --- | --- |")
    for rate in (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3):
        cells = []
        for history in (10_000, 2_000, 0):
            cells.append(f"{simulate(rate, rate, history, seed=seed)[1]:.2%}")
            seed += 1
        print(f"| {rate:.2%} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
