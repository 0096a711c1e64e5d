"""What went into a run and came out of it: datasets and logged models.

A dataset is one row of its experiment, known by name and digest, however many runs use it. A run names it once;
the tag ``mlflow.data.context`` of that use is a column, because searches ask for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select

from penstock.entities.tags import CONTEXT_TAG
from penstock.stores.metadata.engine.statements import insert_into
from penstock.stores.metadata.run_log import row_of
from penstock.stores.metadata.tables import datasets, run_datasets, run_models, runs

INPUT, OUTPUT = "input", "output"
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as a run names it; ``tags`` belong to this use of it."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class RunInputs:
    """What a run used and made, in the order in which it was logged; outputs are (model id, step)."""

    datasets: list[Dataset] = field(default_factory=list)
    model_inputs: list[str] = field(default_factory=list)
    model_outputs: list[tuple[str, int]] = field(default_factory=list)


def log_datasets(connection: Connection, run_id: str, used: Iterable[Dataset]) -> None:
    """Add datasets to a run; one that the run has already, by name and digest, stays as it is.

    Raises
    ------
    NotFoundError
        If there is no such run.
    """
    run = row_of(connection, run_id)
    for dataset in used:
        found = _find_or_add(connection, run.experiment, dataset)
        statement = insert_into(connection.dialect.name, run_datasets).values(
            run=run.id,
            dataset=found,
            context=dataset.tags.get(CONTEXT_TAG),
            tags=json.dumps(dict(dataset.tags), ensure_ascii=False),
        )
        connection.execute(statement.on_conflict_do_nothing(index_elements=["run", "dataset"]))


def log_models(connection: Connection, run_id: str, direction: str, models: Iterable[tuple[str, int]]) -> None:
    """Add logged models (id, step) to what a run used (``INPUT``) or made (``OUTPUT``); each is there once.

    Raises
    ------
    NotFoundError
        If there is no such run.
    """
    run = row_of(connection, run_id)
    for model_id, step in models:
        statement = insert_into(connection.dialect.name, run_models).values(
            run=run.id, direction=direction, model_id=model_id, step=step
        )
        connection.execute(statement.on_conflict_do_nothing(index_elements=["run", "direction", "model_id"]))


def inputs_of(connection: Connection, rows: Sequence[int]) -> dict[int, RunInputs]:
    """Return what the runs with these integer rows used and made; every row asked for is in the answer."""
    found = {row: RunInputs() for row in rows}
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        _add_datasets(connection, part, found)
        _add_models(connection, part, found)
    return found


def inputs_of_runs(connection: Connection, run_ids: Sequence[str]) -> dict[str, RunInputs]:
    """Return the same by run id; unknown runs have none."""
    found = {run_id: RunInputs() for run_id in run_ids}
    for start in range(0, len(run_ids), _AT_ONCE):
        part = run_ids[start : start + _AT_ONCE]
        names = connection.execute(select(runs.c.id, runs.c.run_id).where(runs.c.run_id.in_(part))).all()
        inputs = inputs_of(connection, [row for row, _ in names])
        found.update({run_id: inputs[row] for row, run_id in names})
    return found


def _find_or_add(connection: Connection, experiment: int, dataset: Dataset) -> int:
    known = select(datasets.c.id).where(
        datasets.c.experiment == experiment, datasets.c.name == dataset.name, datasets.c.digest == dataset.digest
    )
    row = connection.execute(known).scalar_one_or_none()
    if row is None:
        values: dict[str, Any] = {
            "experiment": experiment,
            "name": dataset.name,
            "digest": dataset.digest,
            "source_type": dataset.source_type,
            "source": dataset.source,
            "schema": dataset.schema,
            "profile": dataset.profile,
        }
        row = connection.execute(insert(datasets).values(values).returning(datasets.c.id)).scalar_one()
    return int(row)


def _add_datasets(connection: Connection, rows: Sequence[int], found: dict[int, RunInputs]) -> None:
    statement = (
        select(run_datasets.c.run, run_datasets.c.tags, datasets)
        .join(datasets, datasets.c.id == run_datasets.c.dataset)
        .where(run_datasets.c.run.in_(rows))
        .order_by(run_datasets.c.run, datasets.c.id)
    )
    for row in connection.execute(statement):
        found[row.run].datasets.append(
            Dataset(
                row.name, row.digest, row.source_type, row.source, row.schema, row.profile, tags=json.loads(row.tags)
            )
        )


def _add_models(connection: Connection, rows: Sequence[int], found: dict[int, RunInputs]) -> None:
    statement = select(run_models).where(run_models.c.run.in_(rows)).order_by(run_models.c.run, run_models.c.model_id)
    for row in connection.execute(statement):
        if row.direction == INPUT:
            found[row.run].model_inputs.append(row.model_id)
        else:
            found[row.run].model_outputs.append((row.model_id, row.step))
