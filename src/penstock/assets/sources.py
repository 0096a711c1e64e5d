"""The files behind a registered version: its tree, or what lies at the address an MLflow client gave for it.

An MLflow client may register a version before its files arrive, so such an address is followed at each use until
the version has a tree of its own.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from sqlalchemy import Connection

from penstock.assets.packages import model_flavors, model_type
from penstock.entities.asset import AssetKind, AssetType, AssetVersion, Tree, TreeEntry
from penstock.entities.errors import NotFoundError, UsageError
from penstock.entities.logged_model import LoggedModel, ModelStatus
from penstock.rules import references
from penstock.stores.metadata import artifacts, assets, logged_models, places, registered_models, trees
from penstock.stores.metadata.artifacts import Shelf
from penstock.stores.metadata.search.logged_model_search import find_by_run

_DOOR = re.compile(r"https?://[^/]+/(?:.*/)?api/2\.0/mlflow-artifacts/artifacts/(.+)")
_HOPS = 8
"""So many versions may name each other as their source."""


def version_tree(connection: Connection, asset: AssetVersion) -> Tree | None:
    """Return a version's files; None where it holds none, or none have come yet."""
    if asset.tree:
        return trees.get_tree(connection, asset.tree)
    return source_tree(connection, asset.source) if asset.source else None


def adopt_files(connection: Connection, asset: AssetVersion, *, now: int) -> AssetVersion:
    """Give a version the files at its source as its tree, if all are there, and return it.

    Call it in a write. Bytes are not copied: a tree names blobs by their content.
    """
    if asset.tree or not asset.source or not is_complete(connection, asset.source):
        return asset
    tree = source_tree(connection, asset.source)
    if tree is None:
        return asset
    return assets.put_content(
        connection,
        asset,
        tree=trees.put_tree(connection, tree),
        size=tree.size,
        type=model_type(tree, AssetType.CUSTOM_MODEL),
        properties={"penstock.flavors": ",".join(model_flavors(tree))},
        now=now,
    )


def adopt_waiting(connection: Connection, *, model_id: str | None = None, run_id: str | None = None, now: int) -> None:
    """Give the versions made of a logged model, or of a run, its files; call it when no more will come."""
    for version in assets.waiting_versions(connection, model_id=model_id, run_id=run_id):
        adopt_files(connection, version, now=now)


def source_tree(connection: Connection, source: str, *, hops: int = _HOPS) -> Tree | None:
    """Return the files at an address as MLflow writes it; None where there are none, or they are not ours."""
    if not hops:
        return None
    path = _stored_path(source)
    if path is not None:
        return _place_tree(connection, places.find_place(connection, path), hops)
    try:
        parsed = references.parse_reference(source)
    except UsageError:
        return None
    try:
        if isinstance(parsed, references.RunReference):
            return _run_tree(connection, parsed)
        if isinstance(parsed, references.LoggedModelReference):
            model = logged_models.get_model(connection, parsed.model_id)
            return shelf_tree(connection, artifacts.model_shelf(model.row), parsed.path)
        if isinstance(parsed, references.AssetReference) and source.startswith("models:/"):
            return _named_tree(connection, parsed, hops)
    except NotFoundError:
        return None
    return None


def version_folder(connection: Connection, asset: AssetVersion, *, hops: int = _HOPS) -> str:
    """Return what a version's folder or file is called where it is deployed; for older ones, found by its source."""
    if asset.folder:
        return asset.folder
    if asset.source and (named := source_name(connection, asset.source, hops=hops)):
        return named
    path = asset.source_path or ""
    return asset.name if path.startswith("azureml:") and "/" not in path else _last(path) or asset.name


def source_name(connection: Connection, source: str, *, hops: int = _HOPS) -> str:
    """Return the last part of an address as people called it: an artifact's or logged model's name, never an id."""
    path = _stored_path(source)
    if path is not None:
        place = places.find_place(connection, path)
        if place.version is not None and not place.path:
            return version_folder(connection, place.version, hops=hops - 1) if hops else ""
        return _last(place.path) or (place.model.name if place.model is not None else "")
    try:
        parsed = references.parse_reference(source)
        if isinstance(parsed, references.LoggedModelReference):
            return _last(parsed.path) or logged_models.get_model(connection, parsed.model_id).name
        if isinstance(parsed, references.AssetReference):
            version = parsed.version or registered_models.find_alias(connection, parsed.name, parsed.label or "")
            found = assets.get_version(connection, AssetKind.MODEL, parsed.name, version or "")
            return version_folder(connection, found, hops=hops - 1) if hops else ""
        if isinstance(parsed, references.RunReference):
            return _last(parsed.path)
    except (NotFoundError, UsageError):
        pass
    return _last(urlsplit(source).path)


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _stored_path(source: str) -> str | None:
    match = _DOOR.fullmatch(source)
    return match[1] if match else places.path_of(source)


