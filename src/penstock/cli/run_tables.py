"""Runs as tables: short numbers, local times, durations with a unit, and what fits the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from penstock.cli.fitting import fit
from penstock.cli.output import Format, emit, note

HEADERS = {
    "run_id": "RUN",
    "run_name": "NAME",
    "experiment_name": "EXPERIMENT",
    "experiment_id": "EXPERIMENT ID",
    "start_time": "STARTED",
    "end_time": "ENDED",
    "user_id": "BY",
}


def table_of(runs: Sequence[dict[str, Any]], columns: dict[str, Any], *, full: bool) -> list[dict[str, Any]]:
    """Return rows with a header for each column: attributes first, then metrics, params and tags as asked."""
    attributes = columns.get("attributes")
    names = [name for name in (attributes if isinstance(attributes, list) else HEADERS) if name != "run_id"]
    pairs = []
    for kind in ("metrics", "params", "tags"):
        wanted = columns.get(kind)
        keys = wanted if isinstance(wanted, list) else sorted({key for run in runs for key in run.get(kind, {})})
        pairs += [(kind, key) for key in keys]
    rows = []
    for run in runs:
        row: dict[str, Any] = {"RUN": run["run_id"]}
        for name in names:
            value = run.get(name)
            header = HEADERS.get(name, name.upper().replace("_", " "))
            row[header] = value if full or name != "duration" else _duration(value)
            if not full and name in {"start_time", "end_time"} and value is not None:
                row[header] = _local(value)
        for kind, key in pairs:
            value = run.get(kind, {}).get(key)
            row[f"{kind}.{key}"] = value if full else short_number(value)
        rows.append(row)
    return rows


def show_table(rows: list[dict[str, Any]], output: Format | None, *, fixed: Sequence[str]) -> None:
    """Write rows as a table that fits the terminal, or whole as TSV; ``fixed`` columns are never cut."""
    if output is Format.TSV:
        emit(rows, output=output)
        return
    fitted, left_out = fit(rows, fixed=fixed)
    emit(fitted, output=output)
    if left_out:
        note(f"Left out for want of room: {', '.join(left_out)}. All with -o tsv or json.")


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
        "deleted": "yes" if run["lifecycle_stage"] == "deleted" else None,
        "duration": _duration(run.get("duration")),
        "metrics": {key: short_number(value) for key, value in run["metrics"].items()},
        "tags": {key: value for key, value in run["tags"].items() if not key.startswith("mlflow.")},
        "datasets": [f"{used['name']} ({used['digest']})" for used in run.get("dataset_inputs", ())],
    }


def short_number(value: Any) -> Any:
    """Return a number with six digits; anything else as it is."""
    return f"{value:.6g}" if isinstance(value, float) and math.isfinite(value) else value


def _duration(ms: Any) -> str | None:
    if not isinstance(ms, int):
        return None
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _local(text: str) -> str:
    from datetime import datetime

    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
