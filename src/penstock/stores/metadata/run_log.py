"""What is logged to a run: metrics, parameters, tags; the hottest writes of the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Text, bindparam, delete, select, update

from penstock.entities.errors import NotFoundError, UsageError
from penstock.entities.run import Metric
from penstock.entities.tags import RUN_NAME_TAG
from penstock.stores.metadata.engine.many_rows import array_of, array_text
from penstock.stores.metadata.engine.statements import HotStatement, insert_into
from penstock.stores.metadata.metrics import Points, add_points, begin_attempt
from penstock.stores.metadata.tables import params, runs, tags


class RunRow(NamedTuple):
    """What writing below a run needs of it."""

    id: int
    attempt: int
    experiment: int
    start_time: int
    lifecycle_stage: str


def _upsert_tag(dialect: str) -> Any:
    statement = insert_into(dialect, tags)
    return statement.on_conflict_do_update(index_elements=["run", "key"], set_={"value": statement.excluded.value})


_FIND_ROW = HotStatement(
    lambda _: select(*(runs.c[name] for name in RunRow._fields)).where(runs.c.run_id == bindparam("name")), "name"
)
_IDS = array_of("ids", Text())
_FIND_ROWS = HotStatement(
    lambda _: select(runs.c.run_id, *(runs.c[name] for name in RunRow._fields)).join_from(
        _IDS, runs, runs.c.run_id == _IDS.c.value
    ),
    "ids",
)
_PAIR = ("run", "key", "value", "experiment")
_ADD_PARAM = HotStatement(lambda dialect: insert_into(dialect, params).on_conflict_do_nothing(), *_PAIR)
_PUT_TAG = HotStatement(_upsert_tag, *_PAIR)
_FIND_PARAM = HotStatement(
    lambda _: select(params.c.value).where(params.c.run == bindparam("row"), params.c.key == bindparam("name")),
    "row",
    "name",
)


def log_batch(
    connection: Connection,
    run_id: str,
    *,
    metrics: Iterable[Metric] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    attempt: int = 0,
) -> None:
    """Log to a run; all of it is stored, or nothing.

    Parameters
    ----------
    attempt : int
        The number of the attempt that logged, 0 where it was none; a number beyond the run's latest one
        makes it the latest.

    Raises
    ------
    NotFoundError
        If there is no such run.
    UsageError
        If a parameter exists with another value.
    """
    row = row_of(connection, run_id)
    current = row.attempt
    if attempt > current:
        begin_attempt(connection, row.id, attempt)
        current = attempt
    if metrics:
        add_points(connection, (Points(row.id, row.experiment, row.start_time, current, attempt, metrics),))
    for key, value in (params or {}).items():
        _add_param(connection, row, run_id, key, value)
    for key, value in (tags or {}).items():
        put_tag(connection, row, key, value)


def log_points(connection: Connection, points: Iterable[tuple[RunRow, int, Metric]]) -> None:
    """Log single points of any runs, each with the attempt that logged it, in order; all are stored, or none."""
    points = list(points)
    current: dict[int, int] = {}
    for row, attempt, _ in points:
        known = current.setdefault(row.id, row.attempt)
        if attempt > known:
            begin_attempt(connection, row.id, attempt)
            current[row.id] = attempt
    add_points(
        connection,
        [
            Points(row.id, row.experiment, row.start_time, current[row.id], attempt, (metric,))
            for row, attempt, metric in points
        ],
    )


def log_param(connection: Connection, run_id: str, key: str, value: str) -> None:
    """Set a parameter once.

    Raises
    ------
    UsageError
        If it has another value already.
    """
    row = row_of(connection, run_id)
    _add_param(connection, row, run_id, key, value)


def set_tag(connection: Connection, run_id: str, key: str, value: str) -> None:
    """Set a tag; ``mlflow.runName`` renames the run."""
    row = row_of(connection, run_id)
    put_tag(connection, row, key, value)


def delete_tag(connection: Connection, run_id: str, key: str) -> None:
    """Delete a tag; without ``mlflow.runName`` the run keeps its name.

    Raises
    ------
    NotFoundError
        If there is no such run or tag.
    """
    row = row_of(connection, run_id)
    if connection.execute(delete(tags).where(tags.c.run == row.id, tags.c.key == key)).rowcount == 0:
        raise NotFoundError(f'run {run_id} has no tag "{key}"', ref=f"job:{run_id}")


def start_attempt(connection: Connection, run_id: str, number: int) -> None:
    """Make an attempt the run's latest before it logs anything; the metrics of earlier ones stop to count."""
    row = row_of(connection, run_id)
    if number > row.attempt:
        begin_attempt(connection, row.id, number)


def row_of(connection: Connection, run_id: str) -> RunRow:
    """Return a run's row; raises NotFoundError."""
    found = find_row(connection, run_id)
    if found is None:
        raise unknown_run(run_id)
    return found


def find_row(connection: Connection, run_id: str) -> RunRow | None:
    """Return a run's row, or None."""
    found = _FIND_ROW.first(connection, (run_id,))
    return None if found is None else RunRow(*found)


def find_rows(connection: Connection, run_ids: Iterable[str]) -> dict[str, RunRow]:
    """Return the rows of those runs that exist, by their ids; on a server, by one question."""
    wanted = list(run_ids)
    if len(wanted) == 1 or connection.dialect.name == "sqlite":
        found = {run_id: find_row(connection, run_id) for run_id in wanted}
        return {run_id: row for run_id, row in found.items() if row is not None}
    return {run_id: RunRow(*row) for run_id, *row in _FIND_ROWS.all(connection, (array_text(wanted),))}


def unknown_run(run_id: str) -> NotFoundError:
    """Return the error for a run that does not exist."""
    return NotFoundError(f'no run with the id "{run_id}"', ref=f"job:{run_id}")


def _add_param(connection: Connection, row: RunRow, run_id: str, key: str, value: str) -> None:
    known = _FIND_PARAM.first(connection, (row.id, key))
    if known is None:
        _ADD_PARAM.run(connection, (row.id, key, value, row.experiment))
    elif known[0] != value:
        raise UsageError(
            f'the parameter "{key}" of run {run_id} is {known[0][:200]!r} and cannot become {value[:200]!r}',
            hint="Parameters are set once; use a tag or a metric for what changes.",
            ref=f"job:{run_id}",
        )


def add_tags(connection: Connection, row: RunRow, tags: Mapping[str, str]) -> None:
    """Set the first tags of a run that has the name which the tag ``mlflow.runName`` says."""
    _PUT_TAG.many(connection, [(row.id, key, value, row.experiment) for key, value in tags.items()])


def put_tag(connection: Connection, row: RunRow, key: str, value: str) -> None:
    """Set a tag of a run given by its row; ``mlflow.runName`` renames it, an empty one leaves its name."""
    if key == RUN_NAME_TAG and not value:
        return
    _PUT_TAG.run(connection, (row.id, key, value, row.experiment))
    if key == RUN_NAME_TAG:
        connection.execute(update(runs).where(runs.c.id == row.id).values(run_name=value))
