"""What a search says besides its filter: page tokens, base64 of ``{"offset": N}``, and experiments."""

from __future__ import annotations

import base64

import msgspec
from msgspec import Struct

from penstock.entities.errors import UsageError


class _Token(Struct):
    offset: int


def make_token(offset: int) -> str:
    """Return the token of the page that begins at ``offset``."""
    return base64.b64encode(msgspec.json.encode(_Token(offset))).decode()


def read_token(token: str) -> int:
    """Return where a page begins; 0 without a token.

    Raises
    ------
    UsageError
        If the token is not one of ours.
    """
    if not token:
        return 0
    try:
        found = msgspec.json.decode(base64.b64decode(token, validate=True), type=_Token)
    except (ValueError, RecursionError) as error:
        raise UsageError("Invalid page token, could not be decoded.") from error
    if found.offset == 0:
        # No page but the first begins there, and that one has no token.
        raise UsageError("Invalid page token, it names no page.")
    return max(found.offset, 0)


def read_experiment_id(text: str) -> str:
    """Return an experiment's id as it is stored, or raise UsageError for what is no whole number."""
    try:
        return str(int(text))
    except ValueError as error:
        raise UsageError(
            f"Invalid experiment ID '{text[:60]}'. Experiment ID must be a valid integer.",
            hint="Ids are whole numbers, such as '0'.",
        ) from error
