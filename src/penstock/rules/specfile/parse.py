"""Turn YAML or JSON text into a Document; every complaint names line and column.

Only what JSON can say is kept: no tags, no objects. As YAML 1.1 has it, ``yes`` is true and ``0x10`` is
16; but dates and ``12:30`` stay text, because nobody who writes them means seconds.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from penstock.entities.errors import Problem, SpecError
from penstock.rules.specfile.document import MERGE_TAG, Document

MAX_VALUES = 200_000
MAX_DEPTH = 100

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = "tag:yaml.org,2002:null"
_BOOL = "tag:yaml.org,2002:bool"
_INT = "tag:yaml.org,2002:int"
_FLOAT = "tag:yaml.org,2002:float"
_TEXT = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value", MERGE_TAG})
_BOOLS = {"yes": True, "no": False, "true": True, "false": False, "on": True, "off": False}


def parse_document(text: str, file: str = "") -> Document:
    """Parse one YAML (or JSON) document.

    Parameters
    ----------
    text : str
        The whole text.
    file : str
        How messages call it.

    Raises
    ------
    SpecError
        If it is no YAML, holds more than one document, gives a key twice, has a tag, a cyclic alias, or is
        nested deeper than 100 levels or larger than 200,000 values.
    """
    text = text.removeprefix("\ufeff")
    root = _compose(text, file)
    if root is None:
        return Document(None, None, file)
    builder = _Builder(file)
    data = builder.build(root, 0)
    if builder.problems:
        raise SpecError(builder.problems)
    return Document(data, root, file, source=text)


def _compose(text: str, file: str) -> Node | None:
    try:
        loader = _Loader(text)
        try:
            root: Node | None = loader.get_single_node()
            return root
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise SpecError([_syntax_problem(error, text, file)]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        raise SpecError(
            [Problem(f"a character that YAML does not allow: {error.reason}", file=file, line=line, column=column)]
        ) from error
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        raise SpecError([Problem(f"this is no YAML: {str(error)[:200]}", file=file, line=1, column=1)]) from error


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """Return what the parser stumbled over in words for the author, at the place that is to be changed."""
    mark = error.problem_mark or error.context_mark
    reason = str(error.problem or error.context or "it cannot be read")
    context = str(error.context)
    line, column = (mark.line, mark.column) if mark else (0, 0)
    tab = _tab_in(text, line, column)
    message, hint = f"this is no YAML: {reason}", ""
    if tab is not None:
        column, message = tab, "this is no YAML: a tab where only spaces can stand"
        hint = "Replace it by spaces; YAML is indented with spaces only."
    elif "quoted scalar" in context and "unexpected" in reason and error.context_mark:
        line, column = error.context_mark.line, error.context_mark.column
        quote = text[error.context_mark.index : error.context_mark.index + 1]
        message, hint = f"this is no YAML: the quote {quote} is opened here and never closed", f"Close it with {quote}."
    elif "flow " in context and error.context_mark:
        bracket = text[error.context_mark.index : error.context_mark.index + 1]
        closing = {"[": "]", "{": "}"}.get(bracket, "")
        hint = f'Is the "{bracket}" on line {error.context_mark.line + 1} closed with "{closing}"?' if closing else ""
    elif "mapping values are not allowed" in reason:
        message = 'this is no YAML: ": " where no key can stand'
        hint = 'Put a text that contains ": " in quotes, a space behind each key\'s colon, and check the indentation.'
    elif "expected a single document" in reason or "expected a single document" in context:
        message, hint = "more than one document in the file", 'Remove what follows the line "---".'
    elif "undefined alias" in reason:
        hint = "Put a text that begins with * in quotes."
    elif "cannot start any token" in reason:
        letter = text[mark.index : mark.index + 1] if mark else ""
        message = f"this is no YAML: no value begins with {letter}"
        hint = f"Put a text that begins with {letter} in quotes."
    elif "simple key" in context and error.context_mark:
        line, column = error.context_mark.line, error.context_mark.column
        message, hint = "this is no YAML: neither key nor item", 'Write "key: value" or "- item", with the space.'
    elif "did not find expected key" in reason:
        hint = "Look for a quote that ends too early or too late, and check the indentation."
    elif "unknown escape" in reason:
        hint = "Between double quotes \\ begins an escape: write \\\\, or use single quotes."
    return Problem(message, hint=hint, file=file, line=line + 1, column=column + 1)


def _tab_in(text: str, line: int, column: int) -> int | None:
    """Return the column of a tab in a line's indentation, or of one where the parser stopped."""
    lines = text.splitlines()
    written = lines[line] if line < len(lines) else ""
    indentation = written[: len(written) - len(written.lstrip())]
    if "\t" in indentation:
        return indentation.index("\t")
    return column if written[column : column + 1] == "\t" else None


