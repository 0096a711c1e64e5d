"""What the name of a metric, parameter or tag may be, however it comes to a run."""

from __future__ import annotations

import posixpath
import re

MAX_KEY = 250  # characters, as MLflow has it
_KEY = re.compile(r"[/\w.\- :]*")


def find_key_fault(key: str) -> str | None:
    """Return why MLflow's protocol takes no such name, None if it does.

    A name may be a path of folders, but one way only: ``a//b`` and ``../a`` would be other names.
    """
    if not key:
        return "a name is not empty"
    if len(key) > MAX_KEY:
        return f"the name {key[:40] + '…'!r} has more than {MAX_KEY} characters"
    if not _KEY.fullmatch(key):
        return f'the name {key!r} may have letters, digits and "_ - . space : /" only'
    normal = posixpath.normpath(key)
    if normal != key or normal == "." or normal.startswith(("..", "/")):
        where = "out of its folder" if normal == key or normal.startswith("..") else f"to {normal!r}"
        return f"the name {key!r} is a path that leads {where}"
    return None
