"""The points of the job's runs, so that ``get-history`` can be answered in an outage: ``log_model`` asks for it.

Only for runs that began under this relay, and keys all of whose points passed it; so many, then none at all.
"""

from __future__ import annotations

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_POINTS = 20_000


class Points:
    """Every point that passed; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, dict[str, set[tuple[int, int, float]]]] = {}
        self._nans: dict[tuple[str, str], set[tuple[int, int]]] = {}
        self._count = 0

    def begin(self, run_id: str) -> None:
        """Count a run's points as known from here on: it has none yet."""
        with self._lock:
            self._runs.setdefault(run_id, {})

    def add(self, run_id: str, items: list[dict[str, Any]]) -> None:
        """Remember points that were accepted."""
        with self._lock:
            run = self._runs.get(run_id)
            if run is None:
                return
            for item in items:
                value = float(item["value"])
                at = (int(item["timestamp"]), int(item.get("step") or 0))
                if value != value:
                    self._nans.setdefault((run_id, item["key"]), set()).add(at)
                    run.setdefault(item["key"], set())
                else:
                    run.setdefault(item["key"], set()).add((*at, min(max(value, -MAX), MAX)))
                self._count += 1
            if self._count > MAX_POINTS:
                self._runs.clear()
                self._nans.clear()

    def history(self, run_id: str, key: str, most: str, token: str) -> list[dict[str, Any]] | None:
        """Return a metric's points in order, None where they are not all known or fill more than a page."""
        with self._lock:
            points = self._runs.get(run_id, {}).get(key)
            if points is None or token or (most and not most.isdigit()):
                return None
            nans = [(*at, 0.0, "NaN") for at in self._nans.get((run_id, key), ())]
            found = sorted([*((*point, "") for point in points), *nans])
        if most and len(found) > int(most):
            return None
        return [
            {"key": key, "value": word or value, "timestamp": timestamp, "step": step}
            for timestamp, step, value, word in found
        ]


MAX = 1.7976931348623157e308
