"""All there is to show of many runs, read with few statements and little of the interpreter's time.

Parameters and tags come as JSON made by the database: nothing of them becomes an object here. Metrics do not, because
SQLite before 3.43 prints one double in four hundred inexactly; they come as tuples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, Table, Text, literal_column, select

from penstock.stores.metadata.row_sets import bind_rows, in_rows
from penstock.stores.metadata.statements import HotStatement
from penstock.stores.metadata.tables import latest, metric_keys, params, runs, tags

AT_ONCE = 250
"""So many runs are read with one statement; another thread waits for the lock at most that long."""


class RunInfo(NamedTuple):
    """What a run's own row says."""

    id: int
    run_id: str
    experiment: int
    run_name: str
    user_id: str
    status: str
    lifecycle_stage: str
    start_time: int
    end_time: int | None
    artifact_uri: str


@dataclass(slots=True)
class ShownRun:
    """One run.

    Parameters
    ----------
    info : RunInfo
        Its own row.
    params, tags : str
        A JSON array of ``{"key": ..., "value": ...}``, empty text where there are none.
    metrics : list
        Latest points as (name, value, timestamp, step, is_nan).
    """

    info: RunInfo
    params: str
    tags: str
    metrics: list[tuple[str, float, int, int, bool]] = field(default_factory=list)


def _pairs_json(dialect: str, table: Table) -> ColumnElement[Any]:
    names = "'key', key, 'value', value"
    array = "json_group_array(json_object({}))" if dialect == "sqlite" else "json_agg(json_build_object({}))::text"
    made = literal_column(array.format(names), type_=Text())
    return select(made).select_from(table).where(table.c.run == runs.c.id).correlate(runs).scalar_subquery()


def _select_runs(dialect: str) -> Select[Any]:
    columns = [runs.c[name] for name in RunInfo._fields]
    pairs = [_pairs_json(dialect, table) for table in (params, tags)]
    return select(*columns, *pairs).where(in_rows(dialect, runs.c.id))


def _select_metrics(dialect: str) -> Select[Any]:
    shown = (latest.c.run, latest.c.key, latest.c.value, latest.c.timestamp, latest.c.step, latest.c.is_nan)
    return select(*shown).where(in_rows(dialect, latest.c.run)).order_by(latest.c.run, latest.c.key)


_RUNS = HotStatement(_select_runs, "rows")
_METRICS = HotStatement(_select_metrics, "rows")
_NAMES = HotStatement(
    lambda dialect: select(metric_keys.c.id, metric_keys.c.key).where(in_rows(dialect, metric_keys.c.id)), "rows"
)


def read_runs(connection: Connection, rows: Sequence[int]) -> Iterator[list[ShownRun]]:
    """Yield runs, given by their rows, in that order, some at a time; rows of no run are left out."""
    names: dict[int, str] = {}
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        bound = (bind_rows(connection.dialect.name, part),)
        found: dict[int, ShownRun] = {}
        for *info, run_params, run_tags in _RUNS.all(connection, bound):
            found[info[0]] = ShownRun(RunInfo(*info), _some(run_params), _some(run_tags))
        points = _METRICS.all(connection, bound)
        _name(connection, names, {point[1] for point in points})
        for run, key, value, timestamp, step, is_nan in points:
            found[run].metrics.append((names[key], value, timestamp, step, is_nan))
        yield [found[row] for row in part if row in found]


def _some(text: str | None) -> str:
    return "" if text is None or text == "[]" else text


def _name(connection: Connection, names: dict[int, str], keys: set[int]) -> None:
    unknown = sorted(keys - names.keys())
    if unknown:
        names.update(_NAMES.all(connection, (bind_rows(connection.dialect.name, unknown),)))
