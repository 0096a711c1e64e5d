"""Names in a filter: ``metrics.loss``, ``tags."my key"``, ``status``."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.rules.filters.tokens import Kind, Reader, Token

QUOTED = (Kind.DOUBLE, Kind.BACKTICK)
# After a dot and a space, MLflow takes a word of SQL for itself, not for a name.
_SQL = ("AND", "AS", "BY", "CASE", "FROM", "GROUP", "IN", "IS", "LIKE", "NONE", "NOT", "NULL", "ORDER", "SELECT", "SET")


# These it takes for itself after any dot.
RESERVED = ("AS", "CASE", "FROM", "IN", "USING", "VALUES")


def read_name(reader: Reader, reserved: Sequence[str] = ()) -> Token | None:
    """Return a whole name with its dots and quotes as one token, or None if none begins here.

    A word that is ``reserved`` is no part of a name: the name then ends before it, with its dot.
    """
    first = reader.token
    if first.kind is not Kind.WORD and first.kind not in QUOTED:
        return None
    reader.take()
    end = first.end
    while reader.is_at("."):
        end = reader.take().end
        is_spaced = reader.token.kind is Kind.SPACE
        part = reader.peek()
        is_taken = part.is_word(*reserved) or (is_spaced and part.is_word(*_SQL))
        if _begins_part(part) and not is_taken:
            reader.skip_spaces()
            end = reader.take().end
    return Token(Kind.WORD, reader.text[first.start : end], first.start)


def _begins_part(token: Token) -> bool:
    return token.kind in (Kind.WORD, Kind.SINGLE, *QUOTED)
