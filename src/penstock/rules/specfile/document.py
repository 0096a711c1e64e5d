"""A parsed specification: its plain data, and where in the author's text each part of it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from penstock.entities.errors import Problem
from penstock.rules.pointers import join_pointer, split_pointer

MERGE_TAG = "tag:yaml.org,2002:merge"
# What no style of quoting writes in another way.
_PLAIN_WORD = re.compile(r"[^\s'\"\\]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written; ``line`` and ``column`` count from 1, 0 means nowhere in particular."""

    file: str
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data and the nodes it was made from.

    ``data`` holds only what JSON can hold: dates and the like stay the text they were written as.
    ``has_lines`` is false for what stands in no file, such as a command-line option. ``grafts`` maps pointers
    to the documents that now stand there: options, and files that the first one names. ``source`` is the text
    that the nodes' marks count in.
    """

    data: Any
    root: Node | None = None
    file: str = ""
    has_lines: bool = True
    grafts: Mapping[str, Document] = field(default_factory=dict)
    source: str = field(default="", repr=False)

    def place_of(self, pointer: str, *, key: bool = False, offset: int | None = None) -> Place:
        """Return where the value at a JSON Pointer, or its key, was written.

        A pointer to something that is not there gives the nearest part around it that is. With an ``offset``
        into a text, where that part of the text was written, as far as it was written as it is read.
        """
        parts = split_pointer(pointer)
        for count in range(len(parts), 0, -1):
            graft = self.grafts.get(join_pointer(parts[:count]))
            if graft is not None:
                rest = parts[count:]
                return graft.place_of(join_pointer(rest), key=key and bool(rest), offset=offset)
        node, key_node = self._find(parts)
        chosen = key_node if key and key_node is not None else node
        if chosen is None or not self.has_lines:
            return Place(self.file)
        if offset is not None and isinstance(chosen, ScalarNode) and chosen is node:
            return self._place_within(chosen, offset)
        return Place(self.file, chosen.start_mark.line + 1, chosen.start_mark.column + 1)

    def text_of(self, pointer: str) -> str | None:
        """Return the source text of the scalar at ``pointer``; None when there is none of that form."""
        parts = split_pointer(pointer)
        for count in range(len(parts), 0, -1):
            graft = self.grafts.get(join_pointer(parts[:count]))
            if graft is not None:
                return graft.text_of(join_pointer(parts[count:]))
        steps = list(self._walk(parts))
        if len(steps) != len(parts) + 1 or not isinstance(steps[-1][0], ScalarNode):
            return None
        return str(steps[-1][0].value)

    def graft(self, pointer: str, document: Document) -> Document:
        """Return this document with another one standing at ``pointer``; mappings on the way are made.

        Raises
        ------
        IndexError, ValueError
            If the pointer leads past the end of a list, or into one by something that is no index.
        """
        parts = split_pointer(pointer)
        for count in range(len(parts)):
            at = join_pointer(parts[:count])
            inner = self.grafts.get(at)
            if inner is not None and isinstance(inner.data, dict | list):
                inner = inner.graft(join_pointer(parts[count:]), document)
                return replace(
                    self, data=put(self.data, split_pointer(at), inner.data), grafts={**self.grafts, at: inner}
                )
        kept = {at: other for at, other in self.grafts.items() if at != pointer and not at.startswith(pointer + "/")}
        return replace(self, data=put(self.data, parts, document.data), grafts={**kept, pointer: document})

    def fill(self, problems: Iterable[Problem]) -> list[Problem]:
        """Return the problems with file, line and column filled in where they have none."""
        filled = []
        for problem in problems:
            if not problem.file and not problem.line:
                place = self.place_of(problem.pointer, offset=problem.offset)
                problem = replace(problem, file=place.file, line=place.line, column=place.column)
            filled.append(problem)
        return filled

    def _place_within(self, node: ScalarNode, offset: int) -> Place:
        """Return where a part of a text was written, whatever folding, quotes and indentation took away.

        The word that begins there is looked for in the source, as often as it came before.
        """
        start = node.start_mark
        word = _PLAIN_WORD.match(node.value, offset)
        written = self.source[start.index : node.end_mark.index]
        at = -1
        if word is not None:
            for _ in range(node.value.count(word[0], 0, offset) + 1):
                at = written.find(word[0], at + 1 if at < 0 else at + len(word[0]))
                if at < 0:
                    break
        if at < 0:
            return Place(self.file, start.line + 1, start.column + 1)
        lines = written.count("\n", 0, at)
        column = at - (written.rfind("\n", 0, at) + 1) + (0 if lines else start.column)
        return Place(self.file, start.line + lines + 1, column + 1)

    def _find(self, parts: list[str]) -> tuple[Node | None, Node | None]:
        last: tuple[Node | None, Node | None] = (None, None)
        for step in self._walk(parts):
            last = step
        return last

    def _walk(self, parts: list[str]) -> Iterator[tuple[Node | None, Node | None]]:
        """Yield (value node, key node) from the root down as far as the parts lead."""
        node, key_node = self.root, None
        yield node, key_node
        for part in parts:
            found = _child(node, part)
            if found is None:
                return
            node, key_node = found
            yield node, key_node


def _child(node: Node | None, part: str) -> tuple[Node, Node | None] | None:
    if isinstance(node, SequenceNode):
        index = int(part) if part.isdecimal() else len(node.value)
        return (node.value[index], None) if index < len(node.value) else None
    if not isinstance(node, MappingNode):
        return None
    merged = []
    for key, value in node.value:
        if key.tag == MERGE_TAG:
            merged += [value] if isinstance(value, MappingNode) else list(value.value)
        elif key.value == part:
            return value, key
    for mapping in merged:
        found = _child(mapping, part)
        if found is not None:
            return found
    return None


def put(data: Any, parts: list[str], value: Any) -> Any:
    """Return ``data`` with ``value`` at the place the parts lead to; what is around it is copied."""
    if not parts:
        return value
    if isinstance(data, list):
        index = int(parts[0])
        return [*data[:index], put(data[index], parts[1:], value), *data[index + 1 :]]
    inner = data.get(parts[0]) if isinstance(data, dict) else None
    return {**(data if isinstance(data, dict) else {}), parts[0]: put(inner, parts[1:], value)}
