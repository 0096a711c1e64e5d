"""What becomes of a mistake in a call that logs: one line in the job's log, and the training goes on.

Each mistake is said once, with the line of the calling program; how often it was made is said when the process ends.
``PENSTOCK_LOG_STRICT=1`` raises instead, for tests.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import os
import sys
import threading
from types import TracebackType
from typing import Any, Callable, TypeVar, cast

VARIABLE = "PENSTOCK_LOG_STRICT"
OFF = ("", "0", "false", "no", "off")
MOST = 100
"""Different mistakes that a process says; a loop with a new name in each round does not fill the log."""
LONGEST = 400
HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
Call = TypeVar("Call", bound=Callable[..., Any])

logger = logging.getLogger("penstock")
_counts: dict[str, int] = {}
_lock = threading.Lock()


class forgiven:  # reads as a sentence: `with forgiven("log_metric"):`
    """A block whose mistake is said and does not go on, unless the program asked for strictness."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if not isinstance(error, Exception) or is_strict():
            return False
        try:
            what = describe(error)
        except Exception:  # the program's own kind of error, which cannot say what it is
            what = describe(ValueError(type(error).__name__))
        say_mistake(self._name, what)
        return True


def forgiving(call: Call) -> Call:
    """Let a function say its mistakes instead of raising; it returns None then."""

    @functools.wraps(call)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        with forgiven(call.__name__):
            return call(*args, **kwargs)

    return cast(Call, guarded)


def is_strict() -> bool:
    """Return whether mistakes are raised."""
    return os.environ.get(VARIABLE, "").lower() not in OFF


def say_mistake(name: str, what: str) -> None:
    """Say a mistake the first time it is made at a place of the calling program, and count it."""
    text = "%s: penstock.%s: %s" % (caller(), name, what)
    with _lock:
        is_new = text not in _counts
        if is_new and len(_counts) >= MOST:
            text = "further mistakes in calls that log are not said"
            is_new = text not in _counts
        _counts[text] = _counts.get(text, 0) + 1
    if is_new:
        _warn(text)


def caller() -> str:
    """Return the file and line of the calling program, the innermost that is not ours."""
    frame = sys._getframe(1)
    while frame.f_back is not None and os.path.abspath(frame.f_code.co_filename).startswith(HERE):
        frame = frame.f_back
    path = frame.f_code.co_filename
    with contextlib.suppress(OSError):  # the working directory may be gone
        here = os.getcwd() + os.sep
        path = path[len(here) :] if path.startswith(here) else path
    return "%s:%d" % (path, frame.f_lineno)


def describe(error: Exception) -> str:
    """Return what went wrong in one line of bounded length."""
    if isinstance(error, KeyError):
        text = "the key %s is missing" % error
    elif isinstance(error, OSError) and error.strerror:
        text = "%s: %s" % (error.strerror, error.filename) if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    text = " ".join(text.split())
    text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return text if "left out" in text else text + " (left out)"


def say_counts() -> None:
    """Say how often those mistakes were made that were made more than once."""
    with _lock:
        repeated = [(text, count) for text, count in _counts.items() if count > 1]
        _counts.clear()
    for text, count in repeated:
        _warn("%s [%d times in all]" % (text, count))


def _warn(text: str) -> None:
    try:
        logger.warning("%s", text)
    except Exception:  # a handler of the program's own: nothing of ours may end a training
        with contextlib.suppress(Exception):
            sys.stderr.write("penstock: %s\n" % text)


def _renew() -> None:
    """Give a forked process a lock that nobody holds, and a count of its own of what was said already."""
    global _lock
    _lock = threading.Lock()
    for text in _counts:
        _counts[text] = 0


atexit.register(say_counts)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
