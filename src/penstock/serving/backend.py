"""One deployment as the gateway's hot path sees it: free links, waiting requests, and the limit on both.

On the event loop only. A request is answered at once where the model is in the gateway and quick; else it takes a free
link, or waits for one, or is refused. A link that becomes free takes the request that has waited longest, and with it
its share of the others where the model gains from batches; so nothing waits while a link is idle.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from penstock.serving.codes import NotReadyError, QueuedTooLongError, QueueFullError, TimedOutError
from penstock.serving.links import Link
from penstock.serving.parcels import Batch, Call, Reply

HANG_GRACE_S = 5.0
Direct = Callable[[bytes, bytes], Reply | None]
"""(meta, body) of a request to its response, at once; None where that would hold up the event loop."""


class Backend:
    """The dispatcher of one deployment.

    Parameters
    ----------
    name : str
        For messages.
    on_hung : callable
        Called with a link that has not answered long after its request's time was over.
    on_pressure : callable, optional
        Called when a request finds no replica at all, or half a queue before it.
    """

    def __init__(
        self, name: str, on_hung: Callable[[Link], None], on_pressure: Callable[[], None] = lambda: None
    ) -> None:
        self.name = name
        self.deployment = name.rpartition("/")[2]
        self.mark = (b"azureml-model-deployment", self.deployment.encode("latin-1"))
        self.batches: dict[int, int] = {}
        self.direct: Direct | None = None
        self.is_script = False
        self.timeout_s = 5.0
        self._on_hung = on_hung
        self._on_pressure = on_pressure
        self.was_ready = False
        self._hold_s = 0.0
        self._held = 0
        self._has_links = asyncio.Event()
        self._queue_wait_s: float | None = None
        self._limit = 2
        self._max_batch = 1
        self._links: set[Link] = set()
        self._idle: deque[Link] = deque()
        self._waiting: deque[Call] = deque()

    def configure(
        self,
        *,
        is_script: bool,
        timeout_s: float,
        max_concurrent: int,
        instances: int,
        queue_wait_s: float | None = None,
        hold_s: float = 0.0,
    ) -> None:
        """Set the limits: at most 2 · max_concurrent · instances requests are here at once.

        With ``hold_s``, requests that find no replica wait so long for one, as many as the queue takes.
        """
        self._hold_s = hold_s
        self.is_script = is_script
        self.timeout_s = timeout_s
        self._queue_wait_s = queue_wait_s if queue_wait_s is not None and queue_wait_s < timeout_s else None
        self._limit = 2 * max_concurrent * instances

    @property
    def waiting(self) -> int:
        """Return how many requests wait for a replica."""
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        """Return how many requests replicas and threads have."""
        return sum(len(link.call.calls) for link in self._links if link.call is not None)

    @property
    def demand(self) -> int:
        """Return how many requests there are: in replicas, waiting, or held until there is a replica."""
        return sum(link.call is not None for link in self._links) + len(self._waiting) + self._held

    @property
    def is_ready(self) -> bool:
        """Return whether some replica takes requests."""
        return bool(self._links)

    def route(self, links: Iterable[Link], *, direct: Direct | None = None, max_batch: int = 1) -> None:
        """Send requests to these links from now on; those under way on others are answered there.

        Parameters
        ----------
        direct : callable, optional
            Answers small requests at once, without any link.
        max_batch : int
            So many waiting requests may travel together.
        """
        self._links = {link for link in links if not link.is_lost}
        self._idle = deque(link for link in self._links if link.call is None)
        self._max_batch = max_batch
        self.direct = direct
        if self._links:
            self.was_ready = True
            self._has_links.set()
        self._dispatch()

    def give_up(self) -> None:
        """Refuse the requests that are held: no replica will come."""
        if not self._links:
            self._has_links.set()
            self._has_links.clear()

    def forget(self, link: Link) -> None:
        """Take out a lost link; without any, waiting requests are refused."""
        self._links.discard(link)
        self._dispatch()

    def free(self, link: Link) -> None:
        """Give a link that became free what it is to do next."""
        if link not in self._links:
            return
        calls = self._next_calls()
        if not calls:
            self._idle.append(link)
        else:
            link.send(calls[0] if len(calls) == 1 else Batch(calls))
            self.batches[len(calls)] = self.batches.get(len(calls), 0) + 1

    async def score(self, meta: bytes, body: bytes) -> Reply:
        """Return the model's reply.

        Raises
        ------
        NotReadyError, QueueFullError, QueuedTooLongError, TimedOutError, ReplicaLostError
        """
        if self.direct is not None and (reply := self.direct(meta, body)) is not None:
            return reply
        if not self._links and self._hold_s:
            await self._wait_ready()
        loop = asyncio.get_running_loop()
        call = Call(meta, body, loop.create_future())
        self._submit(call)
        timer = loop.call_later(self.timeout_s, self._expire, call)
        queue_timer = None
        if call.link is None and self._queue_wait_s is not None:
            queue_timer = loop.call_later(self._queue_wait_s, self._refuse, call)
        try:
            return await call.future
        finally:
            timer.cancel()
            if queue_timer is not None:
                queue_timer.cancel()

    def _submit(self, call: Call) -> None:
        idle = self._idle
        while idle:
            link = idle.popleft()
            if link in self._links and link.call is None:
                link.send(call)
                self.batches[1] = self.batches.get(1, 0) + 1
                return
        if not self._links:
            raise NotReadyError(f"no replica of {self.name} is ready")
        if len(self._links) + len(self._waiting) >= max(self._limit, len(self._links)):
            raise QueueFullError(
                f"{self.name} has {len(self._waiting)} requests waiting",
                "Raise the deployment's max_concurrent_requests_per_instance or instance_count, or send fewer at once.",
            )
        self._waiting.append(call)
        if 2 * len(self._waiting) >= self._limit - len(self._links):
            self._on_pressure()

    async def _wait_ready(self) -> None:
        """Hold a request until a replica takes some; its own time begins then."""
        if self._held >= self._limit:
            raise QueueFullError(f"{self._held} requests wait already until {self.name} is started")
        self._held += 1
        try:
            self._on_pressure()
            await asyncio.wait_for(self._has_links.wait(), self._hold_s)
        except TimeoutError:
            raise NotReadyError(f"no replica of {self.name} was ready within {self._hold_s:g} s") from None
        finally:
            self._held -= 1

    def _next_calls(self) -> list[Call]:
        """Take the requests that go next: one, or a link's share of what waits."""
        waiting = self._waiting
        share = 1
        if self._max_batch > 1:
            share = max(1, min(self._max_batch, -(-len(waiting) // len(self._links))))
        calls: list[Call] = []
        while waiting and len(calls) < share:
            call = waiting.popleft()
            if not call.future.done():
                calls.append(call)
        return calls

    def _dispatch(self) -> None:
        waiting = self._waiting
        while waiting and self._idle:
            link = self._idle.popleft()
            if link in self._links and link.call is None:
                self.free(link)
        if not self._links:
            self._has_links.clear()
            if waiting and self._hold_s:
                self._on_pressure()
                return
            while waiting:
                waiting.popleft().fail(NotReadyError(f"no replica of {self.name} is ready"))

    def _refuse(self, call: Call) -> None:
        if call.link is None and not call.future.done():
            self._waiting.remove(call)
            call.fail(QueuedTooLongError(f"the request waited for {self.name} longer than max_queue_wait_ms"))

    def _expire(self, call: Call) -> None:
        if call.future.done():
            return
        call.fail(TimedOutError(f"{self.name} did not answer within {self.timeout_s:g} s"))
        if call.link is not None:
            grace_s = max(self.timeout_s, HANG_GRACE_S)
            asyncio.get_running_loop().call_later(grace_s, self._check, call.link, call)
        elif call in self._waiting:
            self._waiting.remove(call)

    def _check(self, link: Link, call: Call) -> None:
        """Look at a link some time after the client of its call was told that the time is over."""
        if link.call is not None and call in link.call.calls:
            link.is_hung = True
            self._on_hung(link)
