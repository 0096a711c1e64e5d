"""What a caller whose token is limited to one experiment may name beside the run it asks for.

A metric, an input or a model version may name a logged model or a run by id, and a version an address. Whoever sees
all experiments may name anything, as in MLflow, also what does not exist yet; for the others each must be there, in
their own experiment, before anything is written or copied.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from penstock.access.actors import Actor, Role
from penstock.entities.asset import AssetKind, AssetVersion
from penstock.entities.errors import ForbiddenError, NotFoundError
from penstock.entities.tags import CREATOR_TAG
from penstock.stores.metadata import assets, logged_models, places
from penstock.stores.metadata.run_log import find_row
from penstock.stores.metadata.runs import find_tag


def check_models(connection: Connection, actor: Actor, model_ids: Iterable[str]) -> None:
    """Raise ForbiddenError if one of these logged models is of another experiment, NotFoundError if there is none."""
    if actor.sees_all:
        return
    for model_id in dict.fromkeys(model_ids):
        model = logged_models.find_model(connection, model_id)
        absent = NotFoundError(f"Logged model with ID '{model_id}' not found")
        if model is None:
            raise absent
        actor.check_experiment(model.experiment_id, absent)


def check_source_run(connection: Connection, actor: Actor, run_id: str) -> None:
    """Raise ForbiddenError if a run is of another experiment, NotFoundError if there is none."""
    if actor.sees_all:
        return
    row = find_row(connection, run_id)
    absent = NotFoundError(f"Run with id={run_id} not found.", ref=f"job:{run_id}")
    if row is None:
        raise absent
    actor.check_experiment(str(row.experiment), absent)


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


def check_version_change(connection: Connection, actor: Actor, version: AssetVersion) -> None:
    """Raise ForbiddenError if a job would change a version that neither it registered nor its runs made."""
    if actor.role is not Role.JOB or version.created_by == actor.name:
        return
    run_id = version.job_name
    if run_id is None or (run_id != actor.job_name and find_tag(connection, run_id, CREATOR_TAG) != actor.name):
        raise ForbiddenError(
            f"the token of {actor.name} may not change {version.ref}",
            hint="A job may change versions that it registered or that its own runs made.",
            ref=version.ref,
        )


def check_model_change(connection: Connection, actor: Actor, name: str) -> None:
    """Raise ForbiddenError if a job would change a registered model that has versions of others."""
    if actor.role is not Role.JOB:
        return
    for version in assets.list_versions(connection, AssetKind.MODEL, name, limit=1_000_000, include_archived=True):
        check_version_change(connection, actor, version)
