"""What a model says of itself, in a folder here or registered there: ``penstock model inspect``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from penstock.entities.errors import NotFoundError
from penstock.inference.files import model_path
from penstock.inference.inspection.page import facts_of, render
from penstock.inference.inspection.report import inspect_folder, shape_text
from penstock.inference.labels import LABEL_FILES
from penstock.sdk.files import fetch
from penstock.sdk.rest import Json, Rest

__all__ = ["facts_of", "inspect_model", "inspect_registered", "render", "shape_text"]

_SMALL_FILES = frozenset({"MLmodel", "preprocessing.yml", "input_example.json", *LABEL_FILES})


def inspect_model(source: str, connect: Callable[[], Rest]) -> tuple[str, Json]:
    """Return a title and the report of a model.

    Parameters
    ----------
    source : str
        A folder or ONNX file here; else ``NAME``, ``NAME:VERSION`` or ``NAME@ALIAS`` of a registered model.
    connect : callable
        Gives the server's calls; asked for a registered model only.

    Raises
    ------
    NotFoundError
        If there is no such file and no such model.
    DamagedError
        If the model's file is damaged.
    """
    path = Path(source)
    if path.exists():
        return path.resolve().name, inspect_folder(path)
    if "/" in source or source.endswith(".onnx"):
        raise NotFoundError(f'there is no file or folder "{source}"')
    name, version = _reference(source)
    rest = connect()
    return inspect_registered(rest, rest.get_asset("models", name, version))


def inspect_registered(rest: Rest, asset: Json) -> tuple[str, Json]:
    """Return a title and the report of a registered version, as the server shows it; see :func:`inspect_model`."""
    name = asset["name"]
    title = f"{asset['name']}:{asset['version']}"
    items = [item for item in rest.list_asset_files("models", name, asset["version"]) if not item.get("is_dir")]
    sizes = {item["path"]: item["size"] for item in items}
    chosen = {model_path(list(sizes)), *_SMALL_FILES} & set(sizes)
    with tempfile.TemporaryDirectory(prefix="penstock-") as made:
        folder = Path(made) / asset["name"]
        folder.mkdir()
        wanted = {path: sizes[path] for path in chosen if path is not None}
        fetch(
            wanted,
            folder,
            lambda path, known: rest.open_asset_file("models", name, asset["version"], path, known=known),
        )
        return title, inspect_folder(folder)


def _reference(text: str) -> tuple[str, str | None]:
    text = text.removeprefix("azureml:")
    for mark in (":", "@"):
        name, found, version = text.partition(mark)
        if found:
            return name, version if mark == ":" else f"@{version}"
    return text, None
