"""What a caller whose token is limited to one experiment may name beside the run it asks for.

A metric, an input or a model version may name a logged model or a run by id, and a version an address. Whoever sees
all experiments may name anything, as in MLflow, also what does not exist yet; for the others each must be there, in
their own experiment, before anything is written or copied.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from penstock.access.actors import Actor
from penstock.entities.errors import NotFoundError
from penstock.stores.metadata import logged_models, places
from penstock.stores.metadata.run_log import find_row


def check_models(connection: Connection, actor: Actor, model_ids: Iterable[str]) -> None:
    """Raise ForbiddenError if one of these logged models is of another experiment, NotFoundError if there is none."""
    if actor.sees_all:
        return
    for model_id in dict.fromkeys(model_ids):
        model = logged_models.find_model(connection, model_id)
        if model is None:
            raise NotFoundError(f"Logged model with ID '{model_id}' not found")
        actor.check_experiment(model.experiment_id)


def check_source_run(connection: Connection, actor: Actor, run_id: str) -> None:
    """Raise ForbiddenError if a run is of another experiment, NotFoundError if there is none."""
    if actor.sees_all:
        return
    row = find_row(connection, run_id)
    if row is None:
        raise NotFoundError(f"Run with id={run_id} not found.", ref=f"job:{run_id}")
    actor.check_experiment(str(row.experiment))


def check_lineage(connection: Connection, actor: Actor, source: str, run_id: str | None, model_id: str | None) -> None:
    """Raise ForbiddenError if a version would come from a run, a logged model or a place of another experiment.

    A version that was made of another one carries the run and the logged model of that one.
    """
    if actor.sees_all:
        return
    if run_id:
        check_source_run(connection, actor, run_id)
    if model_id:
        check_models(connection, actor, [model_id])
    path = places.path_of(source)
    if path is not None:
        place = places.find_place(connection, path)
        if place.version is None:
            actor.check_experiment(place.experiment_id or "")
        else:
            check_lineage(connection, actor, "", place.version.job_name, place.version.model_id)
