"""The short-lived process that makes an export or verifies the audit log: an order on standard input, bytes out.

It opens the metadata store for reading alone and reads it page by page, each page in a snapshot of its own, so memory
stays the same however much there is. The first line it writes says whether the order can be done: ``{}``, or the
problem document to answer with. What follows is the file, whole only if the process ends with status 0. It ends at once
when standard input closes: then the server is gone, or the client hung up.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

import msgspec

from penstock.entities.errors import PenstockError
from penstock.entities.run_query import RunExport
from penstock.server import problems
from penstock.server.event_walk import export_events, verify_events
from penstock.server.export_order import EventsExport, EventsVerification, Order, RunsExport
from penstock.server.run_export import export_runs
from penstock.server.run_selection import read_selection
from penstock.stores.metadata.engine.opening import open_reader

NICENESS = 10
"""Whoever trains waits for what is logged, so the server comes first where both want the processor."""


def main(source: IO[bytes], target: IO[bytes]) -> int:
    """Do the order that is the first line of ``source`` and return the exit status."""
    os.nice(NICENESS)
    order = msgspec.json.decode(source.readline(), type=Order)
    threading.Thread(target=_end_with, args=(source,), daemon=True).start()
    try:
        reader = open_reader(order.url, Path(order.file))
        pieces = _pieces(reader.read, order)
        pieces = chain([next(pieces, b"")], pieces)
    except PenstockError as error:
        target.write(msgspec.json.encode(problems.problem_body(error, problems.status_of(error))) + b"\n")
        target.flush()
        return 0
    target.write(b"{}\n")
    for piece in pieces:
        target.write(piece)
        target.flush()
    return 0


def _pieces(read: Callable[[], Any], order: Order) -> Iterator[bytes]:
    task = order.task
    if isinstance(task, EventsExport):
        return export_events(read, task)
    if isinstance(task, EventsVerification):
        return verify_events(read, task)
    return _export_runs(read, task)


def _export_runs(read: Callable[[], Any], task: RunsExport) -> Iterator[bytes]:
    export = RunExport.model_validate(task.export)
    with read() as connection:
        selected = read_selection(connection, export, task.actor)
    return export_runs(read, selected, export)


def _end_with(source: IO[bytes]) -> None:
    source.read()
    os._exit(1)


def _run() -> int:
    try:
        return main(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:  # the server is gone, or the client
        return 1
    except PenstockError as error:
        sys.stderr.write(f"an export or verification failed: {error}\n")
    except BaseException:
        sys.stderr.write(f"an export or verification failed: {traceback.format_exc()}")
    return 1


if __name__ == "__main__":
    # At once, whatever happened: the thread that watches standard input would be waited for.
    os._exit(_run())
