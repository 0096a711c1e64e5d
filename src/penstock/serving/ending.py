"""End replicas' processes, also those another gateway started, and say how one ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess

KILL_DELAY_S = 5.0


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
    readable, _, _ = select.select([pidfd], [], [], timeout_s)
    return bool(readable)
