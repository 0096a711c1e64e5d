"""What every build needs: one at a time for each content, its lines, and an end when nobody wants it any more."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from penstock.compute import originals
from penstock.compute.environments import warden
from penstock.entities.errors import RefusedError

LOOK_S = 0.2
"""How often a build asks whether it is still wanted."""

ShouldStop = Callable[[], bool]


@contextlib.contextmanager
def locked(path: Path, should_stop: ShouldStop | None) -> Iterator[int]:
    """Hold a build's lock; waits for another build of the same content.

    Yields its descriptor. The lock is held as long as a process has that open: a builder that inherits it keeps the
    next build waiting even when the process that started it is gone.

    Raises
    ------
    RefusedError
        If the build is canceled while it waits.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not try_lock(descriptor):
            stop_if_asked(should_stop)
            time.sleep(LOOK_S)
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take a lock if nobody has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def stop_if_asked(should_stop: ShouldStop | None) -> None:
    """Raise RefusedError if the build is not wanted any more."""
    if should_stop is not None and should_stop():
        raise RefusedError("the build of the environment was canceled")


def run_builder(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    lock: int,
    log: Callable[[str], None],
    should_stop: ShouldStop | None,
) -> int:
    """Run a builder to its end and return its exit status; no process of it is left.

    It ends with this process, whatever ends that, and has the lock open until then.

    Parameters
    ----------
    command : sequence of str
        The program's path and its arguments.
    environment : mapping
        All of its environment.
    lock : int
        What `locked` gave.
    log : callable
        Gets each line it writes.
    should_stop : callable, optional
        Asked again and again; a yes ends the builder.

    Raises
    ------
    RefusedError
        If it was canceled.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", warden.__file__, *command],
        cwd="/",
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(lock,),
        start_new_session=True,
        umask=originals.umask(),  # it shares a cache with the user's own uv
    )
    with process:
        try:
            for line in _lines(process, should_stop):
                log(line)
            # Waited for without being collected: its pid names its group as long as it is a zombie.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode


def _lines(process: subprocess.Popen[bytes], should_stop: ShouldStop | None) -> Iterator[str]:
    """Yield what a process writes, line by line, until it has closed its output or ended."""
    assert process.stdout is not None
    output = process.stdout.fileno()
    poll = select.poll()  # select.select ends at descriptor 1024, and a server may have more
    poll.register(output, select.POLLIN)
    rest = b""
    while True:
        stop_if_asked(should_stop)
        if poll.poll(LOOK_S * 1000):
            data = os.read(output, 65536)
        elif os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            data = b""  # something that it left behind has the output open still
        else:
            continue
        *lines, rest = (rest + data).split(b"\n")
        if not data and rest:
            lines.append(rest)
        for line in lines:
            yield line.decode("utf-8", "replace").rstrip()
        if not data:
            return
