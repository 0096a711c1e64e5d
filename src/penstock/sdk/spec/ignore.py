"""Which files of a code folder stay at home: ``.amlignore``, else ``.gitignore``, in git's own syntax."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

NEVER_CODE = frozenset({".git", ".penstock"})
"""A repository and a workspace are never part of a snapshot; nothing brings them back."""

ALWAYS_IGNORED = ("__pycache__/", ".ipynb_checkpoints/", ".venv/", "*.pyc")
"""Ignored before any file is read; a ``!pattern`` brings them back."""


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    is_negated: bool
    folders_only: bool


class IgnoreRules:
    """The patterns of one ignore file; the last one that matches decides.

    Parameters
    ----------
    lines : iterable of str
        The lines of the file, after the patterns that always hold.
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._rules = [rule for line in (*ALWAYS_IGNORED, *lines) if (rule := _parse(line)) is not None]

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Return whether a relative POSIX path is ignored by itself.

        A walk asks for each folder before what is in it and does not enter ignored ones, as git does; so a file
        in an ignored folder cannot be brought back.
        """
        if path.rpartition("/")[2] in NEVER_CODE:
            return True
        for rule in reversed(self._rules):
            if (is_folder or not rule.folders_only) and rule.pattern.fullmatch(path):
                return not rule.is_negated
        return False


def _parse(line: str) -> _Rule | None:
    line = line.rstrip("\r\n")
    stripped = line.rstrip(" ")
    if stripped.endswith("\\") and len(stripped) < len(line):
        stripped += " "
    if not stripped or stripped.startswith("#"):
        return None
    is_negated = stripped.startswith("!")
    text = stripped[1:] if is_negated else stripped
    folders_only = text.endswith("/")
    text = text[:-1] if folders_only else text
    if not text.strip("/"):
        return None
    is_anchored = "/" in text
    text = text.removeprefix("/")
    try:
        pattern = re.compile(("" if is_anchored else "(?:.*/)?") + _translate(text), re.DOTALL)
    except re.error:
        return None
    return _Rule(pattern, is_negated, folders_only)


def _translate(glob: str) -> str:
    """Return the regular expression of a git pattern: ``*`` and ``?`` stop at ``/``, ``**`` does not."""
    result = ""
    at = 0
    while at < len(glob):
        letter = glob[at]
        if glob.startswith("**/", at) and (at == 0 or glob[at - 1] == "/"):
            result += "(?:.*/)?"
            at += 3
        elif glob[at:] == "**" and (at == 0 or glob[at - 1] == "/"):
            result += ".+"
            at += 2
        elif letter == "*":
            result += "[^/]*"
            at += len(glob[at:]) - len(glob[at:].lstrip("*"))
        elif letter == "?":
            result += "[^/]"
            at += 1
        elif letter == "[" and (end := _class_end(glob, at)):
            inside = glob[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            result += "(?!/)[" + ("^" + inside[1:] if inside[0] in "!^" else inside) + "]"
            at = end + 1
        else:
            if letter == "\\" and at + 1 < len(glob):
                at += 1
            result += re.escape(glob[at])
            at += 1
    return result


def _class_end(glob: str, start: int) -> int:
    at = start + 1
    if at < len(glob) and glob[at] in "!^":
        at += 1
    return max(glob.find("]", at + 1), 0)
