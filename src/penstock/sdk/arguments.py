"""What people pass to the client from Python, judged before anything is sent, so that an error names the argument."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.entities.errors import UsageError


def check_text(value: Any, name: str) -> str:
    """Return a text as it is.

    Raises
    ------
    UsageError
        If it is anything else.
    """
    if not isinstance(value, str):
        raise _wrong(name, "a text", value)
    return value


def check_id(value: Any, name: str = "run_id") -> str:
    """Return an id as it is; raise UsageError unless it is a text with something in it."""
    if not isinstance(value, str) or not value.strip():
        raise _wrong(name, "the id of a run, or a unique beginning of it", value)
    return value


def check_texts(value: Any, name: str) -> list[str]:
    """Return one text, or several, as a list; raise UsageError for anything else."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise _wrong(name, "a text or a list of texts", value)
    return list(value)


def check_limit(value: Any, name: str = "limit") -> int | None:
    """Return a number of things, or None for all; raise UsageError for anything else."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise _wrong(name, "a whole number from 0 on, or None for all", value)
    return value


def check_days(value: Any, name: str) -> float:
    """Return a number of days; raise UsageError for one below 0, or anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise _wrong(name, "a number of days from 0 on", value)
    return float(value)


def check_tags(value: Any, name: str = "tags") -> dict[str, str | None]:
    """Return tags as a dictionary; raise UsageError unless keys are texts, and values texts or None."""
    if not isinstance(value, Mapping):
        raise _wrong(name, "a mapping of keys to texts or None", value)
    for key, one in value.items():
        if not isinstance(key, str) or not key:
            raise _wrong(f"a key of {name}", "a text that is not empty", key)
        if one is not None and not isinstance(one, str):
            raise _wrong(f"{name}[{key!r}]", "a text, or None to remove it", one)
    return dict(value)


def _wrong(name: str, wanted: str, value: Any) -> UsageError:
    shown = repr(value)
    return UsageError(f"{name} is {wanted}, not {shown if len(shown) <= 60 else shown[:59] + '…'}")
