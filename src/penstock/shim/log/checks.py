"""What every ``log_*`` call asks of its arguments, and the way an artifact takes to the spool."""

from __future__ import annotations

import json
import math
import operator
import posixpath
import re
from typing import Any, Mapping

from ..mistakes import say_mistake
from ..spool import current

MAX_KEY = 250  # characters, as MLflow has it
LEAST_STEP, MAX_STEP = -(2**63), 2**63 - 1
_KEY = re.compile(r"[/\w.\- :]*")


def checked_name(name: Any) -> str:
    """Return a name as it is; raises TypeError unless it is a str with something in it."""
    if not isinstance(name, str) or not name:
        raise TypeError("a name is a str that is not empty, not %s" % _shown(name))
    return str(name)


def checked_key(key: Any) -> str:
    """Return the name of a metric, parameter or tag as it is, or refuse what MLflow's protocol refuses."""
    name = checked_name(key)
    if len(name) > MAX_KEY:
        raise ValueError("the name '%s…' has more than %d characters; choose a shorter one" % (name[:40], MAX_KEY))
    if not _KEY.fullmatch(name):
        raise ValueError('the name %r may have letters, digits and "_ - . space : /" only' % name)
    normal = posixpath.normpath(name)
    if normal != name or normal == "." or normal.startswith(("..", "/")):
        where = "out of its folder" if normal == name or normal.startswith("..") else "to %r; log under that" % normal
        raise ValueError("the name %r is a path that leads %s" % (name, where))
    return name


def checked_number(value: Any, name: str = "") -> float:
    """Return a metric's value as a float: a number, a text that is one, or an array or tensor of one element."""
    of = " of %r" % name if name else ""
    if value is None:
        raise TypeError("the value%s is None; log a number, or float('nan') where there is none" % of)
    if isinstance(value, (bytes, bytearray)):
        raise TypeError("the value%s is a number, not %s" % (of, type(value).__name__))
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except OverflowError:  # an int beyond what a float can say
        kept = math.inf if value > 0 else -math.inf
        say_mistake("log_metric", "the value%s is beyond what a float can say and is kept as %s" % (of, kept))
        return kept
    except (TypeError, ValueError, RuntimeError) as error:
        what = _shown(value) if isinstance(value, str) else type(value).__name__
        raise TypeError("the value%s is one number, not %s; log its mean, or each by itself" % (of, what)) from error


def checked_step(step: Any) -> int:
    """Return a step as an int; a float that is whole is one."""
    try:
        whole = operator.index(step)
    except TypeError:
        try:
            number = float(step.item() if hasattr(step, "item") else step)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise TypeError("the step is a whole number, not %s" % _shown(step)) from None
        if not number.is_integer():
            raise TypeError("the step is a whole number, not %s; round it" % _shown(step)) from None
        whole = int(number)
    if not LEAST_STEP <= whole <= MAX_STEP:
        raise ValueError("the step has more than 64 bits")
    return whole


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


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


def put(path: str, content: bytes) -> None:
    """Keep bytes as an artifact of the job; nothing outside one."""
    target = checked_path(path)
    spool = current()
    if spool is not None:
        spool.put_artifact(target, content)


def is_list(value: Any) -> bool:
    """Return whether a value is a list, or an array that can be one."""
    return isinstance(value, (list, tuple)) or (hasattr(value, "tolist") and hasattr(value, "__len__"))


def encode_json(value: Any, call: str = "log_dict") -> bytes:
    """Return a value as JSON for people; what JSON lacks becomes a list or text, which may be worth a remark."""
    mute: list[Any] = []

    def noted(one: Any) -> Any:
        kind: Any = type(one)
        if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__ and not hasattr(one, "tolist"):
            mute.append(one)
        return plain(one)

    encoded = json.dumps(value, indent=2, default=noted).encode("ascii")
    for one in mute:
        say_mistake(call, "a value of the type %s is no JSON; only a text is kept for it" % type(one).__name__)
    return encoded


def plain(value: Any) -> Any:
    """Return numpy scalars and arrays as Python's, anything else as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
