"""From a document to an entity, and from a pointer back to the author's line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel

from penstock.entities.errors import Problem, SpecError
from penstock.rules.specfile.document import Document
from penstock.rules.validation import check_entity

ModelT = TypeVar("ModelT", bound=BaseModel)


def load_entity(document: Document, model: type[ModelT]) -> ModelT:
    """Return the entity a document describes.

    Raises
    ------
    SpecError
        With every problem found; each has pointer, file, line, column, and the nearest valid name as hint.
    """
    entity, findings = check_entity(model, document.data, text_of=document.text_of)
    if entity is not None:
        return entity
    problems = []
    for finding in findings:
        place = document.place_of(finding.at, key=finding.is_key)
        problems.append(replace(finding.problem, file=place.file, line=place.line, column=place.column))
    raise SpecError(sorted(problems, key=lambda p: (p.file != document.file, p.file, p.line, p.column)))


def locate(problems: Iterable[Problem], document: Document) -> list[Problem]:
    """Return problems that know only their pointer, such as a server's, with the author's file and line."""
    return document.fill(problems)
