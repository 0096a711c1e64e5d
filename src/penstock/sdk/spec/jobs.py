"""Load a job: read its YAML, check it, upload its code and data, and give the closed specification."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from penstock.entities.job import CommandJobSpec, InputSpec
from penstock.rules.job_spec import check_job
from penstock.rules.pointers import join_pointer
from penstock.rules.specfile import load_entity
from penstock.sdk.spec.closing import Closing, Loaded, include_environment
from penstock.sdk.spec.source import Source, data_source, read_source
from penstock.sdk.spec.uploader import Uploader


def load_job(
    path: str | os.PathLike[str], overrides: Iterable[str] = (), *, uploader: Uploader
) -> Loaded[CommandJobSpec]:
    """Return the closed specification of a job's YAML file.

    Parameters
    ----------
    path : path
        The file; relative paths in it start from its folder.
    overrides : iterable of str
        ``--set``'s ``path=value``; relative paths in them start from the same folder.
    uploader : Uploader
        Brings code and data to the server; not called when anything is wrong.

    Raises
    ------
    NotFoundError
        If there is no such file.
    SpecError
        With every problem found, each with its line.
    """
    return _close(read_source(path, overrides), uploader)


def close_job(spec: CommandJobSpec, *, uploader: Uploader, folder: Path | None = None) -> CommandJobSpec:
    """Return the closed form of a job built in Python; relative paths start from ``folder``, here by default."""
    data: dict[str, Any] = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return _close(data_source(data, Path() if folder is None else folder), uploader).spec


def _close(source: Source, uploader: Uploader) -> Loaded[CommandJobSpec]:
    source = include_environment(source, "/environment")
    spec = load_entity(source.document, CommandJobSpec)
    closing = Closing(source, uploader)
    closing.check(check_job(spec))
    if spec.code is not None:
        closing.code("/code", spec.code)
    for name, given in spec.inputs.items():
        if isinstance(given, InputSpec) and given.path is not None:
            closing.content(join_pointer(["inputs", name, "path"]), given.path, kind=given.type)
    return closing.finish(CommandJobSpec)
