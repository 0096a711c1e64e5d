"""Find the server of a workspace folder, or start one in the background.

The sdk starts a server with ``python -m penstock.app``, never by import. Two starts at the same instant
give one server: starters take turns by a lock of their own, and the supervisor holds another lock as long
as it lives. A record that a killed server left behind names a process that is gone and is not believed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from penstock.entities.errors import OutOfSpaceError, RefusedError, UnavailableError, UsageError
from penstock.home import Home, ServerRecord, open_log
from penstock.sdk.http import HttpClient

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 60.0
_POLL_S = 0.01
_LONGEST_REASON = 2000
_MISUSED, _OUT_OF_SPACE = 2, 5  # exit statuses of the supervisor
_LOST_RACE = "is already served"  # the supervisor's words when a foreground start was quicker; its record follows


def find_server(home: Home) -> ServerRecord | None:
    """Return the record of the server that runs for a folder, None where none does."""
    try:
        record = home.read_server_record()
    except OSError as error:
        raise explain_folder(error, home.root) from error
    return record if record is not None and record.is_alive() else None


def ensure_server(
    home: Home,
    *,
    say: Callable[[str], None],
    host: str | None = None,
    port: int | None = None,
    timeout_s: float = START_TIMEOUT_S,
) -> ServerRecord:
    """Return the folder's server, starting one in the background when it has none.

    Parameters
    ----------
    home : Home
        The folder; made if it is missing.
    say : callable
        Gets one line when a server was started.
    host, port
        Passed on to a server that has to be started.
    timeout_s : float
        How long a start may take.

    Raises
    ------
    UsageError, RefusedError
        If the folder cannot be written or the server gives a reason not to start.
    UnavailableError
        If it does not come up in time.
    """
    record = find_server(home)
    if record is not None:
        return record
    with _turn(home):
        record = find_server(home)
        if record is not None:
            return record
        before = home.read_ports().get("server")
        record = _start(home, host, port, timeout_s)
    after = home.read_ports().get("server")
    if before and not port and after != before:
        say(f"Port {before} is taken by another program, so this workspace has port {after} from now on")
    say(f"Started a server for {home.root} at {record.url} (stop it with: penstock down -w {shorten(home.root)})")
    return record


def shorten(folder: Path) -> str:
    """Return a folder as one would type it here: relative when it lies below the current folder."""
    with contextlib.suppress(ValueError, OSError):
        relative = folder.resolve().relative_to(Path.cwd())
        return str(relative)
    return str(folder)


@contextlib.contextmanager
def _turn(home: Home) -> Iterator[None]:
    """Wait for other starters of the same folder."""
    try:
        home.make()
        descriptor = os.open(home.run / "launch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise explain_folder(error, home.root) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def explain_folder(error: OSError, folder: Path) -> UsageError | OutOfSpaceError:
    """Return what to say when a workspace folder cannot be used."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return OutOfSpaceError(f"the disk of {folder} is full", hint="Free some space, or choose a folder elsewhere.")
    place = Path(error.filename or folder)
    if place.is_relative_to(folder):
        place = place.relative_to(folder)
    where = "" if place == Path() else f"{place}: "
    return UsageError(
        f"workspace folder {folder} cannot be used: {where}{error.strerror}",
        hint="Choose a folder you may write to, or mend its permissions.",
    )


def _start(home: Home, host: str | None, port: int | None, timeout_s: float) -> ServerRecord:
    # -P: nothing is imported from the current folder, which may hold a uuid.py.
    command = [sys.executable, "-P", "-m", "penstock.app", "up", "--workspace", str(home.root.resolve())]
    command += ["--host", host] if host else []
    command += ["--port", str(port)] if port is not None else []
    try:
        log_path = home.logs / "supervisor.log"
        log = open_log(log_path)
    except OSError as error:
        raise explain_folder(error, home.root) from error
    with log:
        begin = log.tell()
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home.root, start_new_session=True
        )
    deadline = time.monotonic() + timeout_s
    reason: str | None = None
    while True:
        record = find_server(home)
        if record is not None and _answers(record, child, timeout_s):
            if child.poll() is None:
                # The server outlives this process, so nobody waits for the child; a set return code says so.
                child.returncode = 0
            return record
        status = child.poll()
        if status is not None and reason is None:
            if status == _OUT_OF_SPACE:  # its log lies on that disk and may have taken nothing
                raise explain_folder(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), home.root)
            reason = _read_from(log_path, begin) or f"it ended with status {status}; its logs: {home.logs}"
            if _LOST_RACE not in reason:
                raise (UsageError if status == _MISUSED else RefusedError)(reason)
        if time.monotonic() > deadline:
            raise UnavailableError(
                reason or f"the server of {home.root} did not come up in {timeout_s:.0f} s",
                hint=f"Its logs: {home.logs}",
            )
        time.sleep(_POLL_S)


def _answers(record: ServerRecord, child: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Wait until the server answers; its record is written when its socket is bound, a moment earlier.

    Returns False if it is the supervisor just started and that has ended, which has then said why.
    """
    client = HttpClient(record.url, timeout_s=timeout_s)
    try:
        client.get("/health")
    except UnavailableError:
        if record.pid != child.pid or child.poll() is None:
            raise
        return False
    finally:
        client.close()
    return True


def _read_from(path: Path, begin: int) -> str:
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(begin)
        return file.read()[-_LONGEST_REASON:].decode("utf-8", "replace").strip()
    return ""


def stop_server(record: ServerRecord, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
    """End a server and return when its process is gone; jobs go on.

    Raises
    ------
    UnavailableError
        If it is still there after ``timeout_s``.
    """
    try:
        descriptor = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return
    try:
        if not record.is_alive():
            return
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        ended, _, _ = select.select([descriptor], [], [], timeout_s)
    finally:
        os.close(descriptor)
    if not ended:
        raise UnavailableError(
            f"the server (process {record.pid}) did not end in {timeout_s:.0f} s",
            hint=f"If it must: kill -9 {record.pid}; nothing acknowledged is lost.",
        )
