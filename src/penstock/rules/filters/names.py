"""Names in a filter: ``metrics.loss``, ``tags."my key"``, ``status``."""

from __future__ import annotations

from penstock.rules.filters.tokens import Kind, Reader, Token

QUOTED = (Kind.DOUBLE, Kind.BACKTICK)
# After a dot and a space, MLflow takes a word of SQL for itself, not for a name.
_SQL = ("AND", "AS", "BY", "CASE", "FROM", "GROUP", "IN", "IS", "LIKE", "NONE", "NOT", "NULL", "ORDER", "SELECT", "SET")


def read_name(reader: Reader) -> Token | None:
    """Return a whole name with its dots and quotes as one token, or None if none begins here."""
    first = reader.token
    if first.kind is not Kind.WORD and first.kind not in QUOTED:
        return None
    reader.take()
    end = first.end
    while reader.is_at("."):
        end = reader.take().end
        is_spaced = reader.token.kind is Kind.SPACE
        if _begins_part(reader.peek()) and not (is_spaced and reader.peek().is_word(*_SQL)):
            reader.skip_spaces()
            end = reader.take().end
    return Token(Kind.WORD, reader.text[first.start : end], first.start)


def _begins_part(token: Token) -> bool:
    return token.kind in (Kind.WORD, Kind.SINGLE, *QUOTED)
