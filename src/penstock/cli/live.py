"""Show a job while it runs: log lines to standard output, statuses and a live line to standard error."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import typer

from penstock.cli.output import INTERRUPTED, note
from penstock.cli.run_tables import duration_text
from penstock.sdk.statuses import FINAL_STATUSES
from penstock.sdk.stream import JobEnd, LogText, MetricPoint, StatusChange, follow_job

if TYPE_CHECKING:
    from penstock.sdk.rest import Json, Rest

SHOWN_METRICS = 4
REDRAW_EVERY_S = 0.125
ERASE_LINE = "\r\x1b[2K"


def show_job(rest: Rest, name: str) -> Json:
    """Show a job until it has ended and return its record.

    Ctrl-C ends the showing with a line that says how to get back; the job goes on.
    """
    if not gc.isenabled():
        # The command line goes without the collector, which a command that may stay for days cannot.
        gc.freeze()
        gc.enable()
    display: AbstractContextManager[_Display] = _LiveLine() if _is_terminal() else nullcontext(_Plain())
    try:
        with display as shown:
            for event in follow_job(rest, name):
                if isinstance(event, LogText):
                    shown.log(event.text)
                elif isinstance(event, StatusChange):
                    shown.status(event.status)
                elif isinstance(event, MetricPoint):
                    shown.metric(event)
                elif isinstance(event, JobEnd):
                    ended = event.job
    except KeyboardInterrupt:
        note(f"\nJob {name} goes on. Back to it: penstock job stream -n {name}   End it: penstock job cancel -n {name}")
        raise typer.Exit(INTERRUPTED) from None
    if ended["status"] == "Completed":
        note(f"Completed in {_duration(ended)}")
    return ended


def _duration(job: Json) -> str:
    """Return how long a job ran, whenever that was."""
    began, end = (
        datetime.fromisoformat(job[name])
        for name in ("started_at" if "started_at" in job else "created_at", "ended_at")
    )
    return str(duration_text(round((end - began).total_seconds() * 1000)))


class _Display(Protocol):
    def log(self, text: str) -> None: ...

    def status(self, status: str) -> None: ...

    def metric(self, point: MetricPoint) -> None: ...


class _Plain:
    """For pipes and files: the log as it is, a line for each status."""

    def log(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def status(self, status: str) -> None:
        if status not in FINAL_STATUSES:  # the end gets a line of its own, with the time or the reason
            note(status)

    def metric(self, point: MetricPoint) -> None:
        """Show nothing: metrics are for the live line, and the log is the job's own."""


class _LiveLine:
    """For terminals: the log scrolls as it is, below it one line with status, time and the latest metrics.

    The log is written raw, so that its colours, long lines and progress bars stay what they are; while its last
    line is unfinished, the live line stays away.
    """

    def __init__(self) -> None:
        from rich.console import Console

        self._began = time.monotonic()
        self._status = "Submitted"
        self._metrics: dict[str, MetricPoint] = {}
        self._console = Console(stderr=True)
        self._shares_terminal = sys.stdout.isatty()
        self._is_free = True
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._clock = threading.Thread(target=self._tick, name="live-line", daemon=True)

    def __enter__(self) -> _LiveLine:
        self._clock.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._clock.join()
        with self._lock:
            self._erase()
            if not self._is_free:
                sys.stderr.write("\n")

    def log(self, text: str) -> None:
        with self._lock:
            if self._shares_terminal:
                self._erase()
            sys.stdout.write(text)
            sys.stdout.flush()
            if self._shares_terminal:
                self._is_free = text.endswith("\n")
                self._draw()

    def status(self, status: str) -> None:
        with self._lock:
            self._status = status
            self._draw()

    def metric(self, point: MetricPoint) -> None:
        with self._lock:
            self._metrics.pop(point.key, None)
            self._metrics[point.key] = point

    def _tick(self) -> None:
        while not self._stop.wait(REDRAW_EVERY_S):
            with self._lock:
                self._draw()

    def _erase(self) -> None:
        if self._is_free:
            sys.stderr.write(ERASE_LINE)
            sys.stderr.flush()

    def _draw(self) -> None:
        if self._is_free and self._status not in FINAL_STATUSES:
            with self._console.capture() as line:
                self._console.print(self._line(), end="", no_wrap=True, overflow="ellipsis", crop=True)
            sys.stderr.write(ERASE_LINE + line.get())
            sys.stderr.flush()

    def _line(self) -> Any:
        from rich.text import Text

        seconds = int(time.monotonic() - self._began)
        line = Text()
        line.append("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(time.monotonic() / REDRAW_EVERY_S) % 10] + " ", style="blue")
        line.append(f"{self._status} {seconds // 60}:{seconds % 60:02d}", style="bold")
        recent = list(self._metrics.values())[-SHOWN_METRICS:]
        if recent:
            line.append(f"  step {max(point.step for point in recent)}")
        for point in sorted(recent, key=lambda point: point.key):
            line.append(f"  {point.key} ", style="dim")
            line.append(f"{point.value:.4g}")
        return line


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "") != "dumb"