def follow_source(connection: Connection, source: str, *, hops: int = _HOPS) -> str:
    """Return where a ``models:/`` address leads: a logged model's own location, or a version's source in turn."""
    if not source.startswith("models:/") or not hops:
        return source
    try:
        parsed = references.parse_reference(source)
        if isinstance(parsed, references.LoggedModelReference):
            location = logged_models.get_model(connection, parsed.model_id).artifact_location
            return f"{location}/{parsed.path}" if parsed.path else location
        if isinstance(parsed, references.AssetReference) and parsed.version:
            version = assets.get_version(connection, AssetKind.MODEL, parsed.name, parsed.version)
            own = places.registered_location(version.name, version.version)
            return follow_source(connection, version.source or own, hops=hops - 1)
    except (NotFoundError, UsageError):
        return source
    return source


def is_complete(connection: Connection, source: str) -> bool:
    """Return whether no more files are expected at an address: a logged model that is pending still gets some."""
    path = places.path_of(source)
    model: LoggedModel | None = None
    if path is not None:
        model = places.find_place(connection, path).model
    elif source.startswith("models:/m-"):
        model = logged_models.find_model(connection, source.removeprefix("models:/").partition("/")[0])
    return model is None or model.status is not ModelStatus.PENDING


def run_model_tree(connection: Connection, run_id: str, path: str) -> Tree | None:
    """Return the files of the logged model that ``runs:/<run>/<path>`` means, as MLflow 3 understands it.

    Its first part is the name of a model that the run logged; the run's own artifacts of that path come first.
    """
    name, _, rest = path.strip("/").partition("/")
    shelf = artifacts.run_shelf(connection, run_id)
    if not name or shelf_tree(connection, shelf, path) is not None:
        return None
    row = find_by_run(connection, run_id, name)
    return None if row is None else shelf_tree(connection, artifacts.model_shelf(row), rest)


def shelf_tree(connection: Connection, shelf: Shelf, path: str) -> Tree | None:
    """Return the file or folder at a path of a shelf as a tree; None where there is nothing."""
    path = path.strip("/")
    single = artifacts.find_file(connection, shelf, path) if path else None
    if single is not None:
        name = path.rpartition("/")[2]
        return Tree(entries=(single.model_copy(update={"path": name}),), is_file=True)
    return _below(path, artifacts.walk_files(connection, shelf, path))


def _below(path: str, entries: list[TreeEntry]) -> Tree | None:
    prefix = f"{path}/" if path else ""
    inside = tuple(
        entry.model_copy(update={"path": entry.path[len(prefix) :]})
        for entry in entries
        if entry.path.startswith(prefix)
    )
    return Tree(entries=inside) if inside else None


def _place_tree(connection: Connection, place: places.Place, hops: int) -> Tree | None:
    if place.shelf is not None:
        return shelf_tree(connection, place.shelf, place.path)
    if place.version is None:
        return None
    tree = _version_tree(connection, place.version, hops)
    return tree if tree is None or not place.path else _below(place.path, list(tree.entries))


def _run_tree(connection: Connection, parsed: references.RunReference) -> Tree | None:
    own = shelf_tree(connection, artifacts.run_shelf(connection, parsed.run_id), parsed.path)
    return own if own is not None else run_model_tree(connection, parsed.run_id, parsed.path)


def _named_tree(connection: Connection, parsed: references.AssetReference, hops: int) -> Tree | None:
    version = parsed.version or registered_models.find_alias(connection, parsed.name, parsed.label or "")
    if version is None:
        return None
    return _version_tree(connection, assets.get_version(connection, AssetKind.MODEL, parsed.name, version), hops)


def _version_tree(connection: Connection, asset: AssetVersion, hops: int) -> Tree | None:
    if asset.tree:
        return trees.get_tree(connection, asset.tree)
    return source_tree(connection, asset.source, hops=hops - 1) if asset.source else None
