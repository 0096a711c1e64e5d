"""Open the metadata store that the settings name; a server's driver is loaded only where one is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from penstock import plugins
from penstock.clock import now_ms
from penstock.entities.errors import UnavailableError, UsageError
from penstock.stores.metadata.base import MetadataReader, MetadataStore
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore
from penstock.stores.metadata.engine.sqlite_file import SqliteFile, SqliteReader

POSTGRES_SCHEMES = ("postgresql://", "postgres://")


def open_metadata(url: str, file: Path, *, clock: Callable[[], int] = now_ms) -> MetadataStore:
    """Open the store at ``url``, or the SQLite file where the URL is empty.

    Parameters
    ----------
    url : str
        ``postgresql://user@host:port/database?schema=penstock``, or nothing.
    file : Path
        The workspace's own database file.
    clock : callable
        Returns ms UTC.

    Raises
    ------
    UsageError
        If the URL names no backend that there is; the message does not show it, for it may hold a password.
    UnavailableError, RefusedError
        If the store cannot be opened.
    """
    if not url:
        return SqliteMetadataStore(file, clock=clock)
    if url.startswith(POSTGRES_SCHEMES):
        store: MetadataStore = plugins.load("metadata.postgresql")(url, clock=clock)
        return store
    raise _unknown()


def open_reader(url: str, file: Path) -> MetadataReader:
    """Open a store that a server has opened, for reading alone: no lock is taken and no schema prepared.

    Takes the same settings as :func:`open_metadata`. Each snapshot holds what was committed before it began,
    by whatever process.

    Raises
    ------
    UsageError
        If the URL names no backend that there is.
    UnavailableError
        If there is no store; a store that goes away later says so when it is read.
    """
    if not url:
        if not file.is_file():
            raise UnavailableError(f"there is no metadata store at {file}", hint="A server makes it: penstock up")
        return SqliteReader(SqliteFile(file))
    if url.startswith(POSTGRES_SCHEMES):
        reader: MetadataReader = plugins.load("metadata.postgresql_reader")(url)
        return reader
    raise _unknown()


def _unknown() -> UsageError:
    return UsageError(
        "[stores] metadata is no URL of a store that there is",
        hint="Leave it out for the file in the workspace, or write postgresql://user@host:5432/database.",
    )
