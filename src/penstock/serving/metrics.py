"""Counts of what the gateway answers, and their page in Prometheus' text format.

Counting costs a look in a dict and three additions on the event loop; all text is made when the page is asked for. No
name that a client chose becomes a label: requests for what is not there count under the empty endpoint.
"""

from __future__ import annotations

import os
import resource
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128)
CLIENT_GONE = 499
"""The status of a request whose client did not wait, as nginx has it."""

Labels = tuple[tuple[str, str], ...]


class Series:
    """Requests of one deployment: by class of status, and how long they took."""

    __slots__ = ("buckets", "classes", "seconds")

    def __init__(self) -> None:
        self.classes = [0] * 10
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        self.seconds = 0.0


@dataclass(frozen=True, slots=True)
class Gauges:
    """One deployment as it is now.

    ``batches`` maps a number of requests to how often so many travelled together; ``held`` is how many wait for a
    deployment without instances, ``ended`` how many replicas ended unasked, by why.
    """

    endpoint: str
    deployment: str
    waiting: int
    in_flight: int
    held: int
    replicas: Mapping[str, int]
    batches: Mapping[int, int]
    ended: Mapping[str, int] = field(default_factory=dict)
    traffic: int = 0
    mirrored: Mapping[str, int] = field(default_factory=dict)


class Metrics:
    """All counts of a gateway; on the event loop only."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], Series] = {}

    def note(self, endpoint: str, deployment: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        series = self._series.get((endpoint, deployment))
        if series is None:
            series = self._series.setdefault((endpoint, deployment), Series())
        series.classes[status // 100] += 1
        series.buckets[bisect_left(BOUNDS_S, seconds)] += 1
        series.seconds += seconds

    def keep(self, keys: Iterable[tuple[str, str]]) -> None:
        """Forget the deployments that are not among these, so that the page does not grow for ever."""
        there = set(keys)
        endpoints = {endpoint for endpoint, _ in there}
        for endpoint, deployment in list(self._series):
            is_there = (endpoint, deployment) in there or (not deployment and (not endpoint or endpoint in endpoints))
            if not is_there:
                del self._series[endpoint, deployment]

    def render(self, gauges: Iterable[Gauges], dropped_lines: int = 0) -> bytes:
        """Return the page."""
        page = _Page()
        self._render_requests(page)
        _render_gauges(page, list(gauges))
        name = "penstock_access_log_dropped_total"
        page.family(name, "counter", "Lines that the access log had no room for.")
        page.sample(name, (), dropped_lines)
        _render_process(page)
        return page.content()

    def _render_requests(self, page: _Page) -> None:
        name = "penstock_requests_total"
        page.family(name, "counter", "Requests answered, by class of status; 4xx holds 499, clients that went away.")
        for (endpoint, deployment), series in sorted(self._series.items()):
            for hundred, count in enumerate(series.classes):
                if count:
                    labels = (("endpoint", endpoint), ("deployment", deployment), ("code", f"{hundred}xx"))
                    page.sample(name, labels, count)
        name = "penstock_request_duration_seconds"
        page.family(name, "histogram", "From a request's head to its answer.")
        for (endpoint, deployment), series in sorted(self._series.items()):
            page.histogram(
                name,
                (("endpoint", endpoint), ("deployment", deployment)),
                zip(BOUNDS_S, series.buckets, strict=False),
                sum(series.buckets),
                series.seconds,
            )


class _Page:
    """The text, line by line."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def family(self, name: str, kind: str, text: str) -> None:
        self._lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]

    def sample(self, name: str, labels: Labels, value: float) -> None:
        shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
        self._lines.append(f"{name}{{{shown}}} {value!r}" if shown else f"{name} {value!r}")

    def histogram(
        self, name: str, labels: Labels, buckets: Iterable[tuple[float, int]], count: int, total: float
    ) -> None:
        below = 0
        for bound, inside in buckets:
            below += inside
            self.sample(f"{name}_bucket", (*labels, ("le", repr(float(bound)))), below)
        self.sample(f"{name}_bucket", (*labels, ("le", "+Inf")), count)
        self.sample(f"{name}_sum", labels, total)
        self.sample(f"{name}_count", labels, count)

    def content(self) -> bytes:
        return ("\n".join(self._lines) + "\n").encode("utf-8")


def _render_gauges(page: _Page, all_gauges: list[Gauges]) -> None:
    plain: tuple[tuple[str, str, Callable[[Gauges], int]], ...] = (
        ("penstock_queue_length", "Requests that wait for a replica.", lambda one: one.waiting),
        ("penstock_requests_in_flight", "Requests that a replica has.", lambda one: one.in_flight),
        ("penstock_requests_held", "Requests held until the first replica is ready.", lambda one: one.held),
        ("penstock_traffic_percent", "Share of the endpoint's requests.", lambda one: one.traffic),
    )
    for name, text, value in plain:
        page.family(name, "gauge", text)
        for one in all_gauges:
            page.sample(name, _labels(one), value(one))
    counted: tuple[tuple[str, str, str, str, Callable[[Gauges], Mapping[str, int]]], ...] = (
        ("penstock_replicas", "gauge", "Replicas by state.", "state", lambda one: one.replicas),
        ("penstock_replicas_ended_total", "counter", "Replicas that ended unasked.", "why", lambda one: one.ended),
        ("penstock_mirrored_total", "counter", "Copies of requests.", "outcome", lambda one: one.mirrored),
    )
    for name, kind, text, label, values in counted:
        page.family(name, kind, text)
        for one in all_gauges:
            for key, count in values(one).items():
                page.sample(name, (*_labels(one), (label, key)), count)
    name = "penstock_batch_size"
    page.family(name, "histogram", "Requests that travelled to a replica or thread together.")
    for one in all_gauges:
        page.histogram(
            name,
            _labels(one),
            _batch_buckets(one.batches),
            sum(one.batches.values()),
            float(sum(size * count for size, count in one.batches.items())),
        )


def _batch_buckets(batches: Mapping[int, int]) -> Iterator[tuple[float, int]]:
    before = 0
    for bound in BATCH_BOUNDS:
        yield bound, sum(count for size, count in batches.items() if before < size <= bound)
        before = bound


def _labels(one: Gauges) -> Labels:
    return (("endpoint", one.endpoint), ("deployment", one.deployment))


def _render_process(page: _Page) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    for name, kind, text, value in (
        ("process_cpu_seconds_total", "counter", "The gateway's own processor time.", usage.ru_utime + usage.ru_stime),
        ("process_resident_memory_bytes", "gauge", "The gateway's memory.", pages * os.sysconf("SC_PAGE_SIZE")),
        ("process_open_fds", "gauge", "The gateway's open files.", len(os.listdir("/proc/self/fd"))),
    ):
        page.family(name, kind, text)
        page.sample(name, (), value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
