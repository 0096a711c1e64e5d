"""What the name of a metric, parameter or tag may be, however it comes to a run."""

from __future__ import annotations

import posixpath
import re

MAX_KEY = 250  # characters, as MLflow has it
KEY = re.compile(r"[/\w.\- :]*")
"""The characters of which a name is made."""


def find_key_fault(key: str) -> str | None:
    """Return why MLflow's protocol takes no such name, None if it does.

    A name may be a path of folders, but one way only: ``a//b`` and ``../a`` would be other names.
    """
    if not key:
        return "a name is not empty"
    if len(key) > MAX_KEY:
        return f"the name {key[:40] + '…'!r} has more than {MAX_KEY} characters"
    if not KEY.fullmatch(key):
        return f'the name {key!r} may have letters, digits and "_ - . space : /" only'
    normal = leads_elsewhere(key)
    if normal is not None:
        where = "out of its folder" if normal == key or normal.startswith("..") else f"to {normal!r}"
        return f"the name {key!r} is a path that leads {where}"
    return None


def leads_elsewhere(key: str) -> str | None:
    """Return the path that a name, read as a path, leads to instead of itself; None where there is no such other."""
    normal = posixpath.normpath(key)
    return normal if normal != key or normal == "." or normal.startswith(("..", "/")) else None
