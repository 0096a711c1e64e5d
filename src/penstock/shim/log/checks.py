"""What every ``log_*`` call asks of its arguments, and the way an artifact takes to the spool."""

from __future__ import annotations

import json
import math
from typing import Any, Mapping

from ..spool import current, warn_once

MAX_KEY = 250  # characters, as MLflow has it


def checked_name(name: Any) -> str:
    """Return a name as it is; raises TypeError unless it is a str with something in it."""
    if not isinstance(name, str) or not name:
        raise TypeError("a name is a str that is not empty, not %r" % (name,))
    return name


def checked_number(value: Any) -> float:
    """Return a metric's value as a float; text is none."""
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError("a metric's value is a number, not %s" % type(value).__name__)
    try:
        return float(value)
    except OverflowError:  # an int beyond what a float can say
        return math.inf if value > 0 else -math.inf


def checked_mapping(values: Any) -> Mapping[str, Any]:
    """Return a mapping as it is; raises TypeError for anything else."""
    if not isinstance(values, Mapping):
        raise TypeError("names and values come as a mapping, not %s" % type(values).__name__)
    return values


def checked_path(path: Any) -> str:
    """Return an artifact path, or refuse one that could leave its root."""
    if not isinstance(path, str):
        raise TypeError("an artifact's path is a str, not %s" % type(path).__name__)
    if not path or "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError('an artifact\'s path is relative and has no "..": %r' % path)
    return path


def is_key(name: str) -> bool:
    """Return whether a name is short enough to be kept; warn once if not."""
    if len(name) <= MAX_KEY:
        return True
    shown = name[:40]
    warn_once("what is logged as '%s…' is left out: its name has more than %d characters" % (shown, MAX_KEY), "key")
    return False


def put(path: str, content: bytes) -> None:
    """Keep bytes as an artifact of the job; nothing outside one."""
    target = checked_path(path)
    spool = current()
    if spool is not None:
        spool.put_artifact(target, content)


def is_list(value: Any) -> bool:
    """Return whether a value is a list, or an array that can be one."""
    return isinstance(value, (list, tuple)) or (hasattr(value, "tolist") and hasattr(value, "__len__"))


def encode_json(value: Any) -> bytes:
    """Return a value as JSON for people; what JSON lacks becomes a list or text."""
    return json.dumps(value, indent=2, default=plain).encode("ascii")


def plain(value: Any) -> Any:
    """Return numpy scalars and arrays as Python's, anything else as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
