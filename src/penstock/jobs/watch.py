"""Waking those who wait: counters by topic, raised from any thread, awaited by the async doors.

A topic's counter says that something changed, never what: the record is the truth and is read again. Lost
counters (a restart) only mean that a waiter looks once more than it had to.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict


class Feed:
    """Counters by topic, such as ``job:<name>``, ``serving`` or ``endpoint:<name>``.

    ``notify`` may be called from any thread; ``wait`` from any event loop. A topic nobody waits for costs one
    integer until :meth:`forget`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, int] = {}
        self._waiters: dict[str, set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = defaultdict(set)

    def counter(self, topic: str) -> int:
        """Return the topic's counter; 0 if nothing happened yet."""
        with self._lock:
            return self._counters.get(topic, 0)

    def notify(self, topic: str) -> None:
        """Raise the topic's counter and wake its waiters."""
        with self._lock:
            self._counters[topic] = self._counters.get(topic, 0) + 1
            waiters = list(self._waiters.get(topic, ()))
        for loop, event in waiters:
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:  # the loop was closed between the two lines; its waiter is gone with it
                self._discard(topic, (loop, event))

    def forget(self, topic: str) -> None:
        """Drop a topic that will not change again."""
        with self._lock:
            self._counters.pop(topic, None)

    async def wait(self, topic: str, seen: int, timeout_s: float) -> int:
        """Wait until the topic's counter differs from ``seen`` or the time is over; return the counter."""
        waiter = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            current = self._counters.get(topic, 0)
            if current != seen:
                return current
            self._waiters[topic].add(waiter)
        try:
            await asyncio.wait_for(waiter[1].wait(), timeout_s)
        except TimeoutError:
            return self.counter(topic)
        finally:
            self._discard(topic, waiter)
        return self.counter(topic)

    def _discard(self, topic: str, waiter: tuple[asyncio.AbstractEventLoop, asyncio.Event]) -> None:
        with self._lock:
            self._waiters[topic].discard(waiter)
            if not self._waiters[topic]:
                del self._waiters[topic]
