"""Registering, finding and retiring versioned assets: models, data, environments.

Every change is one write with its event in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from penstock.assets.content import Content, find_asset, find_content
from penstock.assets.packages import model_flavors, model_type
from penstock.entities.asset import (
    AssetKind,
    AssetType,
    AssetVersion,
    DataSpec,
    EnvironmentSpec,
    ModelSpec,
    Tree,
)
from penstock.entities.errors import NotFoundError, Problem, SpecError, UsageError
from penstock.rules.references import AssetReference
from penstock.stores.metadata import assets, events, trees
from penstock.stores.metadata.base import MetadataStore

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
            detail = {"tree": made.tree, "job": made.job_name, "path": made.source_path}
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
            "source_path": _source_path(spec.path, content),
        }

    def get(self, kind: AssetKind, name: str, version: str | None = None) -> AssetVersion:
        """Return one version; ``None`` and ``@latest`` mean the last created.

        Raises
        ------
        NotFoundError
            With the nearest names or the existing versions.
        """
        label = "latest" if version in {None, "latest", "@latest"} else None
        reference = AssetReference(name=name, version=None if label else version, label=label)
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
            If it holds none, as an environment or data behind a URL.
        """
        if asset.tree is None:
            raise NotFoundError(f"{asset.ref} holds no files", ref=asset.ref)
        with self._store.read() as connection:
            return trees.get_tree(connection, asset.tree)

    def set_archived(self, kind: AssetKind, name: str, version: str, is_archived: bool, *, actor: str) -> AssetVersion:
        """Hide a version from lists, or show it again; it stays usable."""
        now = self._clock()
        found = self.get(kind, name, version)

        def operation(connection: Connection) -> AssetVersion:
            changed = assets.set_archived(connection, kind, name, found.version, is_archived)
            verb = "archive" if is_archived else "restore"
            events.append_event(connection, actor=actor, verb=verb, ref=found.ref, detail={}, now=now)
            return changed

        return self._store.write(operation)

    def delete(self, kind: AssetKind, name: str, version: str, *, actor: str) -> None:
        """Delete one version; its number is not used again.

        Raises
        ------
        NotFoundError
            If it does not exist.
        """
        now = self._clock()
        found = self.get(kind, name, version)

        def operation(connection: Connection) -> None:
            assets.delete_version(connection, kind, name, found.version)
            events.append_event(connection, actor=actor, verb="delete", ref=found.ref, detail={}, now=now)

        self._store.write(operation)

    def list(self, kind: AssetKind, *, limit: int, after: str | None = None) -> list[AssetVersion]:
        """Return the latest version of each name, by name."""
        with self._store.read() as connection:
            return assets.list_assets(connection, kind, limit=limit, after=after)


def _data_type(tree: Tree, declared: AssetType) -> AssetType:
    if declared in {AssetType.URI_FILE, AssetType.URI_FOLDER}:
        return AssetType.URI_FILE if tree.is_file else AssetType.URI_FOLDER
    return declared


def _source_path(path: str, content: Content) -> str:
    return content.name if path.startswith("tree:") else path
