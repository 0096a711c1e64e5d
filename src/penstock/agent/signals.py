"""Signals, timers and dead children as one thing to wait for.

The main thread sleeps in one ``select`` on the wakeup pipe that the C-level signal handlers write to: SIGCHLD,
SIGTERM (cancel) and deadlines end the sleep; nothing polls.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

PR_SET_CHILD_SUBREAPER = 36


class CancelRequested(BaseException):
    """SIGTERM came while the attempt was being prepared."""


def become_subreaper() -> bool:
    """Make orphaned grandchildren become children of this process; return whether the kernel did.

    With it, "no child is left" means that no descendant is left, whatever double-forked or called setsid.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None, use_errno=True)
    return bool(library.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


class Signals:
    """The agent's signal handling; create it in the main thread.

    Handlers are functions, never SIG_IGN, because an ignored signal would stay ignored in the command.
    """

    def __init__(self) -> None:
        self.is_cancel_requested = False
        self._raises = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_cancel)
        for other in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT):
            signal.signal(other, self._on_other)

    def wait(self, until: float | None) -> None:
        """Sleep until a signal came or the monotonic clock reached ``until`` (seconds)."""
        delay = None if until is None else max(0.0, until - time.monotonic())
        if select.select([self._read], [], [], delay)[0]:
            try:
                os.read(self._read, 4096)
            except BlockingIOError:
                return

    def raise_on_cancel(self, raises: bool) -> None:
        """Choose whether SIGTERM interrupts the main thread with CancelRequested."""
        self._raises = raises
        if raises and self.is_cancel_requested:
            raise CancelRequested

    def _on_cancel(self, number: int, frame: FrameType | None) -> None:
        self.is_cancel_requested = True
        if self._raises:
            self._raises = False
            raise CancelRequested

    def _on_other(self, number: int, frame: FrameType | None) -> None:
        """Only wake the main thread."""
