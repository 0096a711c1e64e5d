"""One deployment as the gateway's hot path sees it: free links, waiting requests, and the limit on both.

On the event loop only. A request takes a free link, or waits for one, or is refused; a link that becomes free takes the
request that has waited longest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from penstock.serving.codes import NotReadyError, QueueFullError, TimedOutError
from penstock.serving.links import Call, Reply, WorkLink

HANG_GRACE_S = 5.0


class Backend:
    """The dispatcher of one deployment.

    Parameters
    ----------
    name : str
        For messages.
    on_hung : callable
        Called with a link that has not answered long after its request's time was over.
    """

    def __init__(self, name: str, on_hung: Callable[[WorkLink], None]) -> None:
        self.name = name
        self._on_hung = on_hung
        self.is_script = False
        self.timeout_s = 5.0
        self._limit = 2
        self._links: set[WorkLink] = set()
        self._idle: deque[WorkLink] = deque()
        self._waiting: deque[Call] = deque()

    def configure(self, *, is_script: bool, timeout_s: float, max_concurrent: int, instances: int) -> None:
        """Set the limits: at most 2 · max_concurrent · instances requests are here at once."""
        self.is_script = is_script
        self.timeout_s = timeout_s
        self._limit = 2 * max_concurrent * instances

    @property
    def is_ready(self) -> bool:
        """Return whether some replica takes requests."""
        return bool(self._links)

    def route(self, links: Iterable[WorkLink]) -> None:
        """Send requests to these links from now on; those under way on others are answered there."""
        self._links = {link for link in links if not link.is_lost}
        self._idle = deque(link for link in self._links if link.call is None)
        self._dispatch()

    def forget(self, link: WorkLink) -> None:
        """Take out a lost link; without any, waiting requests are refused."""
        self._links.discard(link)
        self._dispatch()

    def free(self, link: WorkLink) -> None:
        """Give a link that became free its next request."""
        if link not in self._links:
            return
        while self._waiting:
            call = self._waiting.popleft()
            if not call.future.done():
                link.send(call)
                return
        self._idle.append(link)

    async def score(self, meta: bytes, body: bytes) -> Reply:
        """Return the replica's reply.

        Raises
        ------
        NotReadyError, QueueFullError, TimedOutError, ReplicaLostError
        """
        loop = asyncio.get_running_loop()
        call = Call(meta, body, loop.create_future())
        self._submit(call)
        timer = loop.call_later(self.timeout_s, self._expire, call)
        try:
            return await call.future
        finally:
            timer.cancel()

    def _submit(self, call: Call) -> None:
        idle = self._idle
        while idle:
            link = idle.popleft()
            if link in self._links and link.call is None:
                link.send(call)
                return
        if not self._links:
            raise NotReadyError(f"no replica of {self.name} is ready")
        if len(self._links) + len(self._waiting) >= max(self._limit, len(self._links)):
            raise QueueFullError(
                f"{self.name} has {len(self._waiting)} requests waiting",
                "Raise the deployment's max_concurrent_requests_per_instance or instance_count, or send fewer at once.",
            )
        self._waiting.append(call)

    def _dispatch(self) -> None:
        waiting = self._waiting
        while waiting and self._idle:
            link = self._idle.popleft()
            if link in self._links and link.call is None:
                self.free(link)
        if not self._links:
            while waiting:
                call = waiting.popleft()
                if not call.future.done():
                    call.future.set_exception(NotReadyError(f"no replica of {self.name} is ready"))

    def _expire(self, call: Call) -> None:
        if call.future.done():
            return
        call.future.set_exception(TimedOutError(f"{self.name} did not answer within {self.timeout_s:g} s"))
        if call.link is not None:
            grace_s = max(self.timeout_s, HANG_GRACE_S)
            asyncio.get_running_loop().call_later(grace_s, self._check, call.link, call)
        elif call in self._waiting:
            self._waiting.remove(call)

    def _check(self, link: WorkLink, call: Call) -> None:
        """Look at a link some time after the client of its call was told that the time is over."""
        if link.call is call:
            link.is_hung = True
            self._on_hung(link)
