"""Runs as tables: short numbers, local times, durations with a unit, and what fits the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from penstock.cli.output import Format, emit, human_size

HEADERS = {
    "run_id": "RUN",
    "run_name": "NAME",
    "experiment_name": "EXPERIMENT",
    "experiment_id": "EXPERIMENT ID",
    "start_time": "STARTED",
    "end_time": "ENDED",
    "user_id": "BY",
}


def table_of(
    runs: Sequence[dict[str, Any]], columns: dict[str, Any], *, full: bool
) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the headers, attributes first, then metrics, params and tags as asked, and a row for each run."""
    attributes = columns.get("attributes")
    names = [name for name in (attributes if isinstance(attributes, list) else HEADERS) if name != "run_id"]
    pairs = []
    for kind in ("metrics", "params", "tags"):
        wanted = columns.get(kind)
        keys = wanted if isinstance(wanted, list) else sorted({key for run in runs for key in run.get(kind, {})})
        pairs += [(kind, key) for key in keys]
    headers = ["RUN", *(_header(name) for name in names), *(f"{kind}.{key}" for kind, key in pairs)]
    rows = []
    for run in runs:
        row: dict[str, Any] = {"RUN": run["run_id"]}
        for name in names:
            value = run.get(name)
            header = _header(name)
            row[header] = value if full or name != "duration" else duration_text(value)
            if not full and name in {"start_time", "end_time"} and value is not None:
                row[header] = _local(value)
        for kind, key in pairs:
            value = run.get(kind, {}).get(key)
            row[f"{kind}.{key}"] = value if full else short_number(value)
        rows.append(row)
    return headers, rows


def missing_columns(runs: Sequence[dict[str, Any]], columns: dict[str, Any]) -> list[str]:
    """Return what was asked for by name and none of the runs has."""
    asked = [(kind, key) for kind in ("metrics", "params", "tags") if columns.get(kind) != "*" for key in columns[kind]]
    return [f"{kind}.{key}" for kind, key in asked if not any(key in run.get(kind, {}) for run in runs)]


def show_table(
    rows: list[dict[str, Any]], output: Format | None, *, headers: Sequence[str], fixed: Sequence[str]
) -> None:
    """Write rows as a table that fits the terminal, or whole as TSV; ``fixed`` columns are never cut.

    A table without rows is its headers.
    """
    emit(rows, columns={header: header for header in headers}, output=output, fixed=fixed)


def differences(runs: Sequence[dict[str, Any]], *, everything: bool) -> list[dict[str, Any]]:
    """Return a row for each parameter and metric in which runs differ, or for each one."""
    rows = []
    for kind in ("params", "metrics"):
        for key in sorted({key for run in runs for key in run[kind]}):
            values = [run[kind].get(key) for run in runs]
            if everything or any(value != values[0] for value in values):
                rows.append({"name": f"{kind}.{key}", "values": values})
    return rows


def heads_of(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Return what tells runs apart: their names, with the beginning of the id where two have the same."""
    names = [str(run["run_name"]) for run in runs]
    return names if len(set(names)) == len(names) else [f"{run['run_name']} {run['run_id'][:8]}" for run in runs]


def readable(run: dict[str, Any]) -> dict[str, Any]:
    """Return a run as people read it: numbers in short, no tags of MLflow's own, durations with a unit."""
    return {
        **run,
        "description": run["tags"].get("mlflow.note.content"),
        "deleted": "yes" if run["lifecycle_stage"] == "deleted" else None,
        "duration": duration_text(run.get("duration")),
        "metrics": {key: short_number(value) for key, value in run["metrics"].items()},
        "tags": {key: value for key, value in run["tags"].items() if not key.startswith("mlflow.")},
        "datasets": [f"{used['name']} ({used['digest']})" for used in run.get("dataset_inputs", ())],
    }


def one_line(run: dict[str, Any]) -> str:
    """Return a run as it is named among others: its name, the beginning of its id, its state."""
    return f"{run['run_name']} ({run['run_id'][:8]}, {run['status']})"


def listed(items: Sequence[str], most: int) -> list[str]:
    """Return the first of many, and how many more there are."""
    more = len(items) - most
    return list(items) if more <= 0 else [*items[:most], f"… and {more} more"]


def file_line(item: dict[str, Any]) -> str:
    """Return a file with its size, or a folder."""
    return f"{item['path']}/" if item.get("is_dir") else f"{item['path']} ({human_size(item['size'] or 0)})"


def short_number(value: Any) -> Any:
    """Return a number with six digits; anything else as it is."""
    return f"{value:.6g}" if isinstance(value, float) and math.isfinite(value) else value


def _header(name: str) -> str:
    return HEADERS.get(name, name.upper().replace("_", " "))


def duration_text(ms: Any) -> str | None:
    """Return milliseconds with a unit, None for none."""
    if not isinstance(ms, int):
        return None
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _local(text: str) -> str:
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):  # the last hours of the calendar, in a zone that is ahead
        return text
