"""Copy all rows of one metadata store into an empty one, whatever either is on.

Row ids, and so everything that refers to them, stay as they are; what is given out next goes on behind them, from a
file to a server also where the last rows were deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, func, insert, select, text

from penstock.entities.errors import ConflictError
from penstock.stores.metadata import tables
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.postgres_loading import load_rows, without_indexes

Tell = Callable[[int, int], None]
"""Hears how many rows are copied, and of how many."""

logger = logging.getLogger(__name__)

_AT_ONCE = 2000
_INSTEAD_OF_NUL = "\ufffd"
_OF_THE_STORE_ITSELF = {tables.schema_version.name}
_MARK = "commit"
_FIRST_ROWS = {tables.experiments.name: 1, tables.counters.name: 0}
"""So much a new database may hold beside the mark of a commit: the experiment ``Default``."""


def copy_store(
    source: MetadataStore, target: MetadataStore, tell: Tell = lambda done, total: None
) -> Mapping[str, int]:
    """Copy every row in one transaction and return how many there are of each table.

    Parameters
    ----------
    source, target : MetadataStore
        Both open, so both of this program's schema; nobody else uses them.
    tell : callable, optional
        Called now and then with (rows copied, all rows).

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
        return target.write(lambda writer: _copy(reader, writer, tell))


def _copy(reader: Connection, writer: Connection, tell: Tell) -> dict[str, int]:
    wanted = [table for table in tables.metadata.sorted_tables if table.name not in _OF_THE_STORE_ITSELF]
    for table in wanted:
        if _count(writer, table) > _FIRST_ROWS.get(table.name, 0):
            raise ConflictError(
                f"the store to copy to holds {table.name} already", hint="Name an empty one: another schema in its URL."
            )
    writer.execute(delete(tables.experiments))
    counts = {table.name: _count(reader, table) for table in wanted}
    progress = _Progress(tell, sum(counts.values()))
    with without_indexes(writer) if writer.dialect.name == "postgresql" else nullcontext():
        for table in wanted:
            _copy_table(reader, writer, table, progress)
    for table in wanted:
        found = _count(writer, table)
        assert found == counts[table.name], (table.name, found, counts[table.name])
        if len(table.primary_key) == 1 and table.autoincrement_column is not None:
            _go_on_behind(reader, writer, table)
    return counts


class _Progress:
    """Counts rows and tells."""

    def __init__(self, tell: Tell, total: int) -> None:
        self._tell = tell
        self._total = total
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        self._tell(self._done, self._total)


def _of(table: Table) -> list[ColumnElement[bool]]:
    """Return which rows of a table are copied: not the mark that a store's own commits leave."""
    return [tables.counters.c.name != _MARK] if table is tables.counters else []


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table).where(*_of(table))).scalar_one()


def _copy_table(reader: Connection, writer: Connection, table: Table, progress: _Progress) -> None:
    names = [column.name for column in table.columns]
    is_server = writer.dialect.name == "postgresql"

    def parts() -> Iterator[list[Sequence[Any]]]:
        with reader.execution_options(yield_per=_AT_ONCE).execute(select(table).where(*_of(table))) as rows:
            for part in rows.partitions():
                yield [_taken(table, names, row) if is_server and _has_nul(row) else row for row in part]
                progress.add(len(part))

    if is_server:
        load_rows(writer, table, parts())
    else:
        for part in parts():
            writer.execute(insert(table), [dict(zip(names, row, strict=True)) for row in part])


def _has_nul(row: Sequence[Any]) -> bool:
    return any(isinstance(value, str) and "\0" in value for value in row)


def _taken(table: Table, names: list[str], row: Sequence[Any]) -> Sequence[Any]:
    """Return a row as a server takes it, and name what is changed."""
    found = {
        name: value.replace("\0", _INSTEAD_OF_NUL) if isinstance(value, str) else value
        for name, value in zip(names, row, strict=True)
    }
    place = ", ".join(f"{column.name} {found[column.name]!r}" for column in table.primary_key)
    for name, value in zip(names, row, strict=True):
        if found[name] != value:
            logger.warning("%s of %s (%s) held the character NUL; U+FFFD stands there now", name, table.name, place)
    return list(found.values())


def _go_on_behind(reader: Connection, writer: Connection, table: Table) -> None:
    (column,) = table.primary_key
    last = writer.execute(select(func.coalesce(func.max(column), 0))).scalar_one()
    if reader.dialect.name == "sqlite" and table.dialect_options["sqlite"]["autoincrement"]:
        given = reader.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": table.name})
        last = max(last, given.scalar_one_or_none() or 0)
    if writer.dialect.name == "postgresql":
        move = text("SELECT setval(pg_get_serial_sequence(:name, :column), greatest(:last, 1), :last > 0)")
        writer.execute(move, {"name": table.name, "column": column.name, "last": last})
