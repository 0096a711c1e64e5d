"""Say why a process cannot start or go on: one sentence, even where the disk is full and a log takes no more."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from penstock.entities.errors import OutOfSpaceError, PenstockError, UsageError

MISUSED = 2
REFUSED = 4
OUT_OF_SPACE = 5
LITTLE_BYTES = 2**20
REFUSALS = frozenset({MISUSED, REFUSED, OUT_OF_SPACE})
"""Statuses of a process that has said why it does not start."""


def say(text: str) -> None:
    """Write to standard error; what cannot be written is lost.

    Not by ``sys.stderr``: what it could not write it would try again at the end, and change the exit status.
    """
    with contextlib.suppress(OSError):  # nobody is left to tell
        os.write(2, f"{text}\n".encode("utf-8", "replace"))


def refuse(error: PenstockError) -> int:
    """Say an error and return the exit status for it."""
    say(str(error))
    if isinstance(error, OutOfSpaceError):
        return OUT_OF_SPACE
    return MISUSED if isinstance(error, UsageError) else REFUSED


def disk_full(folder: Path) -> OutOfSpaceError:
    """Return what to say when a workspace's disk is full."""
    return OutOfSpaceError(
        f"the disk of {folder} is full", hint="Free some space, or choose a folder on another disk with -w."
    )


def explain(error: OSError, folder: Path) -> PenstockError:
    """Return what to say when a workspace folder cannot be used."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return disk_full(folder)
    return UsageError(
        f"workspace folder {folder} cannot be used: {error.filename or folder}: {error.strerror}",
        hint="Choose a folder you may write to with -w, or mend its permissions.",
    )


def has_room(folder: Path) -> bool:
    """Return whether the disk of a folder takes more than a log or two."""
    with contextlib.suppress(OSError):
        disk = os.statvfs(folder)
        return disk.f_bavail * disk.f_frsize >= LITTLE_BYTES
    return True


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Translate the operating system's errors about a workspace folder."""
    try:
        yield
    except OSError as error:
        raise explain(error, folder) from error
