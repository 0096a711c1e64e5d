"""How far the gateway is: the revision of the wanted state that it applies already.

Lives in memory alone. The gateway says it with every question for something newer; after a restart of the server
nothing is known until it asks again, and nobody waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

SILENCE_MS = 30_000
"""A gateway that has not asked for so long is not waited for; it asks again at least every 25 s."""


class Acknowledged:
    """The last revision the gateway applied; from any thread.

    Parameters
    ----------
    clock : callable
        Returns milliseconds since 1970-01-01 UTC.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._revision = -1
        self._heard_at = -SILENCE_MS

    def note(self, revision: int) -> None:
        """Take the revision the gateway said it has."""
        with self._changed:
            self._revision, self._heard_at = revision, self._clock()
            self._changed.notify_all()

    def wait(self, revision: int, timeout_s: float = 2.0) -> bool:
        """Wait until the gateway applies ``revision``; return whether it does.

        False at once where no gateway is heard, and at the latest after ``timeout_s``.
        """
        with self._changed:
            if self._clock() - self._heard_at >= SILENCE_MS:
                return False
            return self._changed.wait_for(lambda: self._revision >= revision, timeout_s)
