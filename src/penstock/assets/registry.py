"""Registering, finding and retiring versioned assets: models, data, environments.

Every change is one write with its event in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from penstock.assets.content import Content, find_asset, find_content
from penstock.assets.packages import model_flavors, model_type
from penstock.assets.sources import version_tree
from penstock.entities.asset import (
    AssetChange,
    AssetKind,
    AssetType,
    AssetVersion,
    DataSpec,
    EnvironmentSpec,
    ModelSpec,
    Tree,
)
from penstock.entities.errors import ConflictError, NotFoundError, Problem, SpecError, UsageError
from penstock.rules.aliases import LATEST, check_alias
from penstock.rules.references import AssetReference
from penstock.stores.metadata import assets, deleted_versions, endpoints, events, registered_models, trees
from penstock.stores.metadata.base import MetadataStore

_MOST_NAMED = 5
AssetSpec = ModelSpec | DataSpec | EnvironmentSpec


class Registry:
    """The workspace's assets.

    Parameters
    ----------
    store : MetadataStore
        Where the rows live; content lives in the blob store already when a version is made.
    clock : callable
        Returns milliseconds since 1970-01-01 UTC.
    """

    def __init__(self, store: MetadataStore, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    def create(
        self,
        kind: AssetKind,
        spec: AssetSpec,
        *,
        actor: str,
        keep: Callable[[Connection, AssetVersion], None] | None = None,
    ) -> AssetVersion:
        """Register the next (or the named) version and return it; ``keep`` is called with it in the same transaction.

        Raises
        ------
        SpecError
            If the path names nothing; the problem points at ``path``.
        ConflictError
            If that version exists already.
        """
        now = self._clock()
        name = spec.name
        if name is None:
            raise SpecError([Problem("is required", pointer="/name", hint="Name the environment, e.g. name: train.")])

        def operation(connection: Connection) -> AssetVersion:
            fields = self._fields(connection, kind, spec)
            made = assets.create_version(
                connection,
                kind=kind,
                name=name,
                version=spec.version,
                now=now,
                created_by=actor,
                description=spec.description,
                tags=spec.tags,
                **fields,
            )
            said = {"tree": made.tree, "job": made.job_name, "path": made.source_path}
            detail = {key: value for key, value in said.items() if value is not None}
            events.append_event(connection, actor=actor, verb="create", ref=made.ref, detail=detail, now=now)
            if keep is not None:
                keep(connection, made)
            return made

        return self._store.write(operation)

    def _fields(self, connection: Connection, kind: AssetKind, spec: AssetSpec) -> dict[str, Any]:
        if isinstance(spec, EnvironmentSpec):
            definition = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"name", "version"})
            return {"definition": definition, "properties": spec.properties}
        kinds = (AssetKind.MODEL, AssetKind.DATA) if kind is AssetKind.MODEL else (AssetKind.DATA, AssetKind.MODEL)
        try:
            content = find_content(connection, spec.path, kinds)
        except (NotFoundError, UsageError) as error:
            raise SpecError([Problem(error.message, pointer="/path", hint=error.hint)]) from error
        properties = dict(spec.properties)
        type_ = AssetType(spec.type)
        if kind is AssetKind.MODEL:
            if content.tree is None:
                raise SpecError(
                    [
                        Problem(
                            "a model must be files, not a URL",
                            pointer="/path",
                            hint="Download it first and give the local path.",
                        )
                    ]
                )
            type_ = model_type(content.tree, type_)
            properties.setdefault("penstock.flavors", ",".join(model_flavors(content.tree)))
        elif content.tree is not None:
            type_ = _data_type(content.tree, type_)
        return {
            "type": type_,
            "properties": properties,
            "tree": trees.put_tree(connection, content.tree) if content.tree else None,
            "size": content.tree.size if content.tree else 0,
            "uri": content.uri,
            "job_name": content.job_name,
            "model_id": content.model_id,
            "source_path": _source_path(spec.path, content),
            "folder": content.name or spec.name,
        }

    def get(self, kind: AssetKind, name: str, version: str | None = None) -> AssetVersion:
        """Return one version; ``None`` and ``@latest`` mean the last created, ``@champion`` what an alias points at.

        Raises
        ------
        NotFoundError
            With the nearest names, the existing versions or aliases.
        """
        if version is None or version == LATEST:
            reference = AssetReference(name=name, label=LATEST)
        elif version.startswith("@"):
            reference = AssetReference(name=name, label=version[1:])
        else:
            reference = AssetReference(name=name, version=version)
        with self._store.read() as connection:
            return find_asset(connection, (kind,), reference)

    def find_content(self, reference: str, kinds: tuple[AssetKind, ...] = (AssetKind.MODEL,)) -> Content:
        """Return what a reference holds; see :func:`penstock.assets.content.find_content`."""
        with self._store.read() as connection:
            return find_content(connection, reference, kinds)

    def versions(self, kind: AssetKind, name: str, *, limit: int, after: str | None = None) -> list[AssetVersion]:
        """Return the versions of one name, newest first."""
        self.get(kind, name)
        with self._store.read() as connection:
            return assets.list_versions(connection, kind, name, limit=limit, after=after)

    def tree(self, asset: AssetVersion) -> Tree:
        """Return the files of a version.

        Raises
        ------
        NotFoundError
            If it holds none, as an environment, data behind a URL, or a model whose files have not come yet.
        """
        with self._store.read() as connection:
            found = version_tree(connection, asset)
        if found is None:
            hint = f"An MLflow client said that they are at {asset.source}, where nothing is." if asset.source else ""
            raise NotFoundError(f"{asset.ref} holds no files", hint=hint, ref=asset.ref)
        return found

    def set_archived(self, kind: AssetKind, name: str, version: str, is_archived: bool, *, actor: str) -> AssetVersion:
        """Hide a version from lists, or show it again, also one that was deleted; a hidden one stays usable."""
        now = self._clock()
        number = self.get(kind, name, version).version if is_archived or version.startswith("@") else version

        def operation(connection: Connection) -> AssetVersion:
            if is_archived:
                changed = assets.set_archived(connection, kind, name, number)
            else:
                changed = deleted_versions.restore_version(connection, kind, name, number, now=now)
            verb = "archive" if is_archived else "restore"
            events.append_event(connection, actor=actor, verb=verb, ref=changed.ref, detail={}, now=now)
            return changed

        return self._store.write(operation)

    def change(self, kind: AssetKind, name: str, version: str, change: AssetChange, *, actor: str) -> AssetVersion:
        """Change how a version is described, tagged, marked or staged and return it.

        Raises
        ------
        NotFoundError
            If it does not exist.
        SpecError
            If an alias cannot be one, or this kind of asset has no aliases and stages.
        """
        now = self._clock()
        found = self.get(kind, name, version)
        _check_change(kind, change)

        def operation(connection: Connection) -> AssetVersion:
            _apply(connection, found, change, now)
            detail = change.model_dump(mode="json", exclude_unset=True)
            events.append_event(connection, actor=actor, verb="update", ref=found.ref, detail=detail, now=now)
            return assets.get_version(connection, kind, name, found.version)

        return self._store.write(operation)

    def delete(self, kind: AssetKind, name: str, version: str, *, actor: str, is_forced: bool = False) -> None:
        """Delete one version until it is restored or collected; its number is not used again.

        Parameters
        ----------
        is_forced : bool
            Whether a model goes although deployments use it; they keep its files and go on answering.

        Raises
        ------
        NotFoundError
            If it does not exist.
        ConflictError
            If it is a model that a deployment uses.
        """
        now = self._clock()
        found = self.get(kind, name, version)

        def operation(connection: Connection) -> None:
            if kind is AssetKind.MODEL and not is_forced:
                _refuse_deployed(connection, found)
            deleted_versions.delete_version(connection, kind, name, found.version, now=now)
            events.append_event(connection, actor=actor, verb="delete", ref=found.ref, detail={}, now=now)

        self._store.write(operation)

    def list(self, kind: AssetKind, *, limit: int, after: str | None = None) -> list[AssetVersion]:
        """Return the latest version of each name, by name."""
        with self._store.read() as connection:
            return assets.list_assets(connection, kind, limit=limit, after=after)


def _refuse_deployed(connection: Connection, asset: AssetVersion) -> None:
    ref = f"azureml:{asset.name}:{asset.version}"
    used_by = endpoints.deployments_of_model(connection, ref, asset.tree)
    if not used_by:
        return
    named = ", ".join(f"{one.endpoint_name}/{one.name}" for one in used_by[:_MOST_NAMED])
    more = f" and {len(used_by) - _MOST_NAMED} more" if len(used_by) > _MOST_NAMED else ""
    raise ConflictError(
        f'model "{asset.name}" version {asset.version} is deployed: {named}{more}',
        hint="Deploy another version there first; --force deletes it all the same, and they go on with its files.",
        ref=asset.ref,
    )


def _check_change(kind: AssetKind, change: AssetChange) -> None:
    if kind is not AssetKind.MODEL and (change.aliases or change.stage is not None):
        pointer = "/aliases" if change.aliases else "/stage"
        raise SpecError([Problem("is for models only", pointer=pointer)])
    for alias, points_here in change.aliases.items():
        try:
            check_alias(alias, is_new=points_here)
        except UsageError as error:
            raise SpecError([Problem(error.message, pointer=f"/aliases/{alias}")]) from error


def _apply(connection: Connection, asset: AssetVersion, change: AssetChange, now: int) -> None:
    kind, name, version = asset.kind, asset.name, asset.version
    columns: dict[str, Any] = {"updated_at": now}
    if "description" in change.model_fields_set:
        columns["description"] = change.description or ""
    if change.stage is not None:
        columns["stage"] = change.stage
    assets.update_version(connection, kind, name, version, columns)
    for key, value in change.tags.items():
        if value is None:
            assets.delete_version_tag(connection, kind, name, version, key)
        else:
            assets.set_version_tag(connection, kind, name, version, key, value)
    for alias, points_here in change.aliases.items():
        if points_here:
            registered_models.set_alias(connection, name, alias, version)
        elif registered_models.find_alias(connection, name, alias) == version:
            registered_models.delete_alias(connection, name, alias)


def _data_type(tree: Tree, declared: AssetType) -> AssetType:
    if declared in {AssetType.URI_FILE, AssetType.URI_FOLDER}:
        return AssetType.URI_FILE if tree.is_file else AssetType.URI_FOLDER
    return declared


def _source_path(path: str, content: Content) -> str:
    if content.asset is not None or content.job_name:
        return content.ref  # an alias may point elsewhere tomorrow, a shortened id may fit two runs
    return content.name if path.startswith("tree:") else path
