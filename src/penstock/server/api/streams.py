"""A job as server-sent events: what it says, what it logs, how it ends.

A stream holds no state but two numbers that the client knows too, so a broken one goes on where it stopped. It
sleeps until the feed says that something changed, and looks once more after each keep-alive.
"""

from __future__ import annotations

import codecs
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from anyio import to_thread

from penstock.entities.job import Job, JobStatus
from penstock.entities.run import Metric
from penstock.rules.instants import rfc3339
from penstock.rules.lifecycle import is_terminal
from penstock.server.api import wire
from penstock.server.services import Services
from penstock.stores.metadata import runs

logger = logging.getLogger(__name__)

KEEP_ALIVE_S = 10.0
LOG_PIECE_BYTES = 1 << 18
METRICS_AT_ONCE = 1000
KEEP_ALIVE = b": keep-alive\n\n"


@dataclass(slots=True)
class _View:
    """What one look found: the job as it was before its log and metrics were read, so nothing comes after it."""

    job: Job
    log: bytes
    metrics: list[tuple[int, Metric]]


class _Text:
    """Log bytes as text, cut only between characters."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, content: bytes, *, is_last: bool) -> tuple[int, str, int]:
        """Return (offset, text, next) of what became whole."""
        begin = self.offset
        waiting = len(self._decoder.getstate()[0])
        decoded = self._decoder.decode(content, is_last)
        left = len(self._decoder.getstate()[0])
        self.offset = begin + waiting + len(content) - left
        return begin, decoded, self.offset


def event(name: str, data: Any) -> bytes:
    """Return one server-sent event."""
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


async def stream_job(
    services: Services, name: str, log_offset: int, metrics_after: int, is_known: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Yield a job's events until it has ended, or the server stops: then the client goes on with the next one.

    ``is_known`` says whether the caller's token still lives; a revoked one ends its stream too.
    """
    topic = f"job:{name}"
    text, read_to = _Text(log_offset), log_offset
    shown: JobStatus | None = None
    while True:
        seen = services.feed.counter(topic)
        view = await to_thread.run_sync(_look, services, name, read_to, metrics_after)
        if view.job.status is not shown:
            shown = view.job.status
            yield event("status", {"status": shown.value, "at": rfc3339(services.now())})
        read_to += len(view.log)
        has_more = bool(view.log) or bool(view.metrics)
        for line in _log_events(text, view.log, is_last=is_terminal(view.job.status) and not has_more):
            yield line
        for line in metric_events(name, view.metrics):
            yield line
        metrics_after = view.metrics[-1][0] if view.metrics else metrics_after
        if has_more:
            continue
        if is_terminal(view.job.status):
            yield event("end", wire.entity(view.job))
            return
        if await services.closing.wait(services.feed, topic, seen, KEEP_ALIVE_S) == seen:
            yield KEEP_ALIVE
        if services.closing.has_begun or not await to_thread.run_sync(is_known):
            return


def metric_events(name: str, found: Sequence[tuple[int, Metric]]) -> Iterator[bytes]:
    """Yield the event of each point. One that cannot be shown is left out: its stream would end there for ever."""
    for number, metric in found:
        try:
            yield event("metric", {"id": number, "key": metric.key, **wire.point(metric)})
        except Exception:
            logger.exception('point %d of job "%s" cannot be shown; its stream goes on behind it', number, name)


def _log_events(text: _Text, content: bytes, *, is_last: bool) -> Iterator[bytes]:
    begin, decoded, following = text.add(content, is_last=is_last)
    if decoded:
        yield event("log", {"offset": begin, "next": following, "text": decoded})


def _look(services: Services, name: str, log_offset: int, metrics_after: int) -> _View:
    job = services.jobs.get(name)
    log, _ = services.jobs.read_log(name, log_offset, LOG_PIECE_BYTES)
    with services.store.read() as connection:
        return _View(job, log, runs.metrics_since(connection, name, metrics_after, limit=METRICS_AT_ONCE))
