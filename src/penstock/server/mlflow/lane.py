"""The way of single metric points to the writer: those that wait together become one operation.

Eight training loops that log one value each are one question for every run, two statements for all points and one
wake-up of the event loop, instead of that for every value. While one operation is under way the next collects;
a point is answered once it is durable, as every other write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from penstock.entities.errors import PenstockError, UnavailableError
from penstock.entities.run import Metric
from penstock.server.mlflow.call import Call
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.run_log import RunRow, log_points

Outcome = BaseException | None


@dataclass(frozen=True, slots=True)
class LaneCall(Call):
    """A request whose single points travel with those of others."""

    lane: Lane

    async def log_point(self, run_id: str, metric: Metric) -> None:
        """Log one value to a run; raises as :meth:`check_run`."""
        await self.lane.log(Point(self, run_id, metric))


class Point(NamedTuple):
    """One value to log, and who asks."""

    call: Call
    run_id: str
    metric: Metric


class Lane:
    """Collects the points of one event loop; used in that loop only."""

    def __init__(self, store: MetadataStore) -> None:
        self._store = store
        self._waiting: list[tuple[Point, asyncio.Future[None]]] = []
        self._is_busy = False

    async def log(self, point: Point) -> None:
        """Log one point and return once it is durable; raises what its run refuses."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._waiting.append((point, done))
        if not self._is_busy:
            self._is_busy = True
            loop.call_soon(self._send)  # after those whose requests lie ready in this turn of the loop
        await done

    def _send(self) -> None:
        group, self._waiting = self._waiting, []
        self._is_busy = bool(group)
        if group:
            self._submit(group, self._send)

    def _submit(self, group: list[tuple[Point, asyncio.Future[None]]], then: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        points = [point for point, _ in group]
        try:
            future = self._store.submit(lambda connection: _log(connection, points))
        except PenstockError as error:
            self._answer(group, [error] * len(group))
            then()
            return
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(self._take, group, done, then))

    def _take(
        self,
        group: list[tuple[Point, asyncio.Future[None]]],
        future: Future[list[Outcome]],
        then: Callable[[], None],
    ) -> None:
        error = future.exception()
        if error is None:
            self._answer(group, future.result())
        elif len(group) == 1 or isinstance(error, UnavailableError):
            self._answer(group, [error] * len(group))
        else:
            # A point that the database does not take, such as a step beyond 64 bits, must not harm the others.
            for one in group:
                self._submit([one], _nothing)
        then()

    def _answer(self, group: list[tuple[Point, asyncio.Future[None]]], outcomes: list[Outcome]) -> None:
        for (_, done), refusal in zip(group, outcomes, strict=True):
            if done.done():  # its client is gone
                continue
            if refusal is None:
                done.set_result(None)
            else:
                done.set_exception(refusal)
        for run_id, point in {point.run_id: point for point, _ in group}.items():
            point.call.changed(run_id)


def _nothing() -> None:
    return None


def _log(connection: Connection, points: list[Point]) -> list[Outcome]:
    """Store the points whose runs take them; return what refuses each, in order."""
    opened: dict[tuple[int, str], RunRow | PenstockError] = {}
    outcomes: list[Outcome] = []
    accepted: list[tuple[RunRow, int, Metric]] = []
    for point in points:
        key = (id(point.call.actor), point.run_id)
        found = opened.get(key)
        if found is None:
            found = opened[key] = _open(connection, point)
        if isinstance(found, PenstockError):
            outcomes.append(found)
        else:
            outcomes.append(None)
            accepted.append((found, point.call.attempt(point.run_id), point.metric))
    log_points(connection, accepted)
    return outcomes


def _open(connection: Connection, point: Point) -> RunRow | PenstockError:
    try:
        return point.call.open_run(connection, point.run_id)
    except PenstockError as error:
        return error
