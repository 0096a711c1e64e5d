"""Read ``order_by`` clauses: a name, then ``ASC`` or ``DESC`` or nothing."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.entities.errors import UsageError
from penstock.rules.filters.grammar import Grammar, read_field
from penstock.rules.filters.names import RESERVED, read_name
from penstock.rules.filters.tokens import Kind, Reader, Token, unquote
from penstock.rules.filters.tree import Field, OrderKey, Scope

MAX_KEYS = 20
"""So many keys has an order: each of a parameter, tag or metric is a join of its own."""


def parse_orders(texts: Sequence[str], grammar: Grammar, *, refuses_twice: bool = True) -> tuple[OrderKey, ...]:
    """Return the keys of an order.

    Parameters
    ----------
    texts : sequence of str
        One clause each.
    grammar : Grammar
        What may be named.
    refuses_twice : bool
        Whether a field may come only once.

    Raises
    ------
    UsageError
        If a clause is none, names what cannot be ordered by, or comes twice.
    """
    check_keys(texts)
    found: list[OrderKey] = []
    for text in texts:
        name, is_descending = read_order(text)
        field = read_field(name, grammar)
        if field.scope is Scope.DATASET:
            raise UsageError(f"Invalid order_by clause '{text[:60]}': runs are not ordered by their datasets.")
        found.append(OrderKey(field, is_descending))
    if refuses_twice:
        refuse_twice([key.field for key in found])
    return tuple(found)


def check_keys(keys: Sequence[object]) -> None:
    """Raise UsageError if an order has too many keys."""
    if len(keys) > MAX_KEYS:
        raise UsageError(f"`order_by` has {len(keys)} keys; it can have at most {MAX_KEYS}.")


def refuse_twice(fields: Sequence[Field]) -> None:
    """Raise UsageError if a field comes twice."""
    for index, field in enumerate(fields):
        if field in fields[:index]:
            raise UsageError(f"`order_by` contains duplicate fields: {field.scope}.{field.key[:60]}")


def read_order(text: str) -> tuple[Token, bool]:
    """Return the name in one clause and whether the order is descending, or raise UsageError."""
    reader = Reader(text)
    name = read_name(reader, RESERVED)
    word: Token | None = None
    if name is not None and reader.token.kind is Kind.SPACE:
        reader.take()
        word = reader.take()
    is_broken = name is None or name.text.partition(".")[2][:1].isspace()
    if (
        name is None
        or is_broken
        or reader.token.kind is not Kind.END
        or (word is not None and not word.is_word("ASC", "DESC"))
    ):
        raise UsageError(
            f"Invalid order_by clause '{text[:60]}'. Could not be parsed.",
            hint="It is a name and ASC or DESC, such as: metrics.accuracy DESC",
        )
    if word is not None and "." in name.text:
        # With a direction the real server takes quotes out wherever they stand.
        scope, _, key = name.text.partition(".")
        name = Token(Kind.WORD, f"{scope}.{_bare(key)}", name.start)
    return name, word is not None and word.text.upper() == "DESC"


def _bare(key: str) -> str:
    parts = (unquote(part, "'\"`") for part in key.split(".")) if " " not in key else (unquote(key, "'\"`"),)
    return ".".join(parts)
