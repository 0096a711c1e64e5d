"""Run the command in a session of its own, wait for its end, and leave no process behind.

Does not know the server: it gets a deadline and a cancel flag, and returns what happened.
"""

from __future__ import annotations

import os
import signal
import time

from penstock.agent.processes import MARK, descendants, parents, send
from penstock.agent.signals import Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.agent.assignment import Assignment

BACKGROUND_GRACE_S = 2.0
GIVE_UP_S = 10.0
SCAN_S = 0.05
SHELLS = ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash")

UMASK = "PENSTOCK_UMASK"
DEFAULT_UMASK = 0o022


class Ending:
    """How a command ended: ``reason`` is exited, signal, out_of_memory, canceled, timeout or prepare_failed.

    ``exit_code`` of a command ended by a signal is 128 + its number, as shells say it; times are ms UTC.
    """

    __slots__ = ("ended_at", "exit_code", "message", "reason", "started_at")

    def __init__(
        self,
        reason: str,
        exit_code: int | None = None,
        message: str = "",
        *,
        started_at: int | None = None,
        ended_at: int | None = None,
    ) -> None:
        self.reason = reason
        self.exit_code = exit_code
        self.message = message
        self.started_at = started_at
        self.ended_at = ended_at

    def as_dict(self) -> dict[str, object]:
        """Return the fields as they are recorded and sent."""
        return {name: getattr(self, name) for name in self.__slots__}


class Command:
    """A started command and the processes it leaves.

    The shell is the leader of a new session, so a signal to its group reaches what did not move away; what did
    is found as a descendant, because the agent is a child subreaper.
    """

    def __init__(self, assignment: Assignment, log: int) -> None:
        shell = next((path for path in SHELLS if os.access(path, os.X_OK)), "/bin/sh")
        self.started_at = now_ms()
        self._out_of_memory_kills = out_of_memory_kills()
        own_umask = os.umask(users_umask())
        try:
            self.pid = os.posix_spawn(
                shell,
                [os.path.basename(shell), "-c", assignment.command],
                command_environment(assignment),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
            )
        finally:
            os.umask(own_umask)
        self._status: int | None = None
        self._has_children = True

    def wait(self, signals: Signals, *, timeout_s: float | None, grace_s: float, note: Callable[[str], None]) -> Ending:
        """Wait until the command and everything it started has ended.

        Parameters
        ----------
        signals : Signals
            Wakes the wait; its cancel flag ends the command.
        timeout_s : float or None
            Seconds after which the command is ended.
        grace_s : float
            Seconds between SIGTERM and SIGKILL.
        note : callable
            Writes one line for the user into the log.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        kill_at: float | None = None
        reason = ""
        is_killed = False
        while not self._reap():
            now = time.monotonic()
            if not reason and (signals.is_cancel_requested or (deadline is not None and now >= deadline)):
                reason = "canceled" if signals.is_cancel_requested else "timeout"
                note("canceled" if reason == "canceled" else f"time limit of {timeout_s:g} s reached")
                self._signal_group(signal.SIGTERM)
                kill_at = now + grace_s
            elif kill_at is not None and now >= kill_at:
                note(f"still running {grace_s:g} s after SIGTERM: sending SIGKILL")
                self._signal_group(signal.SIGKILL)
                kill_at, is_killed = None, True
                continue
            signals.wait(kill_at if reason else deadline)
        ended_at = now_ms()
        if is_killed:
            remaining_s = 0.0
        else:
            remaining_s = min(BACKGROUND_GRACE_S, grace_s) if kill_at is None else kill_at - time.monotonic()
        self.end_remains(signals, grace_s=remaining_s, is_group_told=bool(reason))
        return self._ending(reason, ended_at, timeout_s)

    def end_remains(self, signals: Signals, *, grace_s: float, is_group_told: bool = False) -> None:
        """End what the command left: SIGTERM, and SIGKILL after ``grace_s`` seconds; no cost if nothing is left.

        ``is_group_told``: the command's group had its SIGTERM; many programs take a second one as "at once".
        """
        start = time.monotonic()
        told: set[int] = set()
        self._reap()
        while self._has_children:
            age = time.monotonic() - start
            if age > grace_s + GIVE_UP_S:
                return
            number = signal.SIGTERM if age < grace_s else signal.SIGKILL
            for pid in descendants({os.getpid()}, parents()):
                if number == signal.SIGKILL or (pid not in told and not (is_group_told and self._is_in_group(pid))):
                    send(pid, number)
                    told.add(pid)
            signals.wait(time.monotonic() + SCAN_S)
            self._reap()

    def _reap(self) -> bool:
        """Collect dead children and return whether the command is one of them."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._has_children = False
                break
            if pid == 0:
                break
            if pid == self.pid:
                self._status = status
        return self._status is not None

    def _is_in_group(self, pid: int) -> bool:
        try:
            return os.getpgid(pid) == self.pid
        except ProcessLookupError:
            return True

    def _signal_group(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def _ending(self, reason: str, ended_at: int, timeout_s: float | None) -> Ending:
        code = os.waitstatus_to_exitcode(self._status or 0)
        message = ""
        if reason == "timeout":
            message = f"The command ran longer than its limit of {timeout_s:g} s and was ended."
        elif reason == "canceled":
            message = "The job was canceled."
        elif code == -signal.SIGKILL and out_of_memory_kills() > self._out_of_memory_kills:
            reason, message = "out_of_memory", "The system ended the command because memory ran out."
        elif code < 0:
            reason, message = "signal", f"The command was ended by {signal.Signals(-code).name}."
        elif code:
            message = f"The command ended with exit code {code}."
        return Ending(
            reason or "exited",
            code if code >= 0 else 128 - code,
            message,
            started_at=self.started_at,
            ended_at=ended_at,
        )


def command_environment(assignment: Assignment) -> dict[str, str]:
    """Return the command's environment: ours, the assignment's additions, PATH, PYTHONPATH and the mark.

    Output is unbuffered unless the job says otherwise, so that its log streams.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    environment.pop("PYTHONHOME", None)
    environment.setdefault("PYTHONUNBUFFERED", "1")
    environment.update(assignment.environment)
    path = environment.get("PATH") or os.defpath
    environment["PATH"] = os.pathsep.join([*assignment.path_prepend, path])
    if assignment.shim:
        inherited = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([*([inherited] if inherited else []), assignment.shim])
    environment["PWD"] = assignment.work
    environment["PENSTOCK_SPOOL"] = assignment.spool
    environment[MARK] = assignment.attempt
    return environment


def users_umask() -> int:
    """Return the umask the supervisor was started with; a command's files are as open as the user's own."""
    try:
        return int(os.environ[UMASK], 8) & 0o777
    except (KeyError, ValueError):
        return DEFAULT_UMASK


def out_of_memory_kills() -> int:
    """Return how many processes the kernel has ended for want of memory since boot, 0 where it does not say."""
    try:
        with open("/proc/vmstat", "rb") as file:
            for line in file:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    except OSError:
        return 0
    return 0


def now_ms() -> int:
    """Return milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000
