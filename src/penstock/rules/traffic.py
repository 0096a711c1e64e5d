"""Which deployment answers a request: checks of a traffic split and the picker that keeps to it.

Pure: the picker's only state is a counter, and its start is passed in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import accumulate

from penstock.entities.errors import Problem

_GOLDEN = 0x9E3779B97F4A7C15
SECOND_STEP = 0x6A09E667F3BCC909
"""The root of 2, for a second choice about the same requests that is none of the first."""
_MASK = (1 << 64) - 1
MAX_MIRROR_PERCENT = 50


def check_traffic(
    traffic: Mapping[str, int],
    deployments: Collection[str],
    *,
    mirror: Mapping[str, int] | None = None,
    pointer: str = "/traffic",
) -> list[Problem]:
    """Return what is wrong with a split, nothing if it may be applied.

    Percentages are whole numbers from 0 to 100 and sum to 0 or 100; every deployment that gets traffic exists.
    One deployment at most is mirrored to, with 50 % at most, and it gets no live traffic.
    """
    problems = []
    for name, percent in traffic.items():
        place = f"{pointer}/{_escape(name)}"
        if not 0 <= percent <= 100:
            problems.append(Problem(f"{percent} is not a percentage", place, "Write a whole number from 0 to 100."))
        if percent and name not in deployments:
            problems.append(Problem(f'there is no deployment "{name}"', place, _known(deployments)))
    total = sum(traffic.values())
    if total not in (0, 100):
        problems.append(Problem(f"the percentages sum to {total}", pointer, "They must sum to 100, or all be 0."))
    return problems + _check_mirror(mirror or {}, traffic, deployments)


def _check_mirror(mirror: Mapping[str, int], traffic: Mapping[str, int], deployments: Collection[str]) -> list[Problem]:
    problems = []
    if sum(1 for percent in mirror.values() if percent) > 1:
        problems.append(Problem("traffic is mirrored to more than one deployment", "/mirror_traffic", "Keep one."))
    for name, percent in mirror.items():
        place = f"/mirror_traffic/{_escape(name)}"
        if not 0 <= percent <= MAX_MIRROR_PERCENT:
            hint = f"Write a whole number from 0 to {MAX_MIRROR_PERCENT}."
            problems.append(Problem(f"{percent} % cannot be mirrored", place, hint))
        if percent and name not in deployments:
            problems.append(Problem(f'there is no deployment "{name}"', place, _known(deployments)))
        if percent and traffic.get(name):
            problems.append(Problem(f'"{name}" gets live traffic already', place, "Mirror to one that gets none."))
    return problems


def _known(deployments: Collection[str]) -> str:
    if not deployments:
        return "The endpoint has no deployments yet."
    return f"The endpoint has: {', '.join(sorted(deployments))}."


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


class LowDiscrepancyPicker:
    """Pick names in proportion to weights, evenly spread over any stretch of picks.

    The n-th pick is where the golden-ratio sequence [1]_ falls among the weights, so after N picks every count
    is within a few of N · weight / total, where independent draws would be off by about √N.

    Parameters
    ----------
    weights : mapping
        Name to weight; names with weight 0 are never picked.
    seed : int
        Where the sequence starts.
    step : int
        The irrational number it goes by, times 2^64; with bounded partial quotients.

    References
    ----------
    .. [1] L. Kuipers, H. Niederreiter, Uniform Distribution of Sequences, 1974, chapter 2, section 3: the
       discrepancy of (n·α) with bounded partial quotients is O(log N / N).
    """

    __slots__ = ("_bounds", "_names", "_only", "_position", "_step", "_total")

    def __init__(self, weights: Mapping[str, int], seed: int = 0, *, step: int = _GOLDEN) -> None:
        live = sorted((name, weight) for name, weight in weights.items() if weight > 0)
        self._names = [name for name, _ in live]
        self._bounds = list(accumulate(weight for _, weight in live))
        self._total = self._bounds[-1] if self._bounds else 0
        self._only = self._names[0] if len(self._names) == 1 else None
        self._position = seed & _MASK
        self._step = step

    @property
    def only(self) -> str | None:
        """Return the one name that has weight, None where there are several or none."""
        return self._only

    def pick(self) -> str | None:
        """Return the next name, None if nothing has weight."""
        if self._only is not None:
            return self._only
        if not self._total:
            return None
        self._position = (self._position + self._step) & _MASK
        point = (self._position * self._total) >> 64
        for name, bound in zip(self._names, self._bounds, strict=True):
            if point < bound:
                return name
        return self._names[-1]
