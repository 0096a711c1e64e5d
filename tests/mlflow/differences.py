"""Where this server's answer differs from MLflow's on purpose, and why.

Besides this table one rule holds: where MLflow answers with a defect (500), any clear refusal (4xx) of ours is right.
"""

from __future__ import annotations

from typing import Any

DIFFERENCES: dict[str, tuple[str, Any]] = {}
"""Case -> (reason, our outcome)."""


def agrees(theirs: Any, ours: Any) -> bool:
    """Return whether an outcome of ours is what MLflow's allows."""
    if theirs == ours:
        return True
    if _is_defect(theirs):
        return _is_refusal(ours)
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(theirs) == len(ours) and all(map(agrees, theirs, ours))
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return theirs.keys() == ours.keys() and all(agrees(theirs[key], ours[key]) for key in theirs)
    return False


def _is_defect(outcome: Any) -> bool:
    return outcome == 500 or (isinstance(outcome, list) and len(outcome) == 2 and 500 in outcome)


def _is_refusal(outcome: Any) -> bool:
    parts = outcome if isinstance(outcome, list) else [outcome]
    return len(parts) <= 2 and any(isinstance(part, int) and 400 <= part < 500 for part in parts)
