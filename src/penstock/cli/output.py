"""Where results and errors leave the command line: formats, exit codes, and nothing else decides them.

Results go to standard output, everything said to people on the way to standard error.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import IO, Any

from penstock.entities.errors import (
    JobFailedError,
    NotFoundError,
    PenstockError,
    RefusedError,
    UnavailableError,
    UsageError,
)

FINE = 0
JOB_FAILED = 1
DAMAGED = 1
"""`audit verify` found an entry that was changed, inserted or is missing."""
USAGE = 2
NOT_FOUND = 3
REFUSED = 4
UNREACHABLE = 5
DEFECT = 70
INTERRUPTED = 130

# The first class that fits decides.
_EXIT_CODES: tuple[tuple[type[PenstockError], int], ...] = (
    (JobFailedError, JOB_FAILED),
    (UsageError, USAGE),
    (NotFoundError, NOT_FOUND),
    (RefusedError, REFUSED),
    (UnavailableError, UNREACHABLE),
)
_LONGEST_CELL = 60
_LONGEST_VALUE = 250
_RED, _GREEN, _YELLOW, _BLUE, _DIM, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[34m", "\x1b[2m", "\x1b[0m"
_STATUS_COLOURS = {
    "Completed": _GREEN,
    "Succeeded": _GREEN,
    "ready": _GREEN,
    "Failed": _RED,
    "Canceled": _YELLOW,
    "CancelRequested": _YELLOW,
    "Running": _BLUE,
}

Columns = Mapping[str, str]

_SHORT_ID = 8
_ID = re.compile(r"(?<![\w-])[0-9a-f]{32}(?![\w-])")
"""A run's id as Penstock and MLflow's client make them; a beginning of it that is unique names the run too."""


class Format(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    TSV = "tsv"


def report(error: PenstockError) -> int:
    """Write an error to standard error and return the exit code it stands for."""
    sys.stdout.flush()
    sys.stderr.write(f"{_paint('error', _RED, sys.stderr)}: {error}\n")
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), DEFECT)


def note(line: str) -> None:
    """Write one line for people to standard error."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def warn(answer: Mapping[str, Any]) -> None:
    """Write the remarks of a server's answer, one line each, to standard error."""
    for warning in answer.get("warnings") or ():
        note(f"warning: {warning}")


def emit(
    data: Any,
    *,
    columns: Columns | None = None,
    output: Format | None = None,
    query: str | None = None,
    fixed: Sequence[str] | None = None,
) -> None:
    """Write a result.

    Parameters
    ----------
    data : object
        A JSON object or a list of them.
    columns : mapping, optional
        Header → dotted path of the columns of a table, or of the lines of one object's table.
    output : Format, optional
        The table by default, JSON where ``query`` reshapes the result.
    query : str, optional
        A JMESPath expression.
    fixed : sequence of str, optional
        Headers of a list's columns that are not cut to make it fit a terminal; the first one, times, states and sizes
        where nothing is said.
    """
    if query:
        data, columns = _search(query, data), None
    left_out: Sequence[str] = ()
    is_cut = False
    chosen = output or (Format.JSON if query else Format.TABLE)
    if chosen is Format.JSON:
        text = json.dumps(data, indent=2, ensure_ascii=False)
    elif chosen is Format.YAML:
        text = _yaml(data)
    elif chosen is Format.TSV:
        text = "\n".join("\t".join(_cell(value, full=True) for value in row) for row in _rows(data, columns))
    else:
        text, left_out = _table(data, columns, fixed)
        is_cut = isinstance(data, Mapping) and _has_long_values(data, columns)
    if text:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    if left_out:
        note(f"Left out for want of room: {', '.join(left_out)}. All with -o tsv or json.")
    if is_cut:
        note("Long values are cut; whole with -o json.")


def _search(query: str, data: Any) -> Any:
    import jmespath

    try:
        return jmespath.search(query, data)
    except jmespath.exceptions.JMESPathError as error:
        raise UsageError(f'--query "{query}" is no JMESPath: {error}', hint="See https://jmespath.org.") from error


def _yaml(data: Any) -> str:
    import yaml

    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True)).rstrip("\n")


def _rows(data: Any, columns: Columns | None) -> list[list[Any]]:
    if not isinstance(data, list):
        data = [data]
    rows: list[list[Any]] = []
    for item in data:
        if isinstance(item, Mapping):
            rows.append([_at(item, path) for path in columns.values()] if columns else list(item.values()))
        else:
            rows.append(list(item) if isinstance(item, list) else [item])
    return rows


