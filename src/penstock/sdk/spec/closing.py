"""Replace everything local in a specification by something the server can find by itself.

Works on plain data, so that a YAML file and a specification built in Python take the same way.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from penstock.entities.errors import PenstockError, Problem, SpecError
from penstock.rules.expressions import is_bound
from penstock.rules.pointers import split_pointer
from penstock.rules.references import LocalReference, UrlReference, parse_reference
from penstock.rules.specfile import Document, load_entity, locate
from penstock.rules.suggest import did_you_mean
from penstock.sdk.spec.snapshot import list_code_files, list_files
from penstock.sdk.spec.source import Source, include, local_path, value_at
from penstock.sdk.spec.uploader import Uploader

SpecT = TypeVar("SpecT", bound=BaseModel)


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded(Generic[SpecT]):
    """A closed specification and the document it was made from."""

    spec: SpecT
    document: Document

    def locate(self, error: SpecError) -> SpecError:
        """Return a server's error with the author's file, line and column for each problem."""
        return SpecError(locate(error.problems, self.document), ref=error.ref)


class Closing:
    """One specification on its way to the server; collects problems and raises them together.

    Parameters
    ----------
    source : Source
        The validated specification's document and folders.
    uploader : Uploader
        Brings content to the server.
    """

    def __init__(self, source: Source, uploader: Uploader) -> None:
        self._source = source
        self._uploader = uploader
        self._uploads: list[tuple[str, Path, list[str] | None]] = []
        self._problems: list[Problem] = []

    def content(self, pointer: str, text: str, *, kind: str | None = None) -> None:
        """Have the path ``text`` at ``pointer`` uploaded if it is local; ``kind`` is its declared type."""
        if is_bound(text):
            return
        try:
            if not isinstance(parse_reference(text), LocalReference):
                return
            path = self._local(text, pointer)
            if kind == "uri_file" and path.is_dir():
                raise SpecError([self._problem(f'"{text}" is a folder, not a file', pointer, "Use type: uri_folder.")])
            self._uploads.append((pointer, path, None if path.is_file() else list_files(path)))
        except PenstockError as error:
            self._note(error, pointer)

    def code(self, pointer: str, text: str, *, script: str | None = None) -> None:
        """Have the code folder ``text`` uploaded if it is local, without what its ignore file names.

        Where a ``script`` is named (beside the folder), it must be among the files.
        """
        try:
            reference = parse_reference(text)
            if isinstance(reference, UrlReference):
                hint = "Clone the repository and name the folder."
                raise SpecError([self._problem(f'code cannot be fetched from "{text}"', pointer, hint)])
            if not isinstance(reference, LocalReference):
                return
            path = self._local(text, pointer)
            files = [path.name] if path.is_file() else list_code_files(path)
            if script is not None and script.removeprefix("./") not in files:
                at = pointer.rpartition("/")[0] + "/scoring_script"
                hint = f"{did_you_mean(script, files)} Looked in {path.resolve()}.".lstrip()
                raise SpecError([self._problem(f'there is no file "{script}" in "{text}"', at, hint)])
            self._uploads.append((pointer, path, None if path.is_file() else files))
        except PenstockError as error:
            self._note(error, pointer)

    def check(self, problems: list[Problem]) -> None:
        """Add problems that know their pointer."""
        self._problems += self._source.document.fill(problems)

    def finish(self, model: type[SpecT]) -> Loaded[SpecT]:
        """Upload what is to be uploaded and return the closed specification.

        Raises
        ------
        SpecError
            With every problem; then nothing was uploaded.
        """
        if self._problems:
            raise SpecError(sorted(self._problems, key=lambda problem: (problem.file, problem.line, problem.column)))
        document = self._source.document
        for pointer, path, files in self._uploads:
            digest = self._uploader.upload_tree(path, files)
            document = dataclasses.replace(document, data=_put(document.data, split_pointer(pointer), digest))
        return Loaded(load_entity(document, model), document)

    def _local(self, text: str, pointer: str) -> Path:
        return local_path(self._source, pointer, text.strip().removeprefix("file:").removeprefix("//"))

    def _problem(self, message: str, pointer: str, hint: str = "") -> Problem:
        return self._source.problem(message, pointer, hint)

    def _note(self, error: PenstockError, pointer: str) -> None:
        if isinstance(error, SpecError):
            self._problems += error.problems
        else:
            self._problems.append(self._problem(error.message, pointer, error.hint))


def include_environment(source: Source, pointer: str) -> Source:
    """Return the source with an environment's own file and its conda file read in.

    Raises
    ------
    SpecError
        If one of them cannot be read, or the conda file is no mapping.
    """
    text = value_at(source.document.data, pointer)
    if isinstance(text, str) and text.startswith("file:"):
        source = include(source, pointer, text.removeprefix("file:"))
    conda = f"{pointer}/conda_file"
    name = value_at(source.document.data, conda)
    if isinstance(name, str) and name:
        source = include(source, conda, name.removeprefix("file:"))
        if not isinstance(value_at(source.document.data, conda), dict):
            problem = source.problem("this is no conda file", conda, "It has keys such as dependencies and channels.")
            raise SpecError([problem])
    return source


def _put(data: Any, parts: list[str], value: str) -> Any:
    return value if not parts else {**data, parts[0]: _put(data[parts[0]], parts[1:], value)}
