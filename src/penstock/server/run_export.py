"""All runs that a search finds, as the pieces of one file: JSON lines, CSV, Arrow or Parquet.

Rows are read a page at a time, each page in a snapshot of its own, so memory stays the same however many runs there
are, and no snapshot is held while a slow client reads. Runs in the process beside the server; that never loads pyarrow.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from sqlalchemy import Connection

from penstock.entities.run_query import RunExport
from penstock.rules.instants import nearest, rfc3339
from penstock.server import arrow_file
from penstock.server.api import wire
from penstock.server.run_selection import Selected, names_of, walk_pages
from penstock.stores.metadata.search.run_columns import (
    Columns,
    PointPlace,
    metric_names,
    read_columns,
    read_latest,
    read_points,
    run_ids,
)

Read = Callable[[], AbstractContextManager[Connection]]
Row = list[Any]

RUNS_AT_ONCE = 500
AT_ONCE = 10_000
"""Points: some ten ms of a snapshot."""
_TIMES = frozenset({"start_time", "end_time", "timestamp"})
_VALUES = ("run_id", "metric", "step", "timestamp", "value")


def export_runs(read: Read, selected: Selected, export: RunExport) -> Iterator[bytes]:
    """Return the pieces of the file that an export asks for.

    Raises
    ------
    MissingPartError
        If the format needs pyarrow and it is not installed here.
    """
    with read() as connection:
        columns = names_of(connection, selected)
    header = header_of(columns) if export.what == "runs" else list(_VALUES)
    rows = _rows(read, selected, columns, export.what)
    if export.format == "jsonl":
        return _lines(header, rows)
    if export.format == "csv":
        return _csv(header, rows)
    return arrow_file.write(export.format, [(name, type_of(name)) for name in header], _with_dates(header, rows))


def header_of(columns: Columns) -> list[str]:
    """Return the names of an export's columns: attributes as they are, the others as ``metrics.accuracy``."""
    attributes = list(columns.attributes or ())
    if "run_id" not in attributes:
        attributes.insert(0, "run_id")
    parts = (("metrics", columns.metrics), ("params", columns.params), ("tags", columns.tags))
    return attributes + [f"{kind}.{name}" for kind, names in parts for name in names or ()]


def type_of(column: str) -> str:
    """Return what a column holds: ``text``, ``time`` (ms UTC), ``integer`` or ``number``."""
    if column in _TIMES:
        return "time"
    if column in {"duration", "step"}:
        return "integer"
    return "number" if column == "value" or column.startswith("metrics.") else "text"


def _rows(read: Read, selected: Selected, columns: Columns, what: str) -> Iterator[list[Row]]:
    """Yield pages of rows in the order of the header; times in ms, numbers as floats."""
    if what == "runs":

        def show(connection: Connection, found: list[int]) -> list[Row]:
            return [_flat(run, columns) for run in read_columns(connection, found, columns)]

        return walk_pages(read, selected, show, size=RUNS_AT_ONCE)
    if what == "metrics":

        def show_latest(connection: Connection, found: list[int]) -> list[Row]:
            return [list(values) for values in read_latest(connection, found, columns.metrics)]

        return walk_pages(read, selected, show_latest, size=RUNS_AT_ONCE // 10)
    return _points(read, walk_pages(read, selected, run_ids, size=RUNS_AT_ONCE), columns.metrics)


def _points(read: Read, pages: Iterator[dict[int, str]], keys: Sequence[str] | None) -> Iterator[list[Row]]:
    page: list[Row] = []
    for found in pages:
        with read() as connection:
            known = metric_names(connection, keys)
        for run, run_id in found.items():
            after: PointPlace | None = None
            while True:
                with read() as connection:
                    points = read_points(connection, run, list(known) if keys is not None else None, after, AT_ONCE)
                # A name that came since is left out, as it would have been a moment ago.
                page += [[run_id, known[key], *values] for (key, *_), values in points if key in known]
                if len(page) >= RUNS_AT_ONCE:
                    yield page
                    page = []
                if len(points) < AT_ONCE:
                    break
                after = points[-1][0]
    yield page


def _flat(run: dict[str, Any], columns: Columns) -> Row:
    row = [run["run_id"]] if "run_id" not in (columns.attributes or ()) else []
    row += [run[name] for name in columns.attributes or ()]
    for kind, names in (("metrics", columns.metrics), ("params", columns.params), ("tags", columns.tags)):
        found = run.get(kind, {})
        row += [found.get(name) for name in names or ()]
    return row


def _lines(header: Sequence[str], pages: Iterator[list[Row]]) -> Iterator[bytes]:
    shows = [_shown(name) for name in header]
    for page in pages:
        lines = (
            {name: show(value) for name, show, value in zip(header, shows, row, strict=True) if value is not None}
            for row in page
        )
        if text := b"".join(msgspec.json.encode(line) + b"\n" for line in lines):
            yield text


def _csv(header: Sequence[str], pages: Iterator[list[Row]]) -> Iterator[bytes]:
    shows = [_shown(name) for name in header]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for page in pages:
        for row in page:
            writer.writerow(["" if value is None else show(value) for show, value in zip(shows, row, strict=True)])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    if buffer.getvalue():
        yield buffer.getvalue().encode()


def _with_dates(header: Sequence[str], pages: Iterator[list[Row]]) -> Iterator[list[Row]]:
    """Give each time a date: Arrow holds any number, but who reads it cannot print it."""
    times = [place for place, name in enumerate(header) if type_of(name) == "time"]
    for page in pages:
        for row in page:
            for place in times:
                if row[place] is not None:
                    row[place] = nearest(row[place])
        yield page


def _shown(column: str) -> Callable[[Any], Any]:
    kind = type_of(column)
    return rfc3339 if kind == "time" else wire.number if kind == "number" else _same


def _same(value: Any) -> Any:
    return value
