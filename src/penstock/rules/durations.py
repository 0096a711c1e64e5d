"""Times as people write them on a command line: ``90d``, ``12h``, or RFC 3339."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from penstock.entities.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_DURATION = re.compile(r"([0-9]{1,9})([smhdwy])")


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
        A duration before or after ``now``, or an RFC 3339 time with its zone.
    name : str
        What it is for, as the error calls it.
    now : datetime
        With a zone.
    is_past : bool
        Whether a duration counts backwards.

    Raises
    ------
    UsageError
        If it is neither.
    """
    duration = parse_duration(text)
    try:
        if duration is not None:
            return now - duration if is_past else now + duration
        when = datetime.fromisoformat(text)
        if when.tzinfo is not None:
            return when
    except (ValueError, OverflowError):
        pass
    raise UsageError(
        f'{name} "{text}" is no time', hint="Write a duration such as 90d or 12h, or a time like 2030-01-31T12:00:00Z."
    )
