"""The columns of a page of runs: one query for each kind that is asked for, and nothing for what is not.

A page is a list of plain dictionaries. Building a record for each run and each value would cost several times what
the database needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, func, or_, select, tuple_

from penstock.stores.metadata.experiments import parse_id
from penstock.stores.metadata.search.row_sets import among
from penstock.stores.metadata.search.shown_times import span
from penstock.stores.metadata.tables import experiments, latest, metric_keys, params, points, runs, tags

_NAN = float("nan")
_ATTRIBUTES: dict[str, Any] = {
    "run_id": runs.c.run_id,
    "run_name": runs.c.run_name,
    "experiment_id": runs.c.experiment,
    "experiment_name": experiments.c.name,
    "status": runs.c.status,
    "user_id": runs.c.user_id,
    "start_time": runs.c.start_time,
    "end_time": runs.c.end_time,
    "duration": span(runs.c.start_time, runs.c.end_time),
    "lifecycle_stage": runs.c.lifecycle_stage,
    "artifact_uri": runs.c.artifact_uri,
}
_PLACE = (points.c.key, points.c.timestamp, points.c.step, points.c.value, points.c.is_nan, points.c.attempt)


class PointPlace(NamedTuple):
    """Where a point of a run stands among the others, in the order of an export."""

    key: int
    timestamp: int
    step: int
    value: float
    is_nan: bool
    attempt: int


@dataclass(frozen=True, slots=True)
class Columns:
    """What is asked: names of each kind, None for all, an empty tuple for none."""

    attributes: tuple[str, ...] | None = None
    metrics: tuple[str, ...] | None = ()
    params: tuple[str, ...] | None = ()
    tags: tuple[str, ...] | None = ()


def read_columns(connection: Connection, rows: Sequence[int], columns: Columns) -> list[dict[str, Any]]:
    """Return the runs of ``rows``, in that order.

    Returns
    -------
    list of dict
        ``run_id`` and the attributes asked for, times in ms; ``metrics`` name → value, NaN and infinity among
        them, ``params`` and ``tags`` name → text, each only if something of it is asked.
    """
    found = _read_attributes(connection, rows, columns.attributes)
    if columns.metrics != ():
        _read_metrics(connection, found, columns.metrics)
    for name, table, wanted in (("params", params, columns.params), ("tags", tags, columns.tags)):
        if wanted != ():
            _read_pairs(connection, found, name, table, wanted)
    return [found[row] for row in rows if row in found]


def read_latest(
    connection: Connection, rows: Sequence[int], keys: tuple[str, ...] | None
) -> Iterator[tuple[str, str, int, int, float]]:
    """Yield (run id, metric, step, timestamp, value) of the latest points of runs, by run and metric."""
    of_runs = _in_order(connection, rows)
    statement = select(
        latest.c.run, metric_keys.c.key, latest.c.step, latest.c.timestamp, latest.c.value, latest.c.is_nan
    )
    statement = statement.join(metric_keys, metric_keys.c.id == latest.c.key).where(latest.c.run.in_(rows))
    if keys is not None:
        statement = statement.where(metric_keys.c.key.in_(keys))
    by_run: dict[int, list[Any]] = {row: [] for row in of_runs}
    for row in connection.execute(statement.order_by(metric_keys.c.key)):
        by_run[row[0]].append(row)
    for run, run_id in of_runs.items():
        for _, key, step, timestamp, value, is_nan in by_run[run]:
            yield run_id, key, step, timestamp, _NAN if is_nan else value


def run_ids(connection: Connection, rows: Sequence[int]) -> dict[int, str]:
    """Return the ids of the runs that there are among ``rows``, in that order."""
    return _in_order(connection, rows)


def metric_names(connection: Connection, keys: Sequence[str] | None) -> dict[int, str]:
    """Return the names of metrics by their numbers; None for all."""
    wanted = (metric_keys.c.id, metric_keys.c.key)
    names = select(*wanted) if keys is None else select(*wanted).where(metric_keys.c.key.in_(keys))
    return {row: key for row, key in connection.execute(names)}


def read_points(
    connection: Connection, run: int, keys: Sequence[int] | None, after: PointPlace | None, most: int
) -> list[tuple[PointPlace, tuple[int, int, float]]]:
    """Return where each point stands and its (step, timestamp, value): those of a run that count, by metric and time.

    Parameters
    ----------
    run : int
        Its row.
    keys : sequence of int, optional
        Numbers of metrics; None for all.
    after : PointPlace, optional
        Only points behind this one.
    most : int
        At most so many.
    """
    counts = or_(points.c.attempt == 0, points.c.attempt == runs.c.attempt)
    statement = (
        select(*_PLACE).join(runs, runs.c.id == points.c.run).where(points.c.run == run, counts).order_by(*_PLACE)
    )
    if keys is not None:
        statement = statement.where(points.c.key.in_(keys))
    if after is not None:
        place = (bindparam(None, value, type_=column.type) for value, column in zip(after, _PLACE, strict=True))
        statement = statement.where(tuple_(*_PLACE) > tuple_(*place))
    found = (PointPlace(*row) for row in connection.execute(statement.limit(most)))
    return [(row, (row.step, row.timestamp, _NAN if row.is_nan else row.value)) for row in found]


def has_metric(connection: Connection, key: str, experiment_ids: Sequence[str] | None) -> bool:
    """Return whether a run of these experiments (None: any run ever) logged a metric of that name."""
    row = connection.execute(select(metric_keys.c.id).where(metric_keys.c.key == key)).scalar_one_or_none()
    if row is None or experiment_ids is None:
        return row is not None
    wanted = among(connection.dialect.name, latest.c.experiment, _ids(experiment_ids))
    return connection.execute(select(latest.c.run).where(wanted, latest.c.key == row).limit(1)).first() is not None


def has_pair(connection: Connection, kind: str, key: str, experiment_ids: Sequence[str] | None) -> bool:
    """Return whether a run of these experiments (None: of any) has a parameter or tag of that name."""
    table = _pairs(kind)
    if experiment_ids is None:
        within: ColumnElement[bool] = table.c.experiment.in_(select(experiments.c.id).where(experiments.c.id >= 0))
    else:
        within = among(connection.dialect.name, table.c.experiment, _ids(experiment_ids))
    return connection.execute(select(table.c.run).where(within, table.c.key == key).limit(1)).first() is not None


def list_names(
    connection: Connection, kind: str, experiment_ids: Sequence[str] | None, *, limit: int | None = None
) -> list[str]:
    """Return the names of the ``metrics``, ``params`` or ``tags`` that runs of these experiments have, sorted.

    One step in an index for each name of each experiment, however many runs have it.

    Parameters
    ----------
    experiment_ids : sequence of str, optional
        None for all.
    limit : int, optional
        At most so many names.
    """
    if experiment_ids is None:
        rows = list(connection.execute(select(experiments.c.id).where(experiments.c.id >= 0)).scalars())
    else:
        rows = _ids(experiment_ids)
    found: set[str] = set()
    for experiment in rows:
        walk = _metric_names(connection, experiment) if kind == "metrics" else _pair_names(connection, kind, experiment)
        for name in walk:
            found.add(name)
            if limit is not None and len(found) >= limit:
                return sorted(found)
    return sorted(found)


def _metric_names(connection: Connection, experiment: int) -> Iterator[str]:
    statement = select(func.min(latest.c.key)).where(
        latest.c.experiment == experiment, latest.c.key > bindparam("last")
    )
    name = select(metric_keys.c.key).where(metric_keys.c.id == bindparam("row"))
    last = -1
    while (row := connection.execute(statement, {"last": last}).scalar_one()) is not None:
        yield connection.execute(name, {"row": row}).scalar_one()
        last = row


def _pair_names(connection: Connection, kind: str, experiment: int) -> Iterator[str]:
    table = _pairs(kind)
    first = select(func.min(table.c.key)).where(table.c.experiment == experiment)
    statement = first.where(table.c.key > bindparam("last"))
    name = connection.execute(first).scalar_one()
    while name is not None:
        yield name
        name = connection.execute(statement, {"last": name}).scalar_one()


def _pairs(kind: str) -> Table:
    return params if kind == "params" else tags


def _ids(experiment_ids: Sequence[str]) -> list[int]:
    return [parse_id(experiment_id) for experiment_id in experiment_ids]


def _in_order(connection: Connection, rows: Sequence[int]) -> dict[int, str]:
    names = {row: name for row, name in connection.execute(select(runs.c.id, runs.c.run_id).where(runs.c.id.in_(rows)))}
    return {row: names[row] for row in rows if row in names}


def _read_attributes(
    connection: Connection, rows: Sequence[int], wanted: tuple[str, ...] | None
) -> dict[int, dict[str, Any]]:
    names = tuple(_ATTRIBUTES) if wanted is None else tuple(dict.fromkeys(("run_id", *wanted)))
    statement: Select[Any] = select(runs.c.id, *(_ATTRIBUTES[name] for name in names))
    if "experiment_name" in names:
        statement = statement.select_from(runs.join(experiments, experiments.c.id == runs.c.experiment))
    found: dict[int, dict[str, Any]] = {}
    for row, *values in connection.execute(statement.where(runs.c.id.in_(rows))):
        run = found[row] = dict(zip(names, values, strict=True))
        if "experiment_id" in run:
            run["experiment_id"] = str(run["experiment_id"])
    return found


def _read_metrics(connection: Connection, found: dict[int, dict[str, Any]], wanted: tuple[str, ...] | None) -> None:
    names = select(metric_keys.c.id, metric_keys.c.key)
    if wanted is not None:
        names = names.where(metric_keys.c.key.in_(wanted))
    statement = select(latest.c.run, latest.c.key, latest.c.value, latest.c.is_nan).where(latest.c.run.in_(list(found)))
    values: dict[int, dict[str, float]] = {}
    for row, run in found.items():
        values[row] = run["metrics"] = {}
    known = {row: key for row, key in connection.execute(names)}
    if wanted is not None:
        statement = statement.where(latest.c.key.in_(list(known)))
    for row, key, value, is_nan in connection.execute(statement):
        values[row][known[key]] = _NAN if is_nan else value


def _read_pairs(
    connection: Connection, found: dict[int, dict[str, Any]], kind: str, table: Table, wanted: tuple[str, ...] | None
) -> None:
    statement = select(table.c.run, table.c.key, table.c.value).where(table.c.run.in_(list(found)))
    if wanted is not None:
        statement = statement.where(table.c.key.in_(wanted))
    values: dict[int, dict[str, str]] = {}
    for row, run in found.items():
        values[row] = run[kind] = {}
    for row, key, value in connection.execute(statement):
        values[row][key] = value
