"""Stored times as a calendar can say them.

MLflow's protocol takes any 64-bit number of milliseconds as a time and returns it as it was sent. RFC 3339 knows the
years 1 to 9999 only, so that everywhere else the nearest time of these is shown.
"""

from __future__ import annotations

from datetime import datetime, timedelta

EARLIEST_MS = -62_135_596_800_000
"""0001-01-01T00:00:00.000Z"""
LATEST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z"""
_EPOCH = datetime(1970, 1, 1)


def nearest(ms: int) -> int:
    """Return the time nearest to ``ms`` that has a date."""
    return min(max(ms, EARLIEST_MS), LATEST_MS)


def rfc3339(ms: int) -> str:
    """Return milliseconds since 1970 as ``2026-01-02T03:04:05.678Z``; never fails."""
    return (_EPOCH + timedelta(milliseconds=nearest(ms))).isoformat(timespec="milliseconds") + "Z"


def span(begin: int, end: int) -> int:
    """Return how long it took from one time to another, as the two are shown."""
    return nearest(end) - nearest(begin)
