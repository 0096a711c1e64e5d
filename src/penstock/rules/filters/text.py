"""Write a filter tree as text that Penstock's own grammar reads back as the same tree."""

from __future__ import annotations

import re

from penstock.entities.errors import UsageError
from penstock.rules.filters.tree import And, Comparison, Condition, Field, Not, Or, Scope, Value

_PREFIXES = {
    Scope.METRIC: "metrics.",
    Scope.PARAM: "params.",
    Scope.TAG: "tags.",
    Scope.DATASET: "dataset.",
    Scope.ATTRIBUTE: "",
}
_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def to_text(condition: Condition) -> str:
    """Return a filter as text.

    Raises
    ------
    UsageError
        If a name holds both kinds of quotes of names, which no key of a run does.
    """
    match condition:
        case Comparison(field, op, value):
            words = [_name(field), op.value] if value is None else [_name(field), op.value, _value(value)]
            return " ".join(words)
        case Not(item):
            return f"NOT {_inner(item)}"
        case And(items):
            return " AND ".join(_inner(item) for item in items)
        case Or(items):
            return " OR ".join(_inner(item) for item in items)


def _inner(condition: Condition) -> str:
    text = to_text(condition)
    return text if isinstance(condition, Comparison) else f"({text})"


def _name(field: Field) -> str:
    if _PLAIN.fullmatch(field.key):
        return f"{_PREFIXES[field.scope]}{field.key}"
    if "`" in field.key and '"' in field.key:
        raise UsageError(f"the name {field.key[:60]!r} cannot be written in a filter")
    quote = '"' if "`" in field.key else "`"
    return f"{_PREFIXES[field.scope]}{quote}{field.key}{quote}"


def _value(value: Value) -> str:
    match value:
        case tuple():
            return f"({', '.join(_value(item) for item in value)})"
        case str():
            return _quoted(value)
        case float():
            # What overflows a double is read as infinite.
            return repr(value).replace("inf", "1e999").replace("e+", "e")
        case _:
            return str(value)


def _quoted(text: str) -> str:
    if "'" not in text and "\\" not in text:
        return f"'{text}'"
    escaped = "".join(f"\\u{ord(letter):04x}" if letter in "'\\" else letter for letter in text)
    return f"E'{escaped}'"
