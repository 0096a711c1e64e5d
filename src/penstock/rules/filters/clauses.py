"""Read clauses joined by AND, the way MLflow's server does.

A clause is a name, an operator and a value. How names, numbers and lists are written is the same for all searches; what
a clause means in one of them is said by its :class:`penstock.rules.filters.grammar.Grammar`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from penstock.entities.errors import UsageError
from penstock.rules.filters.names import RESERVED, read_name
from penstock.rules.filters.tokens import Kind, Reader, Token
from penstock.rules.filters.tree import And, Comparison, Condition, Op

MAX_CLAUSES = 200
NUMBER_OPS = frozenset({Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE})
TEXT_OPS = frozenset({Op.EQ, Op.NE, Op.LIKE, Op.ILIKE})
LIST_OPS = frozenset({Op.IN, Op.NOT_IN})
NULL_OPS = frozenset({Op.IS_NULL, Op.IS_NOT_NULL})

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "\n": ""}


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause as it was written: names and values still raw."""

    name: Token
    operator: Token
    op: Op | None
    value: Token | None
    items: tuple[str, ...] | None = None


def parse_clauses(text: str | None, build: Callable[[Clause], Comparison]) -> Condition | None:
    """Return what a filter says, None for an empty one.

    Raises
    ------
    UsageError
        If the filter is blank, or is not clauses joined by AND.
    """
    if not text:
        return None
    if text.isspace():
        raise UsageError(f"Invalid filter {text[:60]!r}. Could not be parsed.", hint="Leave it out or name a clause.")
    reader = Reader(text)
    found: list[Comparison] = []
    while reader.skip_spaces().kind is not Kind.END:
        # The real server minds neither a missing AND nor one too many.
        if reader.token.is_word("AND"):
            reader.take()
            continue
        found.append(build(_read_clause(reader)))
        if len(found) > MAX_CLAUSES:
            raise UsageError(f"Invalid filter: it has more than {MAX_CLAUSES} clauses.")
    if not found:
        return None
    return found[0] if len(found) == 1 else And(tuple(found))


def _read_clause(reader: Reader) -> Clause:
    start = reader.token.start
    name = read_name(reader, RESERVED)
    if name is None:
        raise _bad_clause(reader, start)
    reader.skip_spaces()
    operator, op = _read_operator(reader)
    if operator is None:
        raise _bad_clause(reader, start)
    if op in NULL_OPS:
        return Clause(name, operator, op, None)
    value = reader.skip_spaces()
    if value.text == "(" and value.kind is Kind.MARK:
        items = _read_list(reader)
        return Clause(name, operator, op, value, items)
    if op in LIST_OPS:
        raise _bad_clause(reader, start)
    if value.kind in (Kind.NUMBER, Kind.SINGLE):
        return Clause(name, operator, op, reader.take())
    found = read_name(reader)
    if found is None:
        raise _bad_clause(reader, start)
    kind = value.kind if found.text == value.text else Kind.WORD
    return Clause(name, operator, op, Token(kind, found.text, found.start))


def _read_operator(reader: Reader) -> tuple[Token | None, Op | None]:
    token = reader.token
    if token.kind is Kind.OPERATOR:
        reader.take()
        return token, Op(token.text) if token.text in NUMBER_OPS else None
    if token.is_word("LIKE", "ILIKE", "IN"):
        reader.take()
        return token, Op(token.text.upper())
    if token.is_word("NOT") and reader.peek(1).is_word("IN"):
        reader.take()
        reader.skip_spaces()
        reader.take()
        return token, Op.NOT_IN
    if token.is_word("IS") and reader.peek(1).is_word("NULL"):
        reader.take()
        reader.skip_spaces()
        reader.take()
        return token, Op.IS_NULL
    if token.is_word("IS") and reader.peek(1).is_word("NOT") and reader.peek(2).is_word("NULL"):
        reader.take()
        reader.skip_spaces()
        reader.take()
        space = reader.take()
        reader.skip_spaces()
        reader.take()
        # One space only, as there.
        return (token if len(space.text) == 1 else None), Op.IS_NOT_NULL
    return None, None


def _read_list(reader: Reader) -> tuple[str, ...]:
    """Return a parenthesised list of quoted texts, which are written as Python writes them."""
    start = reader.take()
    depth, is_after_item = 1, False
    items: list[str] = []
    while depth:
        token = reader.skip_spaces()
        if token.kind in (Kind.SINGLE, Kind.DOUBLE):
            text = _unescaped(token.text)
            items[-1:] = [items[-1] + text] if is_after_item else [*items[-1:], text]
            is_after_item = True
        elif token.text == "," and is_after_item and token.kind is Kind.MARK:
            is_after_item = False
        elif token.text == "(" and not is_after_item and token.kind is Kind.MARK:
            depth += 1
        elif token.text == ")" and items and token.kind is Kind.MARK:
            depth -= 1
        else:
            raise UsageError(
                "While parsing a list in the query, expected a non-empty list of string values, but got ill-formed "
                f"list at column {start.column}."
            )
        reader.take()
    return tuple(items)


def _unescaped(quoted: str) -> str:
    quote = quoted[0]
    # Doubled quotes are two texts side by side, which Python joins.
    inner = re.sub(rf"(?<!\\)((?:\\\\)*){quote}{quote}", r"\1", quoted[1:-1])
    return _ESCAPE.sub(_escape, inner)


def _escape(found: re.Match[str]) -> str:
    code = found[1]
    if code[0] in "xu" and len(code) > 1:
        return chr(int(code[1:], 16))
    if code[0] in "01234567":
        return chr(int(code, 8))
    return _ESCAPED.get(code, f"\\{code}")


def _bad_clause(reader: Reader, start: int) -> UsageError:
    return UsageError(
        f"Invalid clause(s) in filter string at column {start + 1}: '{reader.rest(start)}'",
        hint="A filter is comparisons joined by AND, such as: metrics.loss < 0.5 AND params.model = 'tree'",
    )
