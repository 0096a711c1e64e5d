"""Cut a filter into tokens that know where they stand; both grammars read them.

The forms are those MLflow's clients can send: what is no number there (``1_0``, ``+1``, ``0x1F``, ``1e+5``) is none
here, and quotes are not escaped by doubling them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from penstock.entities.errors import UsageError

MAX_LENGTH = 100_000


class Kind(StrEnum):
    """What a token is."""

    SPACE = "space"
    NUMBER = "number"
    SINGLE = "single-quoted text"
    DOUBLE = "double-quoted text"
    BACKTICK = "quoted name"
    WORD = "word"
    OPERATOR = "operator"
    MARK = "mark"
    OTHER = "other"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a filter.

    Parameters
    ----------
    kind : Kind
        What it is.
    text : str
        As it was written, with its quotes.
    start : int
        Where it begins, characters from 0.
    """

    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        """Return where the next one begins."""
        return self.start + len(self.text)

    @property
    def column(self) -> int:
        """Return where it begins as people count, from 1."""
        return self.start + 1

    def is_word(self, *words: str) -> bool:
        """Return whether it is one of these words, in any case."""
        return self.kind is Kind.WORD and self.text.upper() in words


# A number is none where a letter follows; a sign belongs to it only without a space between.
_LETTER = r"(?![_A-ZÀ-Ü])"
_TOKEN = re.compile(
    rf"""
    (?P<SPACE>\s+)
  | (?P<NUMBER>-?\d+(?:\.\d+)?E-?\d+{_LETTER}|-?(?:\d+\.\d*|\.\d+){_LETTER}|-?\d+{_LETTER})
  | (?P<SINGLE>'(?:''|\\'|[^'])*')
  | (?P<DOUBLE>"(?:""|\\"|[^"])*")
  | (?P<BACKTICK>`(?:``|[^`])*`)
  | (?P<WORD>\w+)
  | (?P<OPERATOR>[<>=!~]+)
  | (?P<MARK>[.,()])
  | (?P<OTHER>.)
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def tokenize(text: str) -> list[Token]:
    """Return the tokens of a filter, spaces among them, and one of the kind END.

    Raises
    ------
    UsageError
        If the filter is longer than any person writes.
    """
    if len(text) > MAX_LENGTH:
        raise UsageError(f"a filter has at most {MAX_LENGTH} characters, this one has {len(text)}")
    return [*_tokens(text), Token(Kind.END, "", len(text))]


def unquote(text: str, quotes: str) -> str:
    """Return a text without the quotes around it, if it has such ones; nothing inside is unescaped."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in quotes:
        return text[1:-1]
    return text


def _tokens(text: str) -> Iterator[Token]:
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        assert found is not None
        assert found.lastgroup is not None
        yield Token(Kind[found.lastgroup], found[0], position)
        position = found.end()


class Reader:
    """Goes through tokens, one after another."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = tokenize(text)
        self._position = 0

    @property
    def token(self) -> Token:
        """Return the next token, a space or not."""
        return self._tokens[self._position]

    def is_at(self, mark: str) -> bool:
        """Return whether the next token is this mark."""
        return self.token.kind is Kind.MARK and self.token.text == mark

    def take(self) -> Token:
        """Return the next token and go past it; the end stays."""
        token = self.token
        if token.kind is not Kind.END:
            self._position += 1
        return token

    def skip_spaces(self) -> Token:
        """Go past spaces and return the token after them."""
        while self.token.kind is Kind.SPACE:
            self._position += 1
        return self.token

    def peek(self, count: int = 0) -> Token:
        """Return the token that comes after ``count`` others, spaces not counted."""
        for token in islice(self._tokens, self._position, None):
            if token.kind is not Kind.SPACE:
                if count == 0 or token.kind is Kind.END:
                    return token
                count -= 1
        return self._tokens[-1]

    def rest(self, start: int) -> str:
        """Return what is left from ``start``, short enough for a message."""
        return self.text[start : start + 60]
