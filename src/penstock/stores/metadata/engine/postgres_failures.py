"""The one place where PostgreSQL's exceptions become ours; the password of the URL is in none of them.

Told apart by SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html), never by text.
"""

from __future__ import annotations

import psycopg
from sqlalchemy.exc import DBAPIError

from penstock.entities.errors import InternalError, OutOfSpaceError, PenstockError, UnavailableError, UsageError

_LONGEST_TEXT = 300
_NOTHING_KEPT = "Nothing of this request was kept; it works again as soon as the server answers."
_OUT_OF_SPACE, _TOO_MANY, _OUT_OF_RANGE, _TOO_LARGE, _READ_ONLY, _NO_RIGHT = (
    "53100",
    "53300",
    "22003",
    "54000",
    "25006",
    "42501",
)
_UNTRANSLATABLE = {"22021", "22P05"}
_GONE = {"57P01", "57P02", "57P03", "57P05"}


def translate(error: BaseException, place: str) -> BaseException:
    """Return our error for one of PostgreSQL's; other exceptions come back unchanged.

    Parameters
    ----------
    error : BaseException
        What a statement or an operation raised.
    place : str
        The database, for the message; without a password.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, OverflowError):
        return UsageError("a whole number does not fit into 64 bits", hint="Steps and timestamps are int64.")
    if isinstance(cause, UnicodeEncodeError):
        return UsageError("a text is not valid Unicode: it holds half of a surrogate pair")
    if isinstance(cause, psycopg.Error):
        # Our own statements go past SQLAlchemy, which looks at the connection; they bind few values and fixed ones.
        was_lost = not isinstance(error, DBAPIError) or error.connection_invalidated
        return _translated(cause, place, was_lost)
    return error


def unreachable(error: psycopg.Error, place: str) -> UnavailableError:
    """Return the error for a connection that could not be made, with the server's own words."""
    return UnavailableError(
        f"{place} cannot be reached: {_brief(error)}",
        hint="Check that it runs, and address, user and password in [stores] metadata (docs/how-to/postgresql.md).",
    )


def _translated(error: psycopg.Error, place: str, was_lost: bool) -> PenstockError:
    state = error.sqlstate or ""
    if state == _OUT_OF_SPACE:
        return OutOfSpaceError(f"the disk of {place} is full", hint="Free space there; nothing of this was kept.")
    if state == _OUT_OF_RANGE:
        return UsageError("a whole number does not fit into 64 bits", hint="Steps and timestamps are int64.")
    if state == _TOO_LARGE:
        return UsageError("a name or text is larger than PostgreSQL takes there", hint=_brief(error))
    if state in _UNTRANSLATABLE or (not state and isinstance(error, psycopg.DataError)):
        return UsageError("a text holds the character NUL, which PostgreSQL does not keep")
    if state == _READ_ONLY:
        return UnavailableError(f"{place} takes no changes now: {_brief(error)}", hint="Is it a standby?")
    if state == _NO_RIGHT:
        return UnavailableError(
            f"{place} refuses it: {_brief(error)}", hint="The user needs CREATE on the database, or to own the schema."
        )
    if state == _TOO_MANY:
        return UnavailableError(f"{place} has no connection left", hint="Raise max_connections; Penstock needs 10.")
    if state[:2] == "08" or state in _GONE or (not state and was_lost and isinstance(error, psycopg.OperationalError)):
        return UnavailableError(f"{place} closed the connection: {_brief(error)}", hint=_NOTHING_KEPT)
    if state[:2] in ("40", "53", "55", "57"):
        return UnavailableError(f"{place} could not do it now: {_brief(error)}", hint=_NOTHING_KEPT)
    return InternalError(f"a statement failed: {_brief(error)}")


def _brief(error: psycopg.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:_LONGEST_TEXT]
