r"""Penstock's own filters: MLflow's, and OR, NOT, parentheses, lists, regular expressions and dates.

::

    metrics.loss < 0.5 AND (params.model IN ('tree', 'forest') OR tags.team MATCHES '^vision')
    NOT status = 'FAILED' AND start_time >= '2026-01-01' AND duration > '1h30m'

A name compares with what it holds: metrics with numbers, times with milliseconds or RFC 3339 texts, ``duration`` with
milliseconds or texts such as ``'90s'``, all else with quoted texts, byte by byte. Every comparison but ``IS NULL``,
also ``!=``, ``NOT IN`` and ``NOT LIKE``, is false for a run that lacks the name; ``NOT (...)`` turns the outcome round.
Inside quotes nothing is escaped, as in MLflow, but ``E'...'`` knows ``\u0027``.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.entities.errors import UsageError
from penstock.entities.run import LifecycleStage, RunStatus
from penstock.rules.filters.grammar import Grammar, read_field
from penstock.rules.filters.habits import hint_for_attribute, hint_for_choice, hint_for_token
from penstock.rules.filters.mlflow import RUNS
from penstock.rules.filters.names import read_name
from penstock.rules.filters.orders import parse_orders, read_order
from penstock.rules.filters.tokens import Kind, Reader, Token, unquote
from penstock.rules.filters.tree import And, Comparison, Condition, Field, Not, Op, Or, OrderKey, Scope
from penstock.rules.filters.values import read_value, takes_numbers
from penstock.rules.suggest import did_you_mean

MAX_DEPTH = 50
MAX_COMPARISONS = 200

GRAMMAR = Grammar(
    scopes=RUNS.scopes,
    attributes={**RUNS.attributes, **{name: name for name in ("duration", "experiment_id", "lifecycle_stage")}},
    has_quoted_scopes=True,
)
_ATTRIBUTES = tuple(dict.fromkeys(GRAMMAR.attributes.values()))
_CHOICES = {
    Field(Scope.ATTRIBUTE, "status"): tuple(status.value for status in RunStatus),
    Field(Scope.ATTRIBUTE, "lifecycle_stage"): tuple(stage.value for stage in LifecycleStage),
}
_NUMBER_OPS = ("=", "!=", "<", "<=", ">", ">=", "IN", "NOT IN", "IS NULL", "IS NOT NULL")
_TEXT_OPS = (*_NUMBER_OPS, "LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE", "MATCHES", "NOT MATCHES")
_SYMBOLS = {op.value: op for op in (Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE)} | {"==": Op.EQ, "<>": Op.NE}
_WORDS = {"LIKE": Op.LIKE, "ILIKE": Op.ILIKE, "MATCHES": Op.MATCHES, "IN": Op.IN}


def parse_filter(text: str | None) -> Condition | None:
    """Return what a filter says, None for an empty or blank one.

    Raises
    ------
    UsageError
        If it cannot be read; the message names the column, the hint what may have been meant.
    """
    if text is None or not text.strip():
        return None
    return _Parser(text).parse()


def parse_order(texts: Sequence[str]) -> tuple[OrderKey, ...]:
    """Return the keys of an order, such as ``metrics.loss DESC``, or raise UsageError."""
    clauses = [text.strip() for text in texts]
    for clause in clauses:
        _read_field(read_order(clause)[0])
    return parse_orders(clauses, GRAMMAR)


class _Parser:
    """Recursive descent: OR of ANDs of NOTs of comparisons and parentheses."""

    def __init__(self, text: str) -> None:
        self._reader = Reader(text)
        self._depth = 0
        self._comparisons = 0

    def parse(self) -> Condition:
        found = self._or()
        token = self._reader.skip_spaces()
        if token.kind is not Kind.END:
            raise _unexpected(token, "AND, OR or the end")
        return found

    def _or(self) -> Condition:
        items = [self._and()]
        while self._reader.skip_spaces().is_word("OR"):
            self._reader.take()
            items.append(self._and())
        return items[0] if len(items) == 1 else Or(tuple(items))

    def _and(self) -> Condition:
        items = [self._not()]
        while self._reader.skip_spaces().is_word("AND"):
            self._reader.take()
            items.append(self._not())
        return items[0] if len(items) == 1 else And(tuple(items))

    def _not(self) -> Condition:
        token = self._reader.skip_spaces()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UsageError(f"column {token.column}: a filter is nested at most {MAX_DEPTH} deep")
        try:
            if token.is_word("NOT"):
                self._reader.take()
                return Not(self._not())
            if self._reader.is_at("("):
                self._reader.take()
                found = self._or()
                closing = self._reader.skip_spaces()
                if not self._reader.is_at(")"):
                    raise _unexpected(closing, f"the parenthesis of column {token.column} to be closed")
                self._reader.take()
                return found
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Condition:
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise UsageError(f"a filter has at most {MAX_COMPARISONS} comparisons", hint="Use IN for many values.")
        start = self._reader.token
        name = read_name(self._reader)
        if name is None:
            raise _unexpected(start, "a name such as metrics.loss")
        field = _read_field(name)
        op, is_negated = self._operator(field)
        if op in (Op.IS_NULL, Op.IS_NOT_NULL):
            return Comparison(field, op)
        place = self._reader.skip_spaces()
        found = Comparison(field, op, read_value(self._reader, field, op))
        _check_choice(found, place)
        return And((Comparison(field, Op.IS_NOT_NULL), Not(found))) if is_negated else found

    def _operator(self, field: Field) -> tuple[Op, bool]:
        """Return an operator and whether NOT stood before it where the tree has none for that."""
        token = self._reader.skip_spaces()
        known = _NUMBER_OPS if takes_numbers(field) else _TEXT_OPS
        if token.is_word("IS"):
            return self._null(), False
        self._reader.take()
        if token.kind is Kind.OPERATOR and token.text in _SYMBOLS:
            return _SYMBOLS[token.text], False
        is_not = token.is_word("NOT")
        word = self._reader.skip_spaces() if is_not else token
        name = f"NOT {word.text.upper()}" if is_not else word.text.upper()
        if word.kind is not Kind.WORD or name not in known:
            raise _unexpected(token, f"one of {', '.join(known)}")
        if is_not:
            self._reader.take()
        op = _WORDS[word.text.upper()]
        return (Op.NOT_IN, False) if is_not and op is Op.IN else (op, is_not)

    def _null(self) -> Op:
        self._reader.take()
        is_not = self._reader.skip_spaces().is_word("NOT")
        if is_not:
            self._reader.take()
        token = self._reader.skip_spaces()
        if not token.is_word("NULL"):
            raise _unexpected(token, "NULL")
        self._reader.take()
        return Op.IS_NOT_NULL if is_not else Op.IS_NULL


def _read_field(name: Token) -> Field:
    """Return what a name means, or raise UsageError in the words of this grammar."""
    before, dot, after = name.text.partition(".")
    if dot and unquote(before, "`") not in GRAMMAR.scopes:
        raise UsageError(
            f'column {name.column}: runs have no "{before[:60]}"',
            hint=did_you_mean(before, GRAMMAR.scopes) or "They have metrics, params, tags, attributes and datasets.",
        )
    scope = GRAMMAR.scopes[unquote(before, "`")] if dot else Scope.ATTRIBUTE
    key = unquote(unquote(after if dot else before, "'\""), "`")
    if scope is Scope.ATTRIBUTE and key not in GRAMMAR.attributes:
        raise UsageError(
            f'column {name.column}: runs have no attribute "{key[:60]}"',
            hint=hint_for_attribute(key, _ATTRIBUTES),
        )
    return read_field(name, GRAMMAR)


def _check_choice(found: Comparison, place: Token) -> None:
    choices = _CHOICES.get(found.field)
    if choices is None or found.op not in (Op.EQ, Op.NE, Op.IN, Op.NOT_IN):
        return
    for value in found.value if isinstance(found.value, tuple) else (found.value,):
        if value not in choices:
            raise UsageError(
                f"column {place.column}: {str(value)[:40]!r} is no {found.field.key} of a run",
                hint=hint_for_choice(str(value), choices),
            )


def _unexpected(token: Token, wanted: str) -> UsageError:
    found = "the end" if token.kind is Kind.END else repr(token.text[:40])
    return UsageError(
        f"column {token.column}: {found} stands where {wanted} is expected", hint=hint_for_token(token.text)
    )
