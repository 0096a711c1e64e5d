"""End replicas' processes, also those another gateway started, and say how one ended."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import signal
import subprocess
from enum import Enum, auto

from penstock.entities.errors import OutOfSpaceError

KILL_DELAY_S = 5.0
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EAGAIN})


class End(Enum):
    """Why a replica ended that nobody had asked to.

    It was lost, it cannot load, the machine lacks something, or it took more memory than it may.
    """

    LOST = auto()
    CANNOT_LOAD = auto()
    SHORTAGE = auto()
    MEMORY = auto()


def is_shortage(error: BaseException) -> bool:
    """Return whether an error says that files, disk or memory are short at the moment."""
    return isinstance(error, OutOfSpaceError) or (isinstance(error, OSError) and error.errno in _SHORTAGES)


async def end_child(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours: SIGTERM, and SIGKILL if that does not help."""
    process.terminate()
    try:
        await asyncio.to_thread(process.wait, KILL_DELAY_S)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)


async def end_adopted(pid: int, pidfd: int | None) -> None:
    """End a process that another gateway started, as :func:`end_child` does; ``pidfd`` is closed."""
    _send(pid, pidfd, signal.SIGTERM)
    if pidfd is not None:
        if not await asyncio.to_thread(_has_ended, pidfd, KILL_DELAY_S):
            _send(pid, pidfd, signal.SIGKILL)
        os.close(pidfd)


def explain(status: int | None) -> str:
    """Return how a process ended, as the end of a sentence."""
    if status is None:
        return "unexpectedly"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"by signal {-status} ({signal.Signals(-status).name})"
    return f"with exit status {status}"


def _send(pid: int, pidfd: int | None, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if pidfd is not None:
            signal.pidfd_send_signal(pidfd, number)
        else:
            os.kill(pid, number)


def _has_ended(pidfd: int, timeout_s: float) -> bool:
    watch = select.poll()  # select() knows no descriptor above 1023
    watch.register(pidfd, select.POLLIN)
    return bool(watch.poll(timeout_s * 1000))