class _Builder:
    """Makes plain data from nodes and collects what is wrong with them."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._count = 0
        self._open: set[int] = set()

    def build(self, node: Node, depth: int) -> Any:
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_VALUES:
            what = f"nested deeper than {MAX_DEPTH} levels" if depth > MAX_DEPTH else f"more than {MAX_VALUES:,} values"
            raise SpecError([self._problem(f"the document is too large: {what}", node)])
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            raise SpecError([self._problem("an alias that contains itself", node)])
        self._open.add(id(node))
        data = self._mapping(node, depth) if isinstance(node, MappingNode) else self._sequence(node, depth)
        self._open.discard(id(node))
        return data

    def _sequence(self, node: Node, depth: int) -> list[Any]:
        self._check_tag(node, "seq")
        return [self.build(item, depth + 1) for item in node.value]

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, Any]:
        self._check_tag(node, "map")
        data: dict[str, Any] = {}
        merged: list[Node] = []
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.problems.append(self._problem("a key is a text, not a list or mapping", key))
            elif key.tag == MERGE_TAG:
                merged += value.value if isinstance(value, SequenceNode) else [value]
            elif key.value in lines:
                self.problems.append(
                    self._problem(
                        f'the key "{key.value}" is given twice', key, f"It stands on line {lines[key.value]} already."
                    )
                )
            else:
                lines[key.value] = key.start_mark.line + 1
                data[key.value] = self.build(value, depth + 1)
        for mapping in merged:
            inherited = self.build(mapping, depth + 1)
            if isinstance(inherited, dict):
                data = {**inherited, **data}
            else:
                self.problems.append(self._problem('"<<" wants a mapping', mapping))
        return data

    def _scalar(self, node: ScalarNode) -> Any:
        tag, text = node.tag, node.value
        if tag in _TEXT:
            return text
        if tag == _NULL:
            return None
        try:
            if tag == _BOOL:
                return _BOOLS[text.lower()]
            if tag == _INT:
                return text if ":" in text else _integer(text)
            if tag == _FLOAT:
                return text if ":" in text else _real(text)
        except (KeyError, ValueError):
            self.problems.append(self._problem(f'"{text[:50]}" is no {tag.rpartition(":")[2]}', node))
            return text
        self._check_tag(node, "")
        return text

    def _check_tag(self, node: Node, expected: str) -> None:
        if node.tag != f"tag:yaml.org,2002:{expected}":
            name = str(node.tag).replace("tag:yaml.org,2002:", "!!")
            self.problems.append(self._problem(f"the tag {name[:50]} means nothing here", node, "Remove it."))

    def _problem(self, message: str, node: Node, hint: str = "") -> Problem:
        mark = node.start_mark
        return Problem(message, hint=hint, file=self.file, line=mark.line + 1, column=mark.column + 1)


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    if digits[:2] in ("0x", "0b"):
        return sign * int(digits[2:], 16 if digits[1] == "x" else 2)
    return sign * int(digits, 8 if digits.startswith("0") and digits != "0" else 10)


def _real(text: str) -> float:
    digits = text.replace("_", "").lower()
    if digits.lstrip("+-") in (".inf", ".nan"):
        return float(digits.replace(".", ""))
    return float(digits)
