"""The way of single metric points to the writer: those that wait together become one operation.

Eight training loops that log one value each are one question for every run, two statements for all points and one
wake-up of the event loop, instead of that for every value. While one operation is under way the next collects;
a point is answered once it is durable, as every other write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sqlalchemy import Connection

from penstock.entities.errors import PenstockError, UnavailableError
from penstock.entities.run import Metric
from penstock.server.mlflow.call import Call
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.run_log import RunRow, find_rows, log_points


@dataclass(frozen=True, slots=True)
class LaneCall(Call):
    """A request whose single points travel with those of others."""

    lane: Lane

    async def log_point(self, run_id: str, metric: Metric) -> None:
        """Log one value to a run; raises as :meth:`check_run`."""
        await self.lane.log(self, run_id, metric)


class LogsPoints(Protocol):
    """Who logs, as far as a lane asks: a :class:`Call`."""

    @property
    def actor(self) -> object:
        """Return who it is; each is asked once for all of its points of a run that travel together."""
        ...

    def check_row(self, connection: Connection, run_id: str, row: RunRow | None) -> RunRow:
        """Return the row of a run, as it was found, that may be written; raises PenstockError where it may not."""
        ...

    def attempt(self, run_id: str) -> int:
        """Return the attempt whose point it is, 0 for none."""
        ...

    def changed(self, run_id: str) -> None:
        """Hear, in the event loop, that a run's points are durable."""
        ...


class Point(NamedTuple):
    """One value to log, who asks, and whom to tell."""

    call: LogsPoints
    run_id: str
    metric: Metric
    done: asyncio.Future[None]


class Lane:
    """Collects the points of one event loop; used in that loop only, but for what says that it is not."""

    def __init__(self, store: MetadataStore) -> None:
        self._store = store
        self._waiting: deque[Point] = deque()
        self._is_queued = False

    async def log(self, call: LogsPoints, run_id: str, metric: Metric) -> None:
        """Log one value and return once it is durable; raises what its run refuses."""
        point = Point(call, run_id, metric, asyncio.get_running_loop().create_future())
        self._waiting.append(point)
        if not self._is_queued:
            self._is_queued = True
            self._submit([])
        await point.done

    def _submit(self, group: list[Point]) -> None:
        """Queue an operation for a group; an empty one takes what waits when the writer comes to it."""
        loop = asyncio.get_running_loop()
        try:
            future = self._store.submit(lambda connection: self._run(connection, group))
        except PenstockError as error:
            self._fail(group, error)
            return
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(self._finish, group, done))

    def _run(self, connection: Connection, group: list[Point]) -> list[PenstockError | None]:
        """Log a group; called by the writer's thread."""
        if not group:
            # In this order: a point that comes in between finds nothing queued, and queues an operation of its own.
            self._is_queued = False
            while self._waiting:
                group.append(self._waiting.popleft())
        return _log(connection, group)

    def _finish(self, group: list[Point], future: Future[list[PenstockError | None]]) -> None:
        error = future.exception()
        if error is None:
            for point, refusal in zip(group, future.result(), strict=True):
                _answer(point, refusal)
            for run_id, call in {point.run_id: point.call for point in group}.items():
                call.changed(run_id)
        elif len(group) > 1 and not isinstance(error, UnavailableError):
            # A point that the database does not take, such as a step beyond 64 bits, must not harm the others.
            for point in group:
                self._submit([point])
        else:
            self._fail(group, error)

    def _fail(self, group: list[Point], error: BaseException) -> None:
        if not group:  # the writer never came to it
            self._is_queued = False
            while self._waiting:
                group.append(self._waiting.popleft())
        for point in group:
            _answer(point, error)


def _answer(point: Point, refusal: BaseException | None) -> None:
    if point.done.done():  # its client is gone
        return
    if refusal is None:
        point.done.set_result(None)
    else:
        point.done.set_exception(refusal)


def _log(connection: Connection, points: list[Point]) -> list[PenstockError | None]:
    """Store the points whose runs take them; return what refuses each, in order."""
    opened: dict[tuple[int, str], RunRow | PenstockError] = {}
    outcomes: list[PenstockError | None] = []
    accepted: list[tuple[RunRow, int, Metric]] = []
    rows = find_rows(connection, {point.run_id for point in points})
    for point in points:
        key = (id(point.call.actor), point.run_id)
        found = opened.get(key)
        if found is None:
            found = opened[key] = _open(connection, point, rows.get(point.run_id))
        if isinstance(found, PenstockError):
            outcomes.append(found)
        else:
            outcomes.append(None)
            accepted.append((found, point.call.attempt(point.run_id), point.metric))
    if accepted:
        log_points(connection, accepted)
    return outcomes


def _open(connection: Connection, point: Point, row: RunRow | None) -> RunRow | PenstockError:
    try:
        return point.call.check_row(connection, point.run_id, row)
    except PenstockError as error:
        return error
