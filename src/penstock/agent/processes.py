"""Know a process beyond pid reuse; find and end those of an attempt, whatever group or parent they moved to.

Two ways to know them: as descendants of a living agent (a subreaper), and by the mark
``PENSTOCK_ATTEMPT=<id>`` in the environment they started with, which also works after the agent died.
"""

from __future__ import annotations

import os
import signal
import time

MARK = "PENSTOCK_ATTEMPT"
KILL_ROUNDS = 50
ROUND_S = 0.02


def boot_id() -> str:
    """Return the kernel's id of this boot; empty where the system has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def process_start(pid: int) -> int:
    """Return a process's start in clock ticks since boot, 0 if it does not run (or is a zombie)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return 0
    fields = stat[stat.rindex(b")") + 2 :].split()
    return 0 if fields[0] in {b"Z", b"X"} else int(fields[19])


def parents() -> dict[int, int]:
    """Return pid → parent pid of every process that runs and is no zombie."""
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                stat = file.read()
        except OSError:
            continue
        fields = stat[stat.rindex(b")") + 2 :].split(None, 2)
        if fields[0] not in {b"Z", b"X"}:
            found[int(name)] = int(fields[1])
    return found


def descendants(roots: set[int], tree: dict[int, int]) -> set[int]:
    """Return the processes below ``roots`` in ``tree`` (pid → parent pid), without the roots."""
    below: dict[int, list[int]] = {}
    for pid, parent in tree.items():
        below.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        for child in below.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found - roots


def has_mark(pid: int, value: str, variable: str = MARK) -> bool:
    """Return whether the process was started with the mark ``variable=value`` in its environment."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environ = file.read()
    except OSError:
        return False
    return f"{variable}={value}".encode() in environ.split(b"\0")


def marked(value: str, variable: str = MARK) -> set[int]:
    """Return the processes that carry the mark, and everything below them, without this process."""
    tree = parents()
    roots = {pid for pid in tree if has_mark(pid, value, variable)}
    return (roots | descendants(roots, tree)) - {os.getpid()}


def send(pid: int, number: int) -> bool:
    """Send a signal to one process; return False if it is gone."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def kill_marked(value: str, variable: str = MARK) -> int:
    """End every process with an attempt's mark, or another ``variable``'s, by SIGKILL; return how many there were.

    Looks again until none is left, since a process may fork while we look; gives up after a second on what
    the kernel does not let go.
    """
    killed: set[int] = set()
    for _ in range(KILL_ROUNDS):
        found = marked(value, variable)
        if not found:
            break
        killed.update(pid for pid in found if send(pid, signal.SIGKILL))
        time.sleep(ROUND_S)
    return len(killed)
