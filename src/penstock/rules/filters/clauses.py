"""Read clauses joined by AND, the way MLflow's server does.

A clause is a name, an operator and a value. What may be named and compared differs from search to search and is said
by a :class:`Grammar`; how names, numbers and lists are written is the same for all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from penstock.entities.errors import UsageError
from penstock.rules.filters.names import RESERVED, read_name
from penstock.rules.filters.tokens import Kind, Reader, Token, unquote
from penstock.rules.filters.tree import And, Comparison, Condition, Field, Op, Scope, Value
from penstock.rules.suggest import did_you_mean

MAX_CLAUSES = 200
NUMBER_OPS = frozenset({Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE})
TEXT_OPS = frozenset({Op.EQ, Op.NE, Op.LIKE, Op.ILIKE})
LIST_OPS = frozenset({Op.IN, Op.NOT_IN})
_NULLS = frozenset({Op.IS_NULL, Op.IS_NOT_NULL})

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


@dataclass(frozen=True, slots=True)
class Grammar:
    """What one search lets its filters say.

    Parameters
    ----------
    scopes : mapping
        What may stand before the first dot, and what it means.
    attributes : mapping
        Every spelling of an attribute, and its name.
    numeric : frozenset of str
        Attributes that compare with numbers.
    whole : frozenset of str
        Attributes that compare with whole numbers only.
    listed : frozenset of str
        Attributes that compare with lists.
    nullable : frozenset of Scope
        What ``IS NULL`` may be asked of.
    is_case_kept : bool
        Whether ``like`` and ``in`` are refused in small letters.
    has_quoted_scopes : bool
        Whether what stands before the first dot may be in back-ticks.
    has_quoted_attributes : bool
        Whether an attribute may be quoted.
    """

    scopes: Mapping[str, Scope]
    attributes: Mapping[str, str]
    numeric: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()
    nullable: frozenset[Scope] = frozenset()
    is_case_kept: bool = False
    has_quoted_scopes: bool = False
    has_quoted_attributes: bool = True


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


def compare(clause: Clause, grammar: Grammar) -> Comparison:
    """Return what a clause means in a grammar, or raise UsageError."""
    field = read_field(clause.name, grammar)
    op = _operator(clause, grammar)
    if op in _NULLS:
        if field.scope not in grammar.nullable:
            kinds = " and ".join(f"{scope}s" for scope in sorted(grammar.nullable)) or "nothing"
            raise UsageError(f"IS NULL / IS NOT NULL is only supported for {kinds}, not for '{clause.name.text}'.")
        return Comparison(field, op)
    value = _value(clause, field, grammar)
    allowed = _allowed(field, grammar)
    if op not in allowed:
        raise _bad_operator(clause, allowed)
    if (op in LIST_OPS) is not isinstance(value, tuple):
        raise UsageError(f"Invalid value for '{op}' at column {clause.operator.column}: only IN takes a list.")
    return Comparison(field, op, value)


def read_field(name: Token, grammar: Grammar) -> Field:
    """Return what a name means in a grammar, or raise UsageError."""
    before, dot, after = name.text.partition(".")
    scope = Scope.ATTRIBUTE
    if dot:
        entity = unquote(before, "`") if grammar.has_quoted_scopes else before
        found = grammar.scopes.get(entity)
        if found is None:
            valid = sorted({scope.value for scope in grammar.scopes.values()})
            raise UsageError(
                f"Invalid entity type '{entity[:60]}' at column {name.column}. Valid values are {valid}.",
                hint=did_you_mean(entity, grammar.scopes),
            )
        scope = found
    raw = after if dot else before
    key = unquote(unquote(raw, "'\""), "`")
    if scope is Scope.ATTRIBUTE:
        wanted = key if grammar.has_quoted_attributes else raw
        if wanted not in grammar.attributes:
            valid = sorted(set(grammar.attributes))
            raise UsageError(
                f"Invalid attribute key '{wanted[:60]}' specified at column {name.column}. Valid keys are {valid}.",
                hint=did_you_mean(wanted, valid),
            )
        return Field(scope, grammar.attributes[wanted])
    if scope is Scope.DATASET and key not in ("name", "digest", "context"):
        raise UsageError(
            f"Invalid dataset key '{key[:60]}' specified at column {name.column}. "
            "Valid keys are ['context', 'digest', 'name']."
        )
    return Field(scope, key)


def _read_clause(reader: Reader) -> Clause:
    start = reader.token.start
    name = read_name(reader, RESERVED)
    if name is None:
        raise _bad_clause(reader, start)
    reader.skip_spaces()
    operator, op = _read_operator(reader)
    if operator is None:
        raise _bad_clause(reader, start)
    if op in _NULLS:
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


def _operator(clause: Clause, grammar: Grammar) -> Op:
    if clause.op is None:
        raise _bad_operator(clause, NUMBER_OPS | TEXT_OPS)
    is_word = clause.op in (Op.LIKE, Op.ILIKE, Op.IN)
    if is_word and grammar.is_case_kept and clause.operator.text != clause.op:
        raise UsageError(
            f"Invalid comparator '{clause.operator.text}' at column {clause.operator.column}: "
            f"it is written in capital letters here, '{clause.op}'."
        )
    return clause.op


def _allowed(field: Field, grammar: Grammar) -> frozenset[Op]:
    match field:
        case Field(Scope.METRIC):
            return NUMBER_OPS
        case Field(Scope.ATTRIBUTE, key) if key in grammar.numeric:
            return NUMBER_OPS
        case Field(Scope.ATTRIBUTE, "experiment_id"):
            return LIST_OPS | {Op.EQ, Op.NE}
        case Field(Scope.ATTRIBUTE, key) if key in grammar.listed:
            return TEXT_OPS | LIST_OPS
        case Field(Scope.DATASET):
            return TEXT_OPS | LIST_OPS
    return TEXT_OPS


def _value(clause: Clause, field: Field, grammar: Grammar) -> Value:
    value = clause.value
    assert value is not None
    is_listed = field.scope is Scope.DATASET or (field.scope is Scope.ATTRIBUTE and field.key in grammar.listed)
    if clause.items is not None:
        if not is_listed:
            raise UsageError(
                f"Only {sorted(grammar.listed)} attributes support comparison with a list of quoted string values."
            )
        return tuple(_id(item) for item in clause.items) if field.key == "experiment_id" else clause.items
    is_number = field.scope is Scope.METRIC or (field.scope is Scope.ATTRIBUTE and field.key in grammar.numeric)
    if is_number:
        return _number(value, field, grammar)
    if value.kind not in (Kind.SINGLE, Kind.DOUBLE):
        raise UsageError(
            f"Expected a quoted string value for '{clause.name.text[:60]}' at column {value.column}. "
            f"Got value {value.text[:60]}"
        )
    text = value.text[1:-1]
    return _id(text) if field == Field(Scope.ATTRIBUTE, "experiment_id") else text


def _number(value: Token, field: Field, grammar: Grammar) -> int | float:
    is_quoted = value.kind in (Kind.SINGLE, Kind.DOUBLE) and field.key == "version_number"
    text = value.text[1:-1] if is_quoted else value.text
    if value.kind is not Kind.NUMBER and not is_quoted:
        raise UsageError(
            f"Expected numeric value type for '{field.key[:60]}' at column {value.column}. Found {value.text[:60]}"
        )
    if field.scope is Scope.METRIC:
        return float(text)
    try:
        return int(text)
    except ValueError as error:
        if field.key in grammar.whole:
            raise UsageError(f"Invalid value for numeric attribute '{field.key}': {text[:60]!r}") from error
        return float(text)


def _id(text: str) -> str:
    try:
        return str(int(text))
    except ValueError as error:
        raise UsageError(f"Invalid experiment ID '{text[:60]}'. Experiment ID must be a valid integer.") from error


def _bad_clause(reader: Reader, start: int) -> UsageError:
    return UsageError(
        f"Invalid clause(s) in filter string at column {start + 1}: '{reader.rest(start)}'",
        hint="A filter is comparisons joined by AND, such as: metrics.loss < 0.5 AND params.model = 'tree'",
    )


def _bad_operator(clause: Clause, allowed: frozenset[Op]) -> UsageError:
    return UsageError(
        f"Invalid comparator '{clause.operator.text[:20]}' at column {clause.operator.column}, "
        f"not one of {[op.value for op in sorted(allowed)]}"
    )
