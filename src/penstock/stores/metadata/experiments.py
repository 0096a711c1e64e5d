"""Experiments: named groups of runs; ids are decimal strings, ``0`` is ``Default`` and always there."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from penstock.entities.errors import ConflictError, NotFoundError
from penstock.entities.run import Experiment, LifecycleStage
from penstock.stores.metadata.engine.statements import put_row
from penstock.stores.metadata.tables import experiment_tags, experiments, runs

_LARGEST_ROW = 2**63 - 1


def create_experiment(
    connection: Connection,
    name: str,
    *,
    now: int,
    artifact_location: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Experiment:
    """Create an experiment and return it.

    Raises
    ------
    ConflictError
        If the name is taken, also by a deleted experiment.
    """
    _refuse_taken(connection, name)
    row = connection.execute(
        insert(experiments)
        .values(
            name=name,
            artifact_location=artifact_location or "",
            lifecycle_stage=LifecycleStage.ACTIVE.value,
            created_at=now,
            updated_at=now,
        )
        .returning(experiments.c.id)
    ).scalar_one()
    if not artifact_location:
        location = f"mlflow-artifacts:/{row}"
        connection.execute(update(experiments).where(experiments.c.id == row).values(artifact_location=location))
    for key, value in (tags or {}).items():
        put_row(connection, experiment_tags, experiment=row, key=key, value=value)
    return get_experiment(connection, str(row))


def ensure_experiment(connection: Connection, name: str, *, now: int) -> Experiment:
    """Return the experiment of that name, created where it is missing.

    Raises
    ------
    ConflictError
        If it was deleted.
    """
    found = find_experiment_by_name(connection, name)
    if found is None:
        return create_experiment(connection, name, now=now)
    if found.lifecycle_stage is LifecycleStage.DELETED:
        raise ConflictError(f'the experiment "{name}" was deleted', hint=_free_again(name), ref=f"experiment:{name}")
    return found


def get_experiment(connection: Connection, experiment_id: str) -> Experiment:
    """Return an experiment, deleted or not.

    Raises
    ------
    NotFoundError
        If there is none with that id.
    """
    row = connection.execute(select(experiments).where(experiments.c.id == parse_id(experiment_id))).one_or_none()
    if row is None:
        raise _unknown(experiment_id)
    return read_experiments(connection, [row])[0]


def find_experiment_by_name(connection: Connection, name: str) -> Experiment | None:
    """Return the experiment of that name, deleted or not, or None."""
    wanted = select(experiments).where(experiments.c.name == name, experiments.c.id >= 0)
    row = connection.execute(wanted).one_or_none()
    return None if row is None else read_experiments(connection, [row])[0]


def list_experiments(
    connection: Connection, *, limit: int, after: str | None = None, view: str = "ACTIVE_ONLY"
) -> list[Experiment]:
    """Return experiments, newest first.

    Parameters
    ----------
    after : str, optional
        The id of the last experiment of the page before.
    view : {"ACTIVE_ONLY", "DELETED_ONLY", "ALL"}
        Which lifecycle stages to list.
    """
    # Below zero is where removal parks what is going.
    statement = select(experiments).where(experiments.c.id >= 0).order_by(experiments.c.id.desc()).limit(limit)
    if after is not None:
        statement = statement.where(experiments.c.id < parse_id(after))
    stages = stages_of(view)
    if stages is not None:
        statement = statement.where(experiments.c.lifecycle_stage == stages)
    return read_experiments(connection, connection.execute(statement).all())


def rename_experiment(connection: Connection, experiment_id: str, name: str, *, now: int) -> Experiment:
    """Give an experiment another name and return it.

    Raises
    ------
    ConflictError
        If the name is taken by another one.
    """
    current = get_experiment(connection, experiment_id)
    if current.name != name:
        _refuse_taken(connection, name)
        _change(connection, experiment_id, name=name, updated_at=now)
    return get_experiment(connection, experiment_id)


def set_experiment_tag(connection: Connection, experiment_id: str, key: str, value: str, *, now: int) -> None:
    """Set a tag of an experiment."""
    _change(connection, experiment_id, updated_at=now)
    put_row(connection, experiment_tags, experiment=parse_id(experiment_id), key=key, value=value)


def delete_experiment_tag(connection: Connection, experiment_id: str, key: str, *, now: int) -> None:
    """Delete a tag of an experiment.

    Raises
    ------
    NotFoundError
        If the experiment has no such tag.
    """
    _change(connection, experiment_id, updated_at=now)
    table = experiment_tags
    wanted = (table.c.experiment == parse_id(experiment_id)) & (table.c.key == key)
    if connection.execute(delete(table).where(wanted)).rowcount == 0:
        raise NotFoundError(f'experiment {experiment_id} has no tag "{key}"', ref=f"experiment:{experiment_id}")


def set_experiment_lifecycle(connection: Connection, experiment_id: str, stage: LifecycleStage, *, now: int) -> None:
    """Delete an experiment softly, or restore it; its runs follow, as in MLflow."""
    _change(connection, experiment_id, lifecycle_stage=stage.value, updated_at=now)
    deleted_at = now if stage is LifecycleStage.DELETED else None
    connection.execute(
        update(runs)
        .where(runs.c.experiment == parse_id(experiment_id), runs.c.lifecycle_stage != stage.value)
        .values(lifecycle_stage=stage.value, deleted_at=deleted_at)
    )


def parse_id(experiment_id: str) -> int:
    """Return the row of an experiment id; what cannot be one is the row -1, which never exists."""
    is_number = experiment_id.isascii() and experiment_id.isdigit() and str(int(experiment_id[:20])) == experiment_id
    return int(experiment_id) if is_number and int(experiment_id) <= _LARGEST_ROW else -1


def stages_of(view: str) -> str | None:
    """Return the one lifecycle stage an MLflow view shows, None for all."""
    return {"ACTIVE_ONLY": "active", "DELETED_ONLY": "deleted", "ALL": None}[view]


def _change(connection: Connection, experiment_id: str, **values: Any) -> None:
    statement = update(experiments).where(experiments.c.id == parse_id(experiment_id)).values(**values)
    if connection.execute(statement).rowcount == 0:
        raise _unknown(experiment_id)


def _refuse_taken(connection: Connection, name: str) -> None:
    found = find_experiment_by_name(connection, name)
    if found is not None:
        is_deleted = found.lifecycle_stage is LifecycleStage.DELETED
        raise ConflictError(
            f'an experiment "{name}" exists already{" and was deleted" if is_deleted else ""}',
            hint=_free_again(name) if is_deleted else "Choose another name.",
            ref=f"experiment:{name}",
        )


def _free_again(name: str) -> str:
    command = f"penstock gc -e {shlex.quote(name)} --older-than 0 --apply"
    return f"Restore it or choose another name. Removing it for good frees this one: {command}"


def _unknown(experiment_id: str) -> NotFoundError:
    return NotFoundError(
        f'no experiment with the id "{experiment_id}"',
        hint="List them with: penstock experiment list",
        ref=f"experiment:{experiment_id}",
    )


def read_experiments(connection: Connection, rows: Sequence[Row[Any]]) -> list[Experiment]:
    """Return experiments with their tags from rows of their table, in that order."""
    tags: dict[int, dict[str, str]] = {row.id: {} for row in rows}
    table = experiment_tags
    for experiment, key, value in connection.execute(select(table).where(table.c.experiment.in_(list(tags)))):
        tags[experiment][key] = value
    return [
        Experiment(
            experiment_id=str(row.id),
            name=row.name,
            artifact_location=row.artifact_location,
            lifecycle_stage=LifecycleStage(row.lifecycle_stage),
            created_at=row.created_at,
            updated_at=row.updated_at,
            tags=tags[row.id],
        )
        for row in rows
    ]
