"""Lines of ours: in the job's log for its owner, on standard error for whoever runs the workspace.

Both may be files on a full disk. A line that cannot be written is lost; it never ends the agent.
"""

from __future__ import annotations

import contextlib
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

STANDARD_ERROR = 2


def noter(log: int) -> Callable[[str], None]:
    """Return a function that writes one line of ours into the job's log, on a line of its own."""

    def note(line: str) -> None:
        try:
            begun = "\n" if _ends_within_a_line(log) else ""
            os.write(log, f"{begun}penstock: {line}\n".encode("utf-8", "surrogateescape"))
        except (OSError, UnicodeError) as error:
            complain(f"{line} (not logged: {error})")

    return note


def _ends_within_a_line(log: int) -> bool:
    status = os.fstat(log)
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return False
    reading = os.open(f"/proc/self/fd/{log}", os.O_RDONLY | os.O_CLOEXEC)  # the log itself is open for writing only
    try:
        return os.pread(reading, 1, status.st_size - 1) not in {b"\n", b""}
    finally:
        os.close(reading)


def complain(message: str) -> None:
    """Write what goes wrong with the agent itself to standard error."""
    with contextlib.suppress(OSError):
        os.write(STANDARD_ERROR, f"penstock agent: {message}\n".encode("utf-8", "backslashreplace"))


def complain_of_defect(what: str) -> None:
    """Write the traceback of the exception being handled, which nobody expected, to standard error."""
    import traceback  # costs 3 ms, and only a defect needs it

    complain(f"{what}\n{traceback.format_exc()}")
