"""Bring a database to the schema of this program: make it, migrate it, or refuse it.

Alembic is loaded only where an older database is found; an idle server never pays for it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from sqlalchemy import Connection, inspect, select

from penstock.entities.errors import RefusedError
from penstock.stores.metadata import tables


def prepare_schema(connection: Connection, place: Path | str, *, now: int) -> None:
    """Make or migrate the schema inside the open transaction.

    Parameters
    ----------
    connection : Connection
        In a transaction that holds the write lock; a crash before its commit leaves the old database.
    place : Path or str
        The database, for messages.
    now : int
        The time of a new database's first rows, ms UTC.

    Raises
    ------
    RefusedError
        If the database is of a newer program, or is not ours.
    """
    names = inspect(connection).get_table_names()
    if not names:
        tables.create_all(connection, now=now)
        return
    if tables.schema_version.name not in names:
        raise RefusedError(f"{place} is a database, but not one of Penstock", hint="Choose another folder.")
    revision = connection.execute(select(tables.schema_version.c.version_num)).scalar_one_or_none() or ""
    if revision > tables.HEAD:
        raise RefusedError(
            f"{place} was written by a newer Penstock (schema {revision}, this one knows {tables.HEAD})",
            hint="Upgrade Penstock: `pip install --upgrade penstock`.",
        )
    if revision < tables.HEAD:
        import_module("penstock.stores.metadata.engine.migrate").upgrade(connection, now=now)
