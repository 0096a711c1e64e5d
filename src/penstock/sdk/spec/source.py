"""Read YAML files into documents, and the files that they name into theirs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from penstock.entities.errors import NotFoundError, Problem, SpecError, UsageError
from penstock.rules.pointers import join_pointer, split_pointer
from penstock.rules.specfile import Document, apply_overrides, parse_document
from penstock.rules.suggest import did_you_mean

MAX_SPEC_BYTES = 4 * 2**20
MAX_LISTED = 8
MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Source:
    """A document, and the folder that the relative paths in it start from.

    ``folders`` names other folders for the parts that came from other files, by pointer.
    """

    document: Document
    folder: Path
    folders: Mapping[str, Path] = field(default_factory=dict)

    def folder_of(self, pointer: str) -> Path:
        """Return the folder that a relative path at ``pointer`` starts from."""
        parts = split_pointer(pointer)
        for count in range(len(parts), 0, -1):
            found = self.folders.get(join_pointer(parts[:count]))
            if found is not None:
                return found
        return self.folder

    def problem(self, message: str, pointer: str, hint: str = "") -> Problem:
        """Return a problem with the author's line."""
        return self.document.fill([Problem(message, pointer, hint)])[0]


def read_source(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Source:
    """Read a specification's file.

    Raises
    ------
    NotFoundError
        If there is no such file.
    SpecError
        If it is no YAML, or empty.
    """
    path = Path(path)
    document = apply_overrides(parse_document(_read(path), str(path)), overrides)
    if document.data is None:
        raise SpecError([Problem("the file is empty", file=str(path), line=1, column=1)])
    return Source(document, path.parent)


def data_source(data: Any, folder: Path) -> Source:
    """Return what was built in Python as a source; its relative paths start from ``folder``."""
    return Source(Document(data), folder)


def include_files(source: Source, pointers: Iterable[str]) -> Source:
    """Return the source with each ``file:other.yml`` at one of the pointers replaced by that file's content."""
    for pointer in pointers:
        text = value_at(source.document.data, pointer)
        if isinstance(text, str) and text.startswith("file:"):
            source = include(source, pointer, text.removeprefix("file:"))
    return source


def include(source: Source, pointer: str, name: str) -> Source:
    """Return the source with a file's content at ``pointer``; its own relative paths start from its folder."""
    path = local_path(source, pointer, name)
    try:
        child = parse_document(_read(path), str(path))
    except (NotFoundError, UsageError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError([source.problem(error.message, pointer, error.hint)]) from error
    return replace(
        source,
        document=source.document.graft(pointer, child),
        folders={**source.folders, pointer: path.parent},
    )


def local_path(source: Source, pointer: str, name: str) -> Path:
    """Return the existing file or folder that a relative path in the source names.

    Raises
    ------
    SpecError
        If there is none; the hint names the nearest in its folder.
    """
    folder = source.folder_of(pointer)
    path = folder / name
    try:
        if not path.exists() and "\\" in name:
            path = folder / name.replace("\\", "/")
        if path.exists():
            return path
    except OSError as error:
        shown = name if len(name) <= MAX_SHOWN else name[: MAX_SHOWN - 1] + "…"
        raise SpecError([source.problem(f'"{shown}" cannot be looked up: {error.strerror}', pointer)]) from error
    raise SpecError([source.problem(f'there is no file or folder "{name}"', pointer, where_looked(path))])


def where_looked(path: Path) -> str:
    """Return the hint about a path that leads nowhere: the nearest name, the whole path, what is beside it."""
    full = Path(os.path.abspath(path))
    try:
        siblings = sorted(os.listdir(full.parent))
    except OSError:
        return f"Looked for {full}, but there is no folder {full.parent}."
    close = did_you_mean(full.name, siblings)
    if close:
        return f"{close} Looked for {full}."
    shown = [name for name in siblings if not name.startswith(".")]
    more = ", …" if len(shown) > MAX_LISTED else ""
    beside = f"; beside it are {', '.join(shown[:MAX_LISTED])}{more}" if shown else ""
    return f"Looked for {full}{beside}."


def value_at(data: Any, pointer: str) -> Any:
    """Return what stands at a pointer to keys of mappings, or None."""
    for part in split_pointer(pointer):
        if not isinstance(data, dict):
            return None
        data = data.get(part)
    return data


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SPEC_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f'there is no file "{path}"', hint=where_looked(path)) from error
    except OSError as error:
        raise UsageError(f'"{path}" cannot be read: {error.strerror}') from error
    if len(content) > MAX_SPEC_BYTES:
        raise UsageError(f'"{path}" is larger than {MAX_SPEC_BYTES // 2**20} MiB', hint="Is it the right file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        problem = Problem("this is no UTF-8 text", file=str(path), line=line, column=column)
        raise SpecError([problem]) from error
