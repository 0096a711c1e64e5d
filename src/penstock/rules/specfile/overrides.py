"""``--set inputs.lr=0.01``: change a document from the command line, value by value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from penstock.entities.errors import Problem, SpecError
from penstock.rules.pointers import join_pointer
from penstock.rules.specfile.document import Document
from penstock.rules.specfile.parse import parse_document

MAX_SHOWN = 60


def apply_overrides(document: Document, overrides: Iterable[str]) -> Document:
    r"""Return the document with each ``path=value`` applied in order.

    Parameters
    ----------
    document : Document
        What the file said.
    overrides : iterable of str
        ``a.b.c=value``. The value is YAML, so ``0.01`` is a number and ``{type: uri_file}`` a mapping; what is
        no YAML is taken as text, nothing is an empty text. Numbers in the path are list indexes; mappings on
        the way are made, also in place of a plain value. A dot inside a key is written ``\.``.

    Raises
    ------
    SpecError
        If one has no ``=``, an empty key, or leads past the end of a list.
    """
    for override in overrides:
        document = _apply(document, override)
    return document


def _apply(document: Document, override: str) -> Document:
    label = f"--set {override if len(override) <= MAX_SHOWN else override[: MAX_SHOWN - 3] + '...'}"
    path, equals, text = override.partition("=")
    parts = _split(path.strip())
    if not equals or not all(parts):
        hint = "Write it as key=value, for example inputs.lr=0.01."
        raise SpecError([Problem("this names no key and value", hint=hint, file=label)])
    try:
        return document.graft(join_pointer(parts), _parse_value(text, label))
    except (IndexError, ValueError) as error:
        hint = "Items are counted from 0."
        raise SpecError([Problem(f'"{path.strip()}" leads to no item of the list', hint=hint, file=label)]) from error


def _parse_value(text: str, label: str) -> Document:
    if not text.strip():
        return Document("", file=label, has_lines=False)
    try:
        return replace(parse_document(text, label), has_lines=False)
    except SpecError:
        return Document(text, file=label, has_lines=False)


def _split(path: str) -> list[str]:
    parts = [""]
    escaped = False
    for letter in path:
        if escaped or letter not in ".\\":
            parts[-1] += letter
            escaped = False
        elif letter == "\\":
            escaped = True
        else:
            parts.append("")
    return parts
