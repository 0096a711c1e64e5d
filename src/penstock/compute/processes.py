"""Tell whether a recorded process still runs, and signal it without ever hitting one that took its pid."""

from __future__ import annotations

import os
import signal

from penstock.compute.base import AgentHandle
from penstock.home import boot_id, process_start


def identify(node: str, pid: int) -> AgentHandle:
    """Return the handle of a process that runs now; its start is 0 if it has ended already."""
    return AgentHandle(node, pid, process_start(pid), boot_id())


def is_running(handle: AgentHandle) -> bool:
    """Return whether that very process still runs; a zombie does not."""
    return handle.boot_id == boot_id() and process_start(handle.pid) == handle.process_start != 0


def send_signal(handle: AgentHandle, number: int = signal.SIGTERM) -> bool:
    """Send a signal to that very process; return False, and do nothing, if it is gone.

    The pidfd is opened before the identity is checked, so the pid cannot change owner in between.
    """
    try:
        descriptor = os.pidfd_open(handle.pid)
    except (ProcessLookupError, OSError):
        return False
    try:
        if not is_running(handle):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True
