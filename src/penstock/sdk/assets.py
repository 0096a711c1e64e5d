"""``ws.models``, ``ws.data`` and ``ws.environments``: versioned, immutable things."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.entities.asset import AssetVersion, EnvironmentSpec
from penstock.sdk.files import download_asset_files
from penstock.sdk.rest import Json, Rest
from penstock.sdk.submit import close_path
from penstock.sdk.wire import as_entity, as_json


class AssetsClient:
    """One kind of asset; ``kind`` is its plural in the server's paths."""

    kind = ""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def get(self, name: str, version: str | int | None = None) -> AssetVersion:
        """Return a version, by default the one created last; ``label`` forms such as ``@latest`` work too."""
        return as_entity(AssetVersion, self._get(name, version))

    def list(self, name: str | None = None) -> Iterator[AssetVersion]:
        """Yield the latest version of each name, or all versions of one name, newest first."""
        found = self._rest.list_versions(self.kind, name) if name else self._rest.list_assets(self.kind)
        for data in found:
            yield as_entity(AssetVersion, data)

    def archive(self, name: str, version: str | int) -> AssetVersion:
        """Hide a version from lists; what names it still finds it."""
        return as_entity(AssetVersion, self._rest.archive_asset(self.kind, name, str(version)))

    def restore(self, name: str, version: str | int) -> AssetVersion:
        """Show an archived version again, or bring back a deleted one that was not collected yet."""
        return as_entity(AssetVersion, self._rest.archive_asset(self.kind, name, str(version), restore=True))

    def update(
        self,
        name: str,
        version: str | int,
        *,
        description: str | None = None,
        tags: Mapping[str, str | None] | None = None,
    ) -> AssetVersion:
        """Change how a version is described; a tag that is None is removed, the others stay."""
        return self._change(name, version, {"description": description, "tags": dict(tags) if tags else None})

    def delete(self, name: str, version: str | int) -> None:
        """Delete a version until it is restored or collected; its number is never given again."""
        self._rest.delete_asset(self.kind, name, str(version))

    def download(
        self, name: str, folder: str | os.PathLike[str] = ".", *, version: str | int | None = None
    ) -> Sequence[Path]:
        """Write a version's files below ``folder`` and return what was written."""
        return download_asset_files(self._rest, self.kind, self._get(name, version), Path(folder))

    def _get(self, name: str, version: str | int | None) -> Json:
        return self._rest.get_asset(self.kind, name, str(version) if version is not None else None)

    def _change(self, name: str, version: str | int, change: Mapping[str, Any]) -> AssetVersion:
        said = {key: value for key, value in change.items() if value is not None}
        return as_entity(AssetVersion, self._rest.change_asset(self.kind, name, str(version), said))

    def _create(self, spec: Mapping[str, Any]) -> AssetVersion:
        said = {key: value for key, value in spec.items() if value is not None}
        return as_entity(AssetVersion, self._rest.create_asset(self.kind, said))


class ModelsClient(AssetsClient):
    """The models of a workspace."""

    kind = "models"

    def create(
        self,
        name: str,
        path: str | os.PathLike[str],
        *,
        version: str | None = None,
        type: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> AssetVersion:
        """Register a new version.

        Parameters
        ----------
        name : str
            The model's name.
        path : str or path
            A local file or folder, ``azureml://jobs/<job>/outputs/<output>/paths/<path>``, ``runs:/<id>/<path>``,
            ``azureml:<name>@<alias>`` or ``models:/…`` as MLflow writes it.
        version : str, optional
            A whole number; the next one by default.
        type : str, optional
            ``custom_model`` by default, or ``mlflow_model``.
        description, tags, properties
            Kept with the version.
        """
        self._rest.ensure_workspace()
        return self._create(
            {
                "name": name,
                "path": close_path(self._rest, path),
                "version": version,
                "type": type,
                "description": description,
                "tags": dict(tags) if tags else None,
                "properties": dict(properties) if properties else None,
            }
        )

    def delete(self, name: str, version: str | int, *, force: bool = False) -> None:
        """Delete a version until it is restored or collected; its number is never given again.

        Parameters
        ----------
        force : bool
            Delete it although deployments use it; they keep its files and go on answering.

        Raises
        ------
        ConflictError
            If a deployment uses it.
        """
        self._rest.delete_asset(self.kind, name, str(version), force=force)

    def update(
        self,
        name: str,
        version: str | int,
        *,
        description: str | None = None,
        tags: Mapping[str, str | None] | None = None,
        aliases: Mapping[str, bool] | None = None,
        stage: str | None = None,
    ) -> AssetVersion:
        """Change how a version is described, marked or staged; what is not given stays.

        Parameters
        ----------
        name, version
            Which; the version may be an alias, such as ``@champion``.
        description : str, optional
            One sentence; an empty one removes it.
        tags : mapping, optional
            Values by key; None removes a tag.
        aliases : mapping, optional
            True lets an alias point at this version, wherever it pointed before; False takes it away.
        stage : str, optional
            ``Staging``, ``Production``, ``Archived`` or ``None``, as MLflow has them.
        """
        change = {"tags": dict(tags) if tags else None, "aliases": dict(aliases) if aliases else None, "stage": stage}
        return self._change(name, version, {"description": description, **change})


class DataClient(AssetsClient):
    """The data assets of a workspace."""

    kind = "data"

    def create(
        self,
        name: str,
        path: str | os.PathLike[str],
        *,
        version: str | None = None,
        type: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> AssetVersion:
        """Register a new version of a local file or folder, a job's output or an http(s) address."""
        self._rest.ensure_workspace()
        local = Path(path)
        kind = type or ("uri_file" if local.is_file() else "uri_folder")
        return self._create(
            {
                "name": name,
                "path": close_path(self._rest, path),
                "version": version,
                "type": kind,
                "description": description,
                "tags": dict(tags) if tags else None,
            }
        )


class EnvironmentsClient(AssetsClient):
    """The environments of a workspace."""

    kind = "environments"

    def create(self, environment: EnvironmentSpec) -> AssetVersion:
        """Register a new version; ``conda_file`` holds the parsed specification."""
        self._rest.ensure_workspace()
        return self._create(as_json(environment))
