"""Permanent deletion from Python: what would go, or what went."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from penstock.entities.errors import InternalError, UsageError
from penstock.rules.durations import parse_duration
from penstock.sdk.arguments import check_days
from penstock.sdk.rest import Json, Rest

DAY_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Collected:
    """What a permanent deletion took, or would take.

    Parameters
    ----------
    is_applied : bool
        Whether it happened.
    counts : dict
        How many of each kind: run, experiment, logged-model, version.
    bytes : int
        Size of the content that nothing named any more.
    vacuum_bytes : int
        What the metadata store gave back to the disk, or about what it could give back now.
    kept : list of dict
        Deleted things that stay for now: kind, name, deleted_at, reason.
    """

    is_applied: bool
    counts: dict[str, int]
    bytes: int
    kept: list[Json] = field(default_factory=list)
    vacuum_bytes: int = 0


def scope_of(*, older_than_days: float = 30, run: str | None = None, experiment: str | None = None) -> Json:
    """Return the body of a request."""
    days = check_days(older_than_days, "older_than_days")
    scope: dict[str, Any] = {"older_than_s": round(days * DAY_S), "run": run, "experiment": experiment}
    return {key: value for key, value in scope.items() if value is not None}


def seconds_of(text: str) -> int:
    """Return the seconds that a duration such as ``30d`` or ``12h`` is, or ``0``.

    Raises
    ------
    UsageError
        If it is none.
    """
    found = parse_duration(text)
    if found is not None:
        return int(found.total_seconds())
    if text.strip() == "0":
        return 0
    raise UsageError(f'"{text}" is no duration', hint="Write one such as 30d or 12h, or 0 for all.")


def collect(
    rest: Rest,
    *,
    apply: bool = False,
    older_than_days: float = 30,
    run: str | None = None,
    experiment: str | None = None,
    vacuum: bool = False,
) -> Collected:
    """Say what a permanent deletion would take, or take it.

    Parameters
    ----------
    apply : bool
        Do it; what is gone cannot be brought back.
    older_than_days : float
        What was deleted later than so many days ago stays; 0 takes all.
    run, experiment : str, optional
        Only this run; only what is in the experiment of this name.
    vacuum : bool
        Give the space of removed rows back to the disk, too.
    """
    scope = scope_of(older_than_days=older_than_days, run=run, experiment=experiment)
    plan = rest.plan_collection(scope)
    if not apply:
        return Collected(False, plan["counts"], plan["bytes"], plan["kept"], plan.get("vacuum", {}).get("bytes", 0))
    last: Json = {}
    for last in rest.collect({**scope, "vacuum": True} if vacuum else scope):
        check_step(last)
    return Collected(True, last.get("removed", {}), last.get("bytes", 0), plan["kept"], last.get("vacuumed_bytes", 0))


def check_step(step: Json) -> None:
    """Raise what went wrong in the middle of a deletion; the next one goes on from there."""
    if step.get("step") == "error":
        raise InternalError(str(step.get("detail")), hint=str(step.get("hint") or "Start it again: it goes on."))
