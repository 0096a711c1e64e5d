r"""Regular expressions in searches: RE2, whose time grows with the text only, whatever the pattern.

Python's own engine needs exponential time for some patterns and cannot be stopped meanwhile; a search is asked by
anybody who may read. There are no back references and no look-around, and ``\w`` means ASCII.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from penstock.entities.errors import UsageError
from penstock.plugins import load_module

MAX_LENGTH = 1000
_MEMORY_BYTES = 1 << 20
_REMEMBERED = 200


def check_pattern(pattern: str) -> str:
    """Return a pattern that can be searched for.

    Raises
    ------
    UsageError
        If it is too long or no regular expression.
    """
    if len(pattern) > MAX_LENGTH:
        raise UsageError(f"a regular expression has more than {MAX_LENGTH} characters")
    error = load_module("re2").error
    try:
        compile_pattern(pattern)
    except error as reason:
        said = reason.args[0]
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise UsageError(
            f"{pattern[:200]!r} is not a regular expression: {text}",
            hint="The syntax is RE2's: https://github.com/google/re2/wiki/Syntax",
        ) from reason
    except UnicodeEncodeError as reason:
        raise UsageError("a regular expression is not valid Unicode") from reason
    return pattern


def regexp(pattern: str, text: Any) -> bool:
    """Return whether a pattern occurs in a text; SQLite's ``text REGEXP pattern``."""
    if text is None:
        return False
    found = str(text)
    # Searches meet the same short texts again and again; long ones would only fill the memory.
    return _search(pattern, found) if len(found) <= _REMEMBERED else compile_pattern(pattern).search(found) is not None


@lru_cache(maxsize=4096)
def _search(pattern: str, text: str) -> bool:
    return compile_pattern(pattern).search(text) is not None


@lru_cache(maxsize=64)
def compile_pattern(pattern: str) -> Any:
    """Return a pattern that :func:`check_pattern` passed, ready to search with."""
    re2 = load_module("re2")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    return re2.compile(pattern, options)
