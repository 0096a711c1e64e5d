"""Load what is registered: models, data, environments."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from penstock.entities.asset import DataSpec, EnvironmentSpec, ModelSpec
from penstock.rules.specfile import load_entity
from penstock.sdk.spec.closing import Closing, Loaded, include_environment
from penstock.sdk.spec.source import Source, data_source, read_source
from penstock.sdk.spec.uploader import Uploader

ContentSpecT = TypeVar("ContentSpecT", ModelSpec, DataSpec)


def load_model(path: str | os.PathLike[str], overrides: Iterable[str] = (), *, uploader: Uploader) -> Loaded[ModelSpec]:
    """Return the closed specification of a model's YAML file; see ``jobs.load_job``."""
    return _close_content(read_source(path, overrides), ModelSpec, uploader)


def load_data(path: str | os.PathLike[str], overrides: Iterable[str] = (), *, uploader: Uploader) -> Loaded[DataSpec]:
    """Return the closed specification of a data asset's YAML file; see ``jobs.load_job``."""
    return _close_content(read_source(path, overrides), DataSpec, uploader)


def load_environment(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Loaded[EnvironmentSpec]:
    """Return the closed specification of an environment's YAML file; nothing of it is uploaded."""
    source = include_environment(read_source(path, overrides), "")
    return Loaded(load_entity(source.document, EnvironmentSpec), source.document)


def close_environment(spec: EnvironmentSpec, *, folder: Path | None = None) -> EnvironmentSpec:
    """Return an environment built in Python with its conda file read in."""
    data = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    source = include_environment(data_source(data, Path() if folder is None else folder), "")
    return load_entity(source.document, EnvironmentSpec)


def close_path(path: str | os.PathLike[str], *, uploader: Uploader, folder: Path | None = None) -> str:
    """Return a reference the server understands for a path from a command line; local content is uploaded.

    Raises
    ------
    SpecError
        If there is no such file or folder; the problem's pointer is ``/path``.
    """
    data = {"name": "path", "path": os.fspath(path)}
    return _close_content(data_source(data, Path() if folder is None else folder), DataSpec, uploader).spec.path


def _close_content(source: Source, model: type[ContentSpecT], uploader: Uploader) -> Loaded[ContentSpecT]:
    spec = load_entity(source.document, model)
    closing = Closing(source, uploader)
    closing.content("/path", spec.path, kind=str(spec.type))
    return closing.finish(model)
