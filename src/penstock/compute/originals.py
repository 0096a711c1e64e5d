"""What the supervisor changed for itself and its own, and a user's command gets back: umask and open files.

A raised limit of open files is no gift: some programs walk over all of them, and ``select`` fails beyond 1024.
"""

from __future__ import annotations

import contextlib
import os
import resource

UMASK = "PENSTOCK_UMASK"
OPEN_FILES = "PENSTOCK_NOFILE"
UNCHANGED = -1


def umask() -> int:
    """Return the umask the supervisor was started with; -1, which leaves it as it is, where it is not known."""
    with contextlib.suppress(KeyError, ValueError):
        return int(os.environ[UMASK], 8)
    return UNCHANGED


def restore_open_files(pid: int) -> None:
    """Give a process that was just started the soft limit the supervisor was started with."""
    # It is a courtesy: the process may have ended, and the variable may have been set by hand.
    with contextlib.suppress(KeyError, ValueError, OSError):
        soft = int(os.environ[OPEN_FILES])
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
