"""The one place where the database's exceptions become ours, with one sentence and what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from penstock.entities.errors import InternalError, OutOfSpaceError, PenstockError, UnavailableError, UsageError

# The low byte of an extended result code is its family: https://sqlite.org/rescode.html
_FULL, _READONLY, _CANTOPEN, _BUSY, _LOCKED, _IOERR, _CORRUPT, _NOTADB, _TOOBIG = 13, 8, 14, 5, 6, 10, 11, 26, 18
_INTERRUPT = 9
_FILE_LIMIT_HINT = "Free space there or move the workspace; nothing of this request was kept."


def translate(error: BaseException, path: Path) -> BaseException:
    """Return our error for a database's one; other exceptions come back unchanged.

    Parameters
    ----------
    error : BaseException
        What a statement or an operation raised.
    path : Path
        The database file, for the message.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, OverflowError):
        return UsageError("a whole number does not fit into 64 bits", hint="Steps and timestamps are int64.")
    if isinstance(cause, UnicodeEncodeError):
        return UsageError("a text is not valid Unicode: it holds half of a surrogate pair")
    if isinstance(cause, sqlite3.Error):
        return _from_sqlite(cause, path)
    return error


def is_lock(error: BaseException) -> bool:
    """Tell whether another process holds the file's lock."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (_BUSY, _LOCKED)


def _from_sqlite(error: sqlite3.Error, path: Path) -> PenstockError:
    code = getattr(error, "sqlite_errorcode", None)
    family = None if code is None else code & 0xFF
    if family == _FULL:
        return OutOfSpaceError(f"the disk under {path} is full", hint=_FILE_LIMIT_HINT)
    if family == _READONLY:
        return UnavailableError(f"{path} cannot be written", hint="Check the owner and mode of the folder and file.")
    if family == _CANTOPEN:
        return UnavailableError(f"{path} cannot be opened", hint="Check that the folder exists and may be written.")
    if family in (_BUSY, _LOCKED):
        return UnavailableError(f"{path} is locked by another process", hint="Is a second server running on it?")
    if family == _IOERR:
        return UnavailableError(
            f"reading or writing {path} failed ({error})", hint="Check the disk and its quota; nothing was kept."
        )
    if family in (_CORRUPT, _NOTADB):
        return UnavailableError(f"{path} is not an intact database ({error})", hint="Restore it from a backup.")
    if family == _INTERRUPT:
        return UnavailableError(
            "the read was given up, for it took so long that the log of changes became too long",
            hint="Ask for less at once, or again when less is written.",
        )
    if family == _TOOBIG:
        return UsageError("a text is larger than the database takes (1 GB)")
    return InternalError(f"a statement failed: {error}")
