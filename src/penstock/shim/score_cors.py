"""Headers that let pages of other origins call a script (``AML_CORS_ORIGINS``). Standard library only, >= 3.9."""

from __future__ import annotations

import re
from typing import Optional

from .score_inputs import Request

METHODS = ("GET", "POST")
_PATTERN_SIGNS = frozenset("*\\]?$^[()")


class Cors:
    """Which origins may call.

    Parameters
    ----------
    origins : list of str
        Origins, ``*``, or regular expressions (what holds one of their signs).
    """

    def __init__(self, origins: list[str]) -> None:
        self._is_open = "*" in origins
        self._plain = sorted({each for each in origins if not _PATTERN_SIGNS & set(each)})
        patterns = [".*" if each == "*" else each for each in origins if _PATTERN_SIGNS & set(each)]
        self._patterns = [re.compile(each, re.IGNORECASE) for each in patterns]
        self._varies = len(origins) > 1 or bool(patterns)

    def headers(self, request: Request) -> list[tuple[str, str]]:
        """Return the headers an answer gets."""
        allowed = self._allowed(request.headers.get("Origin", ""))
        if allowed is None:
            return []
        found = [("Access-Control-Allow-Origin", allowed)]
        if request.method == "OPTIONS":
            found += _preflight(request)
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            found.append(("Access-Control-Allow-Private-Network", "false"))
        if self._varies and allowed != "*":
            found.append(("Vary", "Origin"))
        return found

    def _allowed(self, origin: str) -> Optional[str]:
        if not origin:  # asked by no page; caches may hand the answer to one
            return "*" if self._is_open else self._plain[0] if self._plain else None
        lowered = origin.lower()
        matches = any(each.lower() == lowered for each in self._plain) or any(p.match(origin) for p in self._patterns)
        return origin if matches else None


def _preflight(request: Request) -> list[tuple[str, str]]:
    if request.headers.get("Access-Control-Request-Method", "").upper() not in METHODS:
        return []
    wanted = sorted(each.strip() for each in request.headers.get("Access-Control-Request-Headers", "").split(","))
    asked = ", ".join(each for each in wanted if each)
    found = [("Access-Control-Allow-Headers", asked)] if asked else []
    return [*found, ("Access-Control-Allow-Methods", ", ".join(METHODS))]
