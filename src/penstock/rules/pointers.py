"""JSON Pointers (RFC 6901): how a problem names its place in a specification."""

from __future__ import annotations

from collections.abc import Iterable


def split_pointer(pointer: str) -> list[str]:
    """Return the unescaped parts of a JSON Pointer."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def join_pointer(parts: Iterable[str | int]) -> str:
    """Return the JSON Pointer of the given parts."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
