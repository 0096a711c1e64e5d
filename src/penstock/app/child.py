"""One process that the supervisor keeps alive, and the rule of when it is started again."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.app.refusal import REFUSALS
from penstock.home import open_log
from penstock.serving.logs import read_tail

RESTART_DELAYS_S = (0.0, 0.2, 1.0, 3.0, 5.0)
QUICK_DEATH_S = 10.0
AFTER_WORK_S = 0.2
"""Who waits for a server that answered in its last life is not made to wait longer, however often it was killed."""


@dataclass
class Luck:
    """How one child's starts went so far, and what follows from its end.

    Only a server that never answered is given up, as whoever started it waits for a reason. What has worked
    will work again when its trouble is over: a full disk, a mistake in the settings, somebody with ``kill -9``.

    Parameters
    ----------
    is_vital : bool
        Whether the workspace is nothing without this child.
    """

    is_vital: bool
    quick_deaths: int = 0
    was_ready: bool = False
    is_ready: bool = False

    def note_ready(self) -> None:
        """Note that it answers."""
        self.was_ready = self.is_ready = True

    def after_end(self, status: int, lived_s: float) -> float | None:
        """Count an end and return the seconds until the next start, None to give up.

        Parameters
        ----------
        status : int
            As of :class:`subprocess.Popen`: negative for a signal.
        lived_s : float
            How long it ran.
        """
        has_worked, self.is_ready = self.is_ready, False
        self.quick_deaths = self.quick_deaths + 1 if lived_s < QUICK_DEATH_S else 0
        may_give_up = self.is_vital and not self.was_ready
        if status in REFUSALS:  # it said why, and would say the same again
            return None if may_give_up else RESTART_DELAYS_S[-1]
        if may_give_up and self.quick_deaths >= len(RESTART_DELAYS_S):
            return None
        delay_s = RESTART_DELAYS_S[min(self.quick_deaths, len(RESTART_DELAYS_S) - 1)]
        return min(delay_s, AFTER_WORK_S) if has_worked else delay_s

    def is_news(self, status: int) -> bool:
        """Return whether the end just counted is worth a line: once for each row of ends."""
        return self.quick_deaths == (1 if status in REFUSALS else len(RESTART_DELAYS_S))


class Child:
    """A process by its role, started again and again.

    Parameters
    ----------
    role : str
        What ``python -m penstock.app`` is called with.
    log : Path
        Gets what it writes.
    is_vital : bool
        See `Luck`.
    """

    def __init__(self, role: str, log: Path, *, is_vital: bool) -> None:
        self.role = role
        self.log = log
        self.luck = Luck(is_vital)
        self.process: subprocess.Popen[bytes] | None = None
        self.start_at: float | None = None
        self._started_at = 0.0
        self._log_start = 0

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int]) -> None:
        """Start the process; raises OSError and tries no more of itself."""
        self.start_at = None
        with open_log(self.log) as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                # -P: the current folder may hold a uuid.py, and holds nothing of ours.
                [sys.executable, "-P", "-m", "penstock.app", self.role, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=descriptors,
                start_new_session=True,
            )
        self._started_at = time.monotonic()

    def collect(self) -> tuple[int, float] | None:
        """Return (status, seconds it lived) once when the process has ended."""
        if self.process is None or self.process.poll() is None:
            return None
        status, self.process = self.process.returncode, None
        return status, time.monotonic() - self._started_at

    def last_words(self) -> str:
        """Return the last lines written since the last start."""
        return read_tail(self.log, self._log_start)
