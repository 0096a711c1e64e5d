"""Relative POSIX paths that stay inside their root: artifacts, trees, archives."""

from __future__ import annotations

import re
from urllib.parse import unquote

from penstock.entities.errors import InvalidPathError

MAX_PATH_BYTES = 1024
MAX_PART_BYTES = 255
_DECODINGS = 3
_DRIVE = re.compile(r"[A-Za-z]:")


def check_path(path: str) -> str:
    """Return ``path`` unchanged when it names a file or folder inside any root.

    Parameters
    ----------
    path : str
        A relative path with ``/`` between its parts, already percent-decoded once by the door.

    Raises
    ------
    InvalidPathError
        If it is empty, absolute, has ``.``, ``..`` or empty parts, a backslash, a drive letter, control
        characters, lone surrogates or parts too long for a file system; or if it would be one of these
        after decoding its percent signs once more, because somebody behind us might.
    """
    reason = _reason(path)
    if reason:
        shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in path[:100])
        raise InvalidPathError(
            f'the path "{shown}" {reason}', hint="Paths are relative to their root and stay inside it."
        )
    return path


def check_prefix(path: str) -> str:
    """Return ``path`` as the folder a listing is asked for: ``""`` is the root, one final ``/`` is dropped."""
    trimmed = path.removesuffix("/")
    return check_path(trimmed) if trimmed or path == "/" else ""


def _reason(path: str) -> str:
    reason = _plain_reason(path)
    for _ in range(_DECODINGS):
        if reason or "%" not in path:
            return reason
        path = unquote(path, errors="replace")
        reason = _plain_reason(path)
        reason = f"{reason} once decoded" if reason else ""
    return reason


def _plain_reason(path: str) -> str:
    if not path:
        return "is empty"
    if path.startswith("/"):
        return "is absolute"
    if "\\" in path:
        return "has a backslash"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in path):
        return "has a control character"
    if _DRIVE.match(path):
        return "begins with a drive letter"
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return 'has an empty part, "." or ".."'
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "is no valid Unicode"
    if max(sizes) > MAX_PART_BYTES or sum(sizes) + len(sizes) - 1 > MAX_PATH_BYTES:
        return "is too long"
    return ""
