"""Copy all rows of one metadata store into an empty one, whatever either is on.

Row ids, and so everything that refers to them, stay as they are; what is given out next goes on behind them, from a
file to a server also where the last rows were deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select, text

from penstock.entities.errors import ConflictError
from penstock.stores.metadata import tables
from penstock.stores.metadata.base import MetadataStore

logger = logging.getLogger(__name__)

_AT_ONCE = 2000
_INSTEAD_OF_NUL = "\ufffd"
_OF_THE_STORE_ITSELF = {tables.schema_version.name}
_FIRST_ROWS = {tables.experiments.name: 1, tables.counters.name: 1}
"""So much a new database may hold: the experiment ``Default``, and the mark of a commit."""


def copy_store(source: MetadataStore, target: MetadataStore) -> Mapping[str, int]:
    """Copy every row in one transaction and return how many there are of each table.

    Parameters
    ----------
    source, target : MetadataStore
        Both open, so both of this program's schema; nobody else uses them.

    Raises
    ------
    ConflictError
        If the target holds anything yet.
    UsageError
        If it does not take a text, such as a very long key; nothing is kept then.

    Notes
    -----
    A server keeps no character NUL, which a file does: U+FFFD stands in its place then, and a warning names the rows.
    """
    with source.read() as reader:
        return target.write(lambda writer: _copy(reader, writer))


def _copy(reader: Connection, writer: Connection) -> dict[str, int]:
    wanted = [table for table in tables.metadata.sorted_tables if table.name not in _OF_THE_STORE_ITSELF]
    for table in wanted:
        if _count(writer, table) > _FIRST_ROWS.get(table.name, 0):
            raise ConflictError(
                f"the store to copy to holds {table.name} already", hint="Name an empty one: another schema in its URL."
            )
    writer.execute(delete(tables.counters))
    writer.execute(delete(tables.experiments))
    counts = {table.name: _copy_table(reader, writer, table) for table in wanted}
    for table in wanted:
        found = _count(writer, table)
        assert found == counts[table.name], (table.name, found, counts[table.name])
        if len(table.primary_key) == 1 and table.autoincrement_column is not None:
            _go_on_behind(reader, writer, table)
    return counts


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _copy_table(reader: Connection, writer: Connection, table: Table) -> int:
    count = 0
    with reader.execution_options(yield_per=_AT_ONCE).execute(select(table)) as rows:
        for part in rows.mappings().partitions():
            writer.execute(insert(table), [_taken(table, dict(row), writer.dialect.name) for row in part])
            count += len(part)
    return count


def _taken(table: Table, row: dict[str, Any], dialect: str) -> dict[str, Any]:
    """Return a row as the other side takes it."""
    found = dict(row)
    if dialect != "sqlite":
        for name, value in row.items():
            if isinstance(value, str) and "\0" in value:
                found[name] = value.replace("\0", _INSTEAD_OF_NUL)
                place = ", ".join(f"{column.name} {found[column.name]!r}" for column in table.primary_key)
                logger.warning("%s of %s (%s) held the character NUL; U+FFFD stands there now", name, table.name, place)
    return found


def _go_on_behind(reader: Connection, writer: Connection, table: Table) -> None:
    (column,) = table.primary_key
    last = writer.execute(select(func.coalesce(func.max(column), 0))).scalar_one()
    if reader.dialect.name == "sqlite" and table.dialect_options["sqlite"]["autoincrement"]:
        given = reader.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": table.name})
        last = max(last, given.scalar_one_or_none() or 0)
    if writer.dialect.name == "postgresql":
        move = text("SELECT setval(pg_get_serial_sequence(:name, :column), greatest(:last, 1), :last > 0)")
        writer.execute(move, {"name": table.name, "column": column.name, "last": last})
