"""Run one command and end it, with everything it started, when standard input ends.

A program of its own, started with ``-I -S`` by its path as the leader of a session; the standard library alone.
The builder holds the other end of standard input, so a build ends with the server however that ended. A
parent-death signal would reach the command only, not the compilers below it.
"""

from __future__ import annotations

import os
import select
import signal
import sys


def main(command: list[str]) -> int:
    """Return the command's exit status, 128 + N where a signal ended it."""
    without_input = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=without_input)
    ended = os.pidfd_open(pid)
    readable, _, _ = select.select([0, ended], [], [])
    if ended not in readable:
        os.killpg(0, signal.SIGKILL)  # this process too
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
