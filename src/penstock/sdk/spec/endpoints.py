"""Load online endpoints and their deployments."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from penstock.entities.endpoint import OnlineDeploymentSpec, OnlineEndpointSpec
from penstock.entities.errors import SpecError
from penstock.rules.specfile import load_entity
from penstock.rules.traffic import check_traffic
from penstock.sdk.spec.closing import Closing, Loaded, include_environment
from penstock.sdk.spec.source import Source, data_source, include_files, read_source
from penstock.sdk.spec.uploader import Uploader


def load_endpoint(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Loaded[OnlineEndpointSpec]:
    """Return the specification of an endpoint's YAML file; nothing in it is local.

    Whether the deployments that get traffic exist, only the server knows.
    """
    document = read_source(path, overrides).document
    spec = load_entity(document, OnlineEndpointSpec)
    problems = check_traffic(spec.traffic, {*spec.traffic, *spec.mirror_traffic}, mirror=spec.mirror_traffic)
    if problems:
        raise SpecError(document.fill(problems))
    return Loaded(spec, document)


def load_deployment(
    path: str | os.PathLike[str], overrides: Iterable[str] = (), *, uploader: Uploader
) -> Loaded[OnlineDeploymentSpec]:
    """Return the closed specification of a deployment's YAML file; see ``jobs.load_job``.

    A command line's ``-e`` and ``-n`` are overrides as well: ``endpoint_name=digits``, ``name=blue``. An inline model
    stays inline, with ``tree:<sha256>`` as its path.
    """
    return _close(read_source(path, overrides), uploader)


def close_deployment(
    spec: OnlineDeploymentSpec, *, uploader: Uploader, folder: Path | None = None
) -> OnlineDeploymentSpec:
    """Return the closed form of a deployment built in Python; relative paths start from ``folder``."""
    data = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return _close(data_source(data, Path() if folder is None else folder), uploader).spec


def _close(source: Source, uploader: Uploader) -> Loaded[OnlineDeploymentSpec]:
    source = include_environment(include_files(source, ["/model"]), "/environment")
    spec = load_entity(source.document, OnlineDeploymentSpec)
    closing = Closing(source, uploader)
    if spec.model is not None and not isinstance(spec.model, str):
        closing.content("/model/path", spec.model.path)
    if spec.code_configuration is not None:
        code = spec.code_configuration
        closing.code("/code_configuration/code", code.code, script=code.scoring_script)
    return closing.finish(OnlineDeploymentSpec)
