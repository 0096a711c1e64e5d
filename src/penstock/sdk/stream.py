"""Follow a job: its status, log and metrics as they happen, across restarts of the server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from penstock.entities.errors import UnavailableError
from penstock.sdk.events import read_events
from penstock.sdk.rest import Json, Rest

GIVE_UP_AFTER_S = 60.0
LIVED_S = 5.0
"""A stream that was open for so long was a good one, even if nothing happened meanwhile."""
MOST_IN_VAIN = 10
"""So many short streams in a row that said nothing new: the next one will not either."""
RETRY_DELAYS_S = (0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class StatusChange:
    """The job is in ``status`` now."""

    status: str


@dataclass(frozen=True, slots=True)
class LogText:
    """The next piece of the log; not always whole lines."""

    text: str


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One logged value."""

    key: str
    value: float
    step: int


@dataclass(frozen=True, slots=True)
class JobEnd:
    """The job has ended; ``job`` is the server's last word on it."""

    job: Json


JobEvent = StatusChange | LogText | MetricPoint | JobEnd


def follow_job(rest: Rest, name: str) -> Iterator[JobEvent]:
    """Yield what happens to a job until it ends; the last event is `JobEnd`.

    When the connection breaks, or the server restarts, the stream goes on where it was: nothing is seen
    twice and nothing is missed.

    Parameters
    ----------
    rest : Rest
        The server's calls.
    name : str
        The job.

    Raises
    ------
    UnavailableError
        If the server cannot be reached for a minute, or its stream breaks off at the same place again and again; the
        job itself goes on.
    """
    log_offset, metrics_after, status, attempt, in_vain = 0, 0, "", 0, 0
    last_seen = time.monotonic()
    while True:
        lost: UnavailableError | None = None
        opened, before = None, (log_offset, metrics_after, status)
        try:
            with rest.stream_job(name, log_offset=log_offset, metrics_after=metrics_after) as response:
                opened = time.monotonic()
                for kind, data in read_events(response):
                    last_seen = time.monotonic()
                    if kind == "status" and data["status"] != status:
                        status = data["status"]
                        yield StatusChange(status)
                    elif kind == "log":
                        log_offset = data["next"]
                        yield LogText(data["text"])
                    elif kind == "metric":
                        metrics_after = data["id"]
                        yield MetricPoint(data["key"], float(data["value"]), int(data.get("step") or 0))
                    elif kind == "end":
                        yield JobEnd(data)
                        return
        except UnavailableError as error:
            lost = error
        if opened is not None:
            is_new = before != (log_offset, metrics_after, status) or time.monotonic() - opened >= LIVED_S
            in_vain, attempt = (0, 0) if is_new else (in_vain + 1, attempt)
        if in_vain >= MOST_IN_VAIN:
            raise UnavailableError(
                f'the server\'s stream of job "{name}" breaks off at the same place each time',
                hint="The job itself goes on. Why the stream does not stands in logs/server.log of the workspace.",
            ) from lost
        if time.monotonic() - last_seen > GIVE_UP_AFTER_S:
            raise lost or UnavailableError(f'the server stopped to stream job "{name}"')
        time.sleep(RETRY_DELAYS_S[min(attempt, len(RETRY_DELAYS_S) - 1)])
        attempt += 1
