"""The statuses of jobs by name, for a client that does not load the entities for them."""

from __future__ import annotations

from penstock.entities.errors import UsageError

UNFINISHED_STATUSES = (
    "NotStarted",
    "Queued",
    "Preparing",
    "Starting",
    "Running",
    "Finalizing",
    "CancelRequested",
    "NotResponding",
)
FINAL_STATUSES = frozenset({"Completed", "Failed", "Canceled"})


def read_statuses(text: str) -> str:
    """Return comma-separated statuses as the server spells them; people may write them in any case.

    Raises
    ------
    UsageError
        If one is none.
    """
    known = {name.casefold(): name for name in (*UNFINISHED_STATUSES, *sorted(FINAL_STATUSES))}
    plain = {word.strip(): word.strip().casefold().replace("_", "").replace("-", "") for word in text.split(",")}
    for word, key in plain.items():
        if key not in known:
            raise UsageError(f'"{word}" is no status of a job', hint=f"There are: {', '.join(known.values())}.")
    return ",".join(known[key] for key in plain.values())
