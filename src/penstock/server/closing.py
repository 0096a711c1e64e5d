"""The end of the server, as long waits see it.

Streams and long polls wait for minutes; a stop must not wait for them. Once it has begun they answer with what they
have, and their clients come back to the next server on the same socket.
"""

from __future__ import annotations

import asyncio
import threading

from penstock.jobs.watch import Feed


class Closing:
    """Whether the server is about to stop; ``begin`` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._has_begun = False
        self._waiters: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def has_begun(self) -> bool:
        """Return whether the end has begun."""
        return self._has_begun

    def begin(self) -> None:
        """Wake everybody who waits, now and later; idempotent."""
        with self._lock:
            self._has_begun = True
            waiters = list(self._waiters)
        for loop, event in waiters:
            loop.call_soon_threadsafe(event.set)

    async def wait(self, feed: Feed, topic: str, seen: int, timeout_s: float) -> int:
        """Do what ``feed.wait`` does, but no longer than until the end begins."""
        waiter = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self._has_begun:
                return feed.counter(topic)
            self._waiters.add(waiter)
        tasks = {
            asyncio.ensure_future(feed.wait(topic, seen, timeout_s)),
            asyncio.ensure_future(waiter[1].wait()),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            with self._lock:
                self._waiters.discard(waiter)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return feed.counter(topic)
