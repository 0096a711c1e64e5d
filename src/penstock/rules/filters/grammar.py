"""What a clause means in one search: what may be named there, and compared with what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.entities.errors import UsageError
from penstock.rules.filters.clauses import LIST_OPS, NULL_OPS, NUMBER_OPS, TEXT_OPS, Clause
from penstock.rules.filters.tokens import Kind, Token, unquote
from penstock.rules.filters.tree import Comparison, Field, Op, Scope, Value
from penstock.rules.suggest import did_you_mean


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


def compare(clause: Clause, grammar: Grammar) -> Comparison:
    """Return what a clause means in a grammar, or raise UsageError."""
    field = read_field(clause.name, grammar)
    op = _operator(clause, grammar)
    if op in NULL_OPS:
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


def _bad_operator(clause: Clause, allowed: frozenset[Op]) -> UsageError:
    return UsageError(
        f"Invalid comparator '{clause.operator.text[:20]}' at column {clause.operator.column}, "
        f"not one of {[op.value for op in sorted(allowed)]}"
    )
