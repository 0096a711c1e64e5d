"""Where this server answers otherwise than MLflow's on purpose, and why.

What it answers instead is stored in ``recorded/ours.json``. Besides this table two rules hold: where MLflow answers
with a defect (500), anything but a defect of ours is right; and this server says who made something (``user_id``)
where MLflow, which knows no users, says nothing.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

REASONS: dict[str, tuple[str, ...]] = {
    "A path that climbs out, is absolute or has odd characters is refused everywhere, not only where it would hurt": (
        "artifacts.escape_when_read*",
        "artifacts.escape_when_written*",
        "artifacts.escape_when_deleted*",
        "artifacts.escape_when_listed*",
    ),
    "A value that is no number, or beyond what a number can hold, is refused; MLflow stores 0 or another value": (
        "data.batch?metric is text]",
        "metrics.value_sent?beyond]",
        "metrics.value_sent?true]",
        "metrics.time_and_step_sent?too large]",
        "metrics.time_and_step_sent?true]",
        "metrics.time_and_step_sent?fraction]",
    ),
    "NaN in any spelling is NaN; MLflow stores 0 at time 0 for some": ("metrics.value_sent?lower nan]",),
    "What is no data set, or names no model, is refused; MLflow stores a nameless one": (
        "data.dataset_sent?words]",
        "data.dataset_sent?null]",
        "data.odd_models_in_and_out",
    ),
    "Saying the same thing twice changes nothing, so that a client may repeat what it got no answer to": (
        "data.models_in_and_out",
        "logged_models.tags_and_params",
    ),
    "Locations with a query or with steps upwards are refused when an experiment is made": (
        "experiments.created_with_a_location_of_its_own",
    ),
    "Keys of a logged model's tags follow the rules of all other keys": ("logged_models.tag_sent*",),
    "Filters by a logged model's status find it, and a data set without a digest means all digests": (
        "logged_models.searched*status = *",
        "logged_models.searched_by_dataset?dataset without digest]",
    ),
    "A status that nobody knows is refused; MLflow stores that the model has none": ("logged_models.finalized",),
    "A run that says no start begins now, not in 1970": ("runs.created_raw",),
}


def reason_of(name: str) -> str | None:
    """Return why a case differs, or None if it must not."""
    return next((reason for reason, globs in REASONS.items() if any(fnmatchcase(name, glob) for glob in globs)), None)


def agrees(theirs: Any, ours: Any) -> bool:
    """Return whether an outcome of ours is what MLflow's allows."""
    if theirs == ours:
        return True
    if _is_defect(theirs):
        return not _is_defect(ours)
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(theirs) == len(ours) and all(map(agrees, theirs, ours))
    if isinstance(theirs, dict) and isinstance(ours, dict):
        known = {"user_id": ""} | theirs if "user_id" in ours else theirs
        same = known.keys() == ours.keys()
        return same and all(agrees(known[key], ours[key]) or (key == "user_id" and known[key] == "") for key in known)
    return False


def _is_defect(outcome: Any) -> bool:
    return outcome == 500 or (isinstance(outcome, list) and len(outcome) == 2 and 500 in outcome)
