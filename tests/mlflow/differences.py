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
    "HTTP lets a server ignore a range it cannot read; the whole file is a right answer": (
        "artifacts.range_of_bytes*",
    ),
    "Files of a run are shown in a sandbox (Content-Security-Policy) instead of only downloaded": (
        "artifacts.headers_of_a_download",
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
    "A data set needs a name, a digest and a source; MLflow stores nameless ones": (
        "data.dataset_sent*",
        "data.dataset_tags_sent?no key]",
        "data.odd_models_in_and_out",
    ),
    "At most 1000 data sets come in one request": ("data.too_many_datasets",),
    "Saying the same thing twice changes nothing, so that a client may repeat what it got no answer to": (
        "data.dataset_tags_sent?twice]",
        "data.models_in_and_out",
        "logged_models.tags_and_params",
    ),
    "Locations with a query or with steps upwards are refused when an experiment is made": (
        "experiments.created_with_a_location_of_its_own",
        "experiments.location_with_a_fragment_is_refused",
    ),
    "An id that nothing can have is the id of nothing: 404": ("experiments.unknown", "runs.odd_id*"),
    "A name that is taken is RESOURCE_ALREADY_EXISTS, also when it is given by renaming": (
        "experiments.name_is_taken",
        "experiments.renamed",
    ),
    "A page size that is not given has a default; one that is no positive whole number is refused": (
        "experiments.most_results?none]",
        "metrics.history_of_at_most*",
        "registry.most_results*",
        "search.most_results?float]",
        "logged_models.pages",
    ),
    "All page tokens of this server have one form, and it is that of MLflow's searches": (
        "experiments.bad_page_token",
        "metrics.history_with_page_token*",
        "search.page_token*",
    ),
    "Keys of a logged model's tags follow the rules of all other keys": ("logged_models.tag_sent*",),
    "NaN is no number: it matches only != and sorts after the numbers, for logged models as for runs": (
        "logged_models.searched?metrics.acc < 0.4]",
        "logged_models.ordered?metric*",
    ),
    "Filters by a logged model's status find it, and a data set without a digest means all digests": (
        "logged_models.searched*status = *",
        "logged_models.searched_by_dataset?dataset without digest]",
    ),
    "A status that nobody knows is refused instead of ignored": (
        "logged_models.finalized",
        "runs.status_sent*",
        "search.sent_raw?view *",
    ),
    "A run that says no start begins now, not in 1970": ("runs.created_raw",),
    "Words of SQL are good keys where the grammar leaves no doubt": (
        "search.filtered?params.in = 'x']",
        "search.filtered?metrics.from > 1]",
    ),
    "Ids are strings": ("search.sent_raw?ids as numbers]",),
    "A body of JSON is read whatever its header says": ("server.content_type*",),
    "Arguments of a GET are in its address": ("server.get_with_a_body",),
    "What this server does not have is a clear 501, which clients do not repeat": (
        "server.wrong_method*",
        "server.unknown_path*",
    ),
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