def human_size(size: float) -> str:
    """Return a size in bytes as people read it, such as ``17.6 KB``."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _table(data: Any, columns: Columns | None, fixed: Sequence[str] | None) -> tuple[str, Sequence[str]]:
    """Return a table, and the columns there was no room for."""
    if isinstance(data, Mapping):
        pairs = columns or {key: key for key in data}
        lines = [(header, _readable(path, _at(data, path))) for header, path in pairs.items()]
        # What holds several things is shown with all of them, because a cut one would hide some.
        cells = [
            [_paint(f"{name}:", _DIM), _coloured(_cell(_shortened(value), full=isinstance(value, Mapping | list)))]
            for name, value in lines
            if value not in _NOTHING
        ]
        return _lay_out(cells), ()
    if not isinstance(data, list):
        return _cell(data, full=True), ()
    if columns is None and data and all(isinstance(item, Mapping) for item in data):
        columns = {key: key for key in data[0]}
    if not columns:
        return _lay_out([[_coloured(_cell(value)) for value in row] for row in _rows(data, columns)]), ()
    from penstock.cli.fitting import fit

    paths = list(columns.values())
    cells = [[_cell(_readable(p, v)) for p, v in zip(paths, row, strict=True)] for row in _rows(data, columns)]
    if sys.stdout.isatty():
        cells = _with_short_ids(cells)
    rows, left_out = fit(
        [dict(zip(columns, row, strict=True)) for row in cells],
        fixed=[*list(columns)[:1], *_kept_whole(columns)] if fixed is None else fixed,
    )
    head = [_paint(header, _DIM) for header in columns if header not in left_out]
    return _lay_out([head, *([_coloured(cell) for cell in row.values()] for row in rows)]), left_out


def _shortened(value: Any) -> Any:
    """Return what holds several things with the long texts among them cut."""
    if isinstance(value, Mapping):
        return {key: _shorten(inner) for key, inner in value.items()}
    return [_shorten(inner) for inner in value] if isinstance(value, list) else value


def _has_long_values(data: Mapping[str, Any], columns: Columns | None) -> bool:
    values = [_at(data, path) for path in (columns or dict(zip(data, data, strict=True))).values()]
    return any(_shortened(value) != value for value in values)


def _shorten(value: Any) -> Any:
    return value[:_LONGEST_VALUE] + _CUT if isinstance(value, str) and len(value) > _LONGEST_VALUE else value


def _kept_whole(columns: Columns) -> list[str]:
    """Return the headers of columns that say nothing once they are cut."""
    return [header for header, path in columns.items() if path.endswith("_at") or path in {"at", "status", "size"}]


def _readable(path: str, value: Any) -> Any:
    return human_size(value) if path == "size" and isinstance(value, int) else value


def _with_short_ids(rows: list[list[str]]) -> list[list[str]]:
    """Return cells with ids cut to eight characters, or as many as tell those shown apart."""
    found = {one for row in rows for cell in row for one in _ID.findall(cell)}
    length = _SHORT_ID
    while len({one[:length] for one in found}) < len(found):
        length += 1
    return [[_ID.sub(lambda match: match[0][:length], cell) for cell in row] for row in rows]


_CUT = "…"
_NOTHING: Sequence[Any] = (None, "", {}, [])


def _lay_out(rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    widths = [max(_width(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    lines = ("  ".join(cell + " " * (widths[i] - _width(cell)) for i, cell in enumerate(row)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _width(cell: str) -> int:
    """Return the columns a cell takes; colours take none."""
    if "\x1b" in cell:
        for code in (_RED, _GREEN, _YELLOW, _BLUE, _DIM, _PLAIN):
            cell = cell.replace(code, "")
    return len(cell)


def _at(item: Any, path: str) -> Any:
    if isinstance(item, Mapping) and path in item:
        return item[path]  # a column of its own, such as metrics.accuracy
    for part in path.split("."):
        if not isinstance(item, Mapping):
            return None
        item = item.get(part)
    return item


def _cell(value: Any, *, full: bool = False) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        text = pairs_text(value)
    elif isinstance(value, list):
        text = ", ".join(_cell(inner, full=True) for inner in value)
    else:
        text = str(value)
    if full:
        return text.replace("\t", " ").replace("\n", " ")
    first, _, more = text.strip().partition("\n")
    text = f"{first.rstrip()} …" if more else _local_time(text)
    if len(text) > _LONGEST_CELL and sys.stdout.isatty():
        text = text[: _LONGEST_CELL - 1] + "…"
    return text


def pairs_text(value: Mapping[str, Any]) -> str:
    """Return a mapping in one line, always in one form: ``key=value, …``; what is nested in it is JSON."""
    return ", ".join(f"{key}={_plain(inner)}" for key, inner in value.items() if inner is not None)


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping | list | bool) else str(value)


def _coloured(cell: str) -> str:
    return _paint(cell, _STATUS_COLOURS[cell]) if cell in _STATUS_COLOURS else cell


def _local_time(text: str) -> str:
    if len(text) < 20 or text[10:11] != "T" or not text.endswith("Z"):
        return text
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):  # the last hours of the calendar, in a zone that is ahead
        return text


def _paint(text: str, colour: str, stream: IO[str] | None = None) -> str:
    stream = stream or sys.stdout
    return f"{colour}{text}{_PLAIN}" if stream.isatty() and not os.environ.get("NO_COLOR") else text
