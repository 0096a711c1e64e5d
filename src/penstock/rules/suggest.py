"""Find the names a person most likely meant; the source of every "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable

MAX_COMPARED_LENGTH = 64


def nearest(name: str, candidates: Iterable[str], n: int = 3) -> list[str]:
    """Return up to ``n`` candidates that look like ``name``, the most similar first.

    Parameters
    ----------
    name : str
        What was written.
    candidates : iterable of str
        What could have been meant.
    n : int
        The most that are returned.

    Returns
    -------
    list of str
        Empty when nothing is close: at most a third of the letters may differ, a neighbouring pair in
        the wrong order counts once, case does not count, and a name that begins with ``name`` (three
        letters or more) is close. One that is much less similar than the best is left out.
    """
    wanted = _folded(name)
    if not wanted:
        return []
    scored = []
    for candidate in sorted(set(candidates)):
        score = _score(wanted, _folded(candidate))
        if score is not None:
            scored.append((score, candidate))
    scored.sort()
    return [candidate for score, candidate in scored[:n] if score <= scored[0][0] + 1]


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return the hint ``Did you mean "x"?``, naming up to three, or ``""`` when nothing is close."""
    names = [f'"{candidate}"' for candidate in nearest(name, candidates)]
    if not names:
        return ""
    head = ", ".join(names[:-1])
    return f"Did you mean {head} or {names[-1]}?" if head else f"Did you mean {names[-1]}?"


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")[:MAX_COMPARED_LENGTH]


def _score(wanted: str, candidate: str) -> float | None:
    length = max(len(wanted), len(candidate))
    limit = max(1, length // 3)
    if len(wanted) >= 3 and (candidate.startswith(wanted) or (len(candidate) >= 3 and wanted.startswith(candidate))):
        return 0.5 + abs(len(wanted) - len(candidate)) / (length + 1)
    if abs(len(wanted) - len(candidate)) > limit:
        return None
    distance = _edit_distance(wanted, candidate)
    return float(distance) if distance <= limit and distance < length else None


def _edit_distance(first: str, second: str) -> int:
    """Return the optimal string alignment distance: insert, delete, replace, swap neighbours."""
    before: list[int] = []
    previous = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        current = [i]
        for j, b in enumerate(second, 1):
            cost = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and first[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            current.append(cost)
        before, previous = previous, current
    return previous[-1]
