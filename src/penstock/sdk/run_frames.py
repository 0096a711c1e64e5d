"""Runs and histories as data frames, with the column names that users of MLflow know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from penstock.plugins import load_module
from penstock.sdk.rest import Json

DataFrame: TypeAlias = Any
"""``pandas.DataFrame``; a client loads no pandas to say so."""

TIMES = ("start_time", "end_time")
ATTRIBUTES = (
    "run_id",
    "experiment_id",
    "experiment_name",
    "run_name",
    "status",
    "user_id",
    "start_time",
    "end_time",
    "duration",
    "lifecycle_stage",
    "artifact_uri",
)
KINDS = ("metrics", "params", "tags")


def flatten(run: Json) -> dict[str, Any]:
    """Return a run as one level of columns: ``run_id``, ``metrics.accuracy``, ``params.lr``, ``tags.best``."""
    flat = {name: run[name] for name in ATTRIBUTES if name in run}
    for kind in KINDS:
        flat |= {
            f"{kind}.{name}": float(value) if kind == "metrics" else value for name, value in run.get(kind, {}).items()
        }
    return flat


def frame_of_runs(runs: Iterable[Json], columns: dict[str, list[str] | str] | None) -> DataFrame:
    """Return a row for each run, in their order.

    Times are ``datetime64[ms, UTC]``, metrics float64 with NaN where a run has none, parameters and tags texts.

    Parameters
    ----------
    columns : mapping, optional
        What was asked for: a column that no run has is there nevertheless, as ``run_id`` always is. Where all were
        asked for and no run was found, the attributes are there.

    Raises
    ------
    MissingPartError
        If pandas is not installed.
    """
    pandas = load_module("pandas", needed_by="a data frame")
    rows = [flatten(run) for run in runs]
    always = set(ATTRIBUTES) if columns is None and not rows else {"run_id"}
    names = _order(always | {name for row in rows for name in row}, columns)
    values: dict[str, Any] = {}
    for name in names:
        column = [row.get(name) for row in rows]
        if name in TIMES:
            values[name] = _times(column)
        elif name.startswith("metrics."):
            values[name] = pandas.Series(column, dtype="float64")
        elif name == "duration":
            values[name] = pandas.Series(column, dtype="Int64")
        else:
            values[name] = pandas.Series(column, dtype=object)
    return pandas.DataFrame(values)


def frame_of_points(points: Sequence[Json]) -> DataFrame:
    """Return a metric's history: ``step``, ``timestamp`` (UTC) and ``value``.

    Raises
    ------
    MissingPartError
        If pandas is not installed.
    """
    pandas = load_module("pandas", needed_by="a data frame")
    return pandas.DataFrame(
        {
            "step": pandas.Series([point["step"] for point in points], dtype="int64"),
            "timestamp": _times([point["timestamp"] for point in points]),
            "value": pandas.Series([float(point["value"]) for point in points], dtype="float64"),
        }
    )


def _times(texts: Sequence[str | None]) -> Any:
    """Return a column of times; pandas' own parser goes through nanoseconds, which end in 2262."""
    numpy, pandas = load_module("numpy"), load_module("pandas", needed_by="a data frame")
    plain = ["NaT" if text is None else text.removesuffix("Z") for text in texts]
    return pandas.Series(numpy.array(plain, dtype="datetime64[ms]")).dt.tz_localize("UTC")


def _order(found: set[str], columns: dict[str, list[str] | str] | None) -> list[str]:
    """Return attributes in their own order, then metrics, parameters and tags: as asked, else by name."""
    asked: list[str] = []
    for kind, names in (columns or {}).items():
        asked += (
            [] if isinstance(names, str) else [name if kind == "attributes" else f"{kind}.{name}" for name in names]
        )
    every = found | set(asked)
    places = {name: place for place, name in enumerate(asked)}
    ordered = [name for name in ATTRIBUTES if name in every]
    for kind in KINDS:
        of_kind = (name for name in every if name.startswith(f"{kind}."))
        ordered += sorted(of_kind, key=lambda name: (places.get(name, len(places)), name))
    return ordered
