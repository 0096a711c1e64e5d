"""From a path of the artifact store to what holds it.

``mlflow-artifacts:/<root>/<run>/artifacts/…`` lies on a run's shelf, ``…/models/<m-id>/artifacts/…`` on a logged
model's, ``models/<name>/<version>/…`` in a registered version's tree, which nobody can change; anything else lies
loose.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from sqlalchemy import Connection

from penstock.entities.asset import AssetKind, AssetVersion
from penstock.entities.errors import NotFoundError
from penstock.entities.logged_model import LoggedModel
from penstock.entities.run import Run
from penstock.stores.metadata import assets, experiments, logged_models, runs
from penstock.stores.metadata.artifacts import LOOSE, Shelf, model_shelf, run_shelf

FOLDER = "artifacts"
SCHEME = "mlflow-artifacts:"
REGISTRY = "models"


@dataclass(frozen=True, slots=True)
class Place:
    """A path on a shelf or in a version's tree; empty is its root."""

    path: str
    shelf: Shelf | None = None
    run: Run | None = None
    model: LoggedModel | None = None
    version: AssetVersion | None = None
    experiment_id: str | None = None

    @property
    def ref(self) -> str:
        """Return what the files belong to, for events and errors."""
        if self.run is not None:
            return f"run:{self.run.run_id}"
        if self.model is not None:
            return f"logged-model:{self.model.model_id}"
        return self.version.ref if self.version is not None else f"artifacts:{self.path.partition('/')[0]}"


def find_place(connection: Connection, path: str) -> Place:
    """Return where a path of the artifact store lies; a path that belongs to nothing lies loose."""
    parts = path.split("/")
    for index in range(1, len(parts)):
        if parts[index] == FOLDER:
            found = _owned(connection, parts, index)
            if found is not None:
                return found
    if parts[0] == REGISTRY and len(parts) > 2:
        version = _registered(connection, parts[1], parts[2])
        if version is not None:
            return Place("/".join(parts[3:]), version=version)
    experiment = _experiment(connection, parts[0])
    return Place(path, LOOSE, experiment_id=experiment)


def path_of(uri: str) -> str | None:
    """Return the path that an ``mlflow-artifacts:`` address names, None for another address.

    A host and port in the address are not looked at: a client puts there what it reaches the server by.
    """
    parsed = urlsplit(uri)
    if f"{parsed.scheme}:" != SCHEME:
        return None
    return unquote(parsed.path).strip("/")


def registered_location(name: str, version: str) -> str:
    """Return the address under which MLflow clients read a registered version's files."""
    return f"{SCHEME}/{REGISTRY}/{encode_name(name)}/{version}"


def encode_name(name: str) -> str:
    """Return a model's name as one part of a path: letters, digits, ``_.-`` stay, ``~`` and hex stand for others."""
    if not name.strip("."):
        return name.replace(".", "~2E")
    return quote(name, safe="").replace("~", "%7E").replace("%", "~")


def decode_name(part: str) -> str:
    """Return the name that :func:`encode_name` made a part of a path of."""
    return unquote(part.replace("~", "%"))


def _owned(connection: Connection, parts: list[str], index: int) -> Place | None:
    owner, rest = parts[index - 1], "/".join(parts[index + 1 :])
    run = runs.find_run(connection, owner, details=False)
    if run is not None and _root(run.artifact_uri) == parts[: index + 1]:
        return Place(rest, run_shelf(connection, owner), run=run, experiment_id=run.experiment_id)
    model = logged_models.find_model(connection, owner)
    if model is not None and _root(model.artifact_location) == parts[: index + 1]:
        return Place(rest, model_shelf(model.row), model=model, experiment_id=model.experiment_id)
    return None


def _root(uri: str) -> list[str]:
    return (path_of(uri) or "").split("/")


def _registered(connection: Connection, part: str, version: str) -> AssetVersion | None:
    try:
        return assets.get_version(connection, AssetKind.MODEL, decode_name(part), version)
    except NotFoundError:
        return None


def _experiment(connection: Connection, part: str) -> str | None:
    try:
        return experiments.get_experiment(connection, part).experiment_id
    except NotFoundError:
        return None
