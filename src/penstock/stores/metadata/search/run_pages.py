"""All there is to show of many runs, read with few statements and little of the interpreter's time.

Parameters and tags come as JSON made by the database: nothing of them becomes an object here. Metrics do not, because
SQLite before 3.43 prints one double in four hundred inexactly; they come as tuples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, Table, Text, exists, literal_column, or_, select

from penstock.stores.metadata.engine.statements import HotStatement
from penstock.stores.metadata.search.row_sets import bind_rows, in_rows
from penstock.stores.metadata.tables import latest, metric_keys, params, run_datasets, run_models, runs, tags

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
    has_inputs : bool
        Whether it used or made a dataset or a logged model.
    points : list of tuple
        Latest points of its metrics as (run, key's row, value, timestamp, step, is_nan), as the driver made them.
    """

    info: RunInfo
    params: str
    tags: str
    has_inputs: bool
    points: list[tuple[int, int, float, int, int, bool]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunsPart:
    """Some runs in order, and the names of their metrics by row."""

    runs: list[ShownRun]
    names: Mapping[int, str]


def _pairs_json(dialect: str, table: Table) -> ColumnElement[Any]:
    names = "'key', key, 'value', value"
    array = "json_group_array(json_object({}))" if dialect == "sqlite" else "json_agg(json_build_object({}))::text"
    made = literal_column(array.format(names), type_=Text())
    return select(made).select_from(table).where(table.c.run == runs.c.id).correlate(runs).scalar_subquery()


def _select_runs(dialect: str) -> Select[Any]:
    columns = [runs.c[name] for name in RunInfo._fields]
    pairs = [_pairs_json(dialect, table) for table in (params, tags)]
    uses = [select(table.c.run).where(table.c.run == runs.c.id).correlate(runs) for table in (run_datasets, run_models)]
    return select(*columns, *pairs, or_(*(exists(use) for use in uses))).where(in_rows(dialect, runs.c.id))


def _select_metrics(dialect: str) -> Select[Any]:
    shown = (latest.c.run, latest.c.key, latest.c.value, latest.c.timestamp, latest.c.step, latest.c.is_nan)
    return select(*shown).where(in_rows(dialect, latest.c.run)).order_by(latest.c.run, latest.c.key)


_run_of = itemgetter(0)
_RUNS = HotStatement(_select_runs, "rows")
_METRICS = HotStatement(_select_metrics, "rows")
_NAMES = HotStatement(
    lambda dialect: select(metric_keys.c.id, metric_keys.c.key).where(in_rows(dialect, metric_keys.c.id)), "rows"
)


def read_runs(connection: Connection, rows: Sequence[int]) -> Iterator[RunsPart]:
    """Yield runs, given by their rows, in that order, some at a time; rows of no run are left out."""
    names: dict[int, str] = {}
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        bound = (bind_rows(connection.dialect.name, part),)
        found: dict[int, ShownRun] = {}
        for *info, run_params, run_tags, has_inputs in _RUNS.all(connection, bound):
            found[info[0]] = ShownRun(RunInfo(*info), _some(run_params), _some(run_tags), bool(has_inputs))
        points = _METRICS.all(connection, bound)
        _name(connection, names, {point[1] for point in points})
        for row, group in groupby(points, _run_of):
            found[row].points = list(group)
        yield RunsPart([found[row] for row in part if row in found], names)


def _some(text: str | None) -> str:
    return "" if text is None or text == "[]" else text


def _name(connection: Connection, names: dict[int, str], keys: set[int]) -> None:
    unknown = sorted(keys - names.keys())
    if unknown:
        names.update(_NAMES.all(connection, (bind_rows(connection.dialect.name, unknown),)))
