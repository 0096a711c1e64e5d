"""Times as people write them on a command line: ``90d``, ``12h``, a date, or RFC 3339."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from penstock.entities.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_DURATION = re.compile(r"([0-9]{1,9})([smhdwy])")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_duration(text: str) -> timedelta | None:
    """Return a whole number with one of the units s, m, h, d, w, y (365 days); None where it is none."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        return None
    try:
        return timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    except OverflowError as error:
        raise UsageError(f'"{text}" is too long a time') from error


def time_of(text: str, name: str, *, now: datetime, is_past: bool) -> datetime:
    """Return the time that a text means.

    Parameters
    ----------
    text : str
        A duration before or after ``now``, an RFC 3339 time with its zone, or a date, UTC.
    name : str
        What it is for, as the error calls it.
    now : datetime
        With a zone.
    is_past : bool
        Whether a duration counts backwards and a date is its first moment; else it is its end.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    duration = parse_duration(text)
    try:
        if _DATE.fullmatch(text):
            day = datetime.fromisoformat(text).replace(tzinfo=UTC)
            return day if is_past else day + timedelta(days=1)
        if duration is not None:
            return now - duration if is_past else now + duration
        when = datetime.fromisoformat(text)
        if when.tzinfo is not None:
            return when
    except (ValueError, OverflowError):
        pass
    raise UsageError(
        f'{name} "{text}" is no time',
        hint="Write a duration such as 90d or 12h, a date, or a time like 2030-01-31T12:00:00Z.",
    )
