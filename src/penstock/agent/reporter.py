"""Tell the server what the attempt does while it does it, in a thread of its own.

The command never waits for the server. While the server is away the files grow, and the thread tries again; while
nothing happens it looks at two file sizes four times a second.
"""

from __future__ import annotations

import os
import signal
import threading
import time

from penstock.agent.delivery import FIRST_RETRY_S, LAST_RETRY_S, Delivery
from penstock.agent.door import GONE, Refused
from penstock.agent.notes import complain, complain_of_defect

FIRST_DELAY_S = 0.02
LAST_DELAY_S = 0.25
HEARTBEAT_S = 5.0


class Reporter:
    """Sends reports until it is closed; asks for a cancel by sending this process a SIGTERM.

    The first report waits 20 ms: a command that has ended by then is told in one request.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._wake = threading.Event()
        self._is_closing = False
        self._is_canceled = False
        self._told = ""
        self._told_at = 0.0
        self._refusals = 0
        self._defects = 0
        self._thread = threading.Thread(target=self._loop, name="reporter", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def set_state(self, state: str, pid: int = 0) -> None:
        """Say what the attempt does now; reported at the next look."""
        self._delivery.state, self._delivery.pid = state, pid

    def close(self) -> None:
        """End the thread, after the request it is in; from then on the delivery is the caller's."""
        self._is_closing = True
        self._wake.set()
        self._thread.join()

    def _loop(self) -> None:
        delay_s, retry_s = FIRST_DELAY_S, FIRST_RETRY_S
        was_quiet = True
        while not (self._wake.wait(delay_s) or self._is_closing):
            has_news = self._delivery.has_news()
            state, now = self._delivery.state, time.monotonic()
            if has_news or state != self._told or now - self._told_at >= HEARTBEAT_S:
                if not self._try_report(state, now):
                    delay_s, retry_s = retry_s, min(2 * retry_s, LAST_RETRY_S)
                    continue
                retry_s = FIRST_RETRY_S
                if self._delivery.is_behind():
                    delay_s, was_quiet = 0.0, False
                    continue
            delay_s = FIRST_DELAY_S if has_news and was_quiet else min(2 * delay_s, LAST_DELAY_S)
            was_quiet = not has_news and delay_s >= LAST_DELAY_S

    def _try_report(self, state: str, now: float) -> bool:
        try:
            self._delivery.report()
        except OSError:
            return False
        except Refused as refusal:
            if refusal.status == GONE:
                self._cancel()
            if self._refusals == 0:
                complain(f"the server refused a report: {refusal}")
            self._refusals += 1
            return False
        except Exception:  # the loop must live: it also hears that a cancel is wanted
            if self._defects == 0:
                complain_of_defect("a report failed")
            self._defects += 1
            return False
        self._told, self._told_at, self._refusals = state, now, 0
        if self._delivery.is_cancel_wanted:
            self._cancel()
        return True

    def _cancel(self) -> None:
        if not self._is_canceled:
            self._is_canceled = True
            os.kill(os.getpid(), signal.SIGTERM)
