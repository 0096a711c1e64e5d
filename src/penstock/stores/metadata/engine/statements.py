"""What SQLAlchemy Core leaves to each dialect: upserts, and statements run without its per-call cost.

``execute`` of a Core statement costs about 60 µs in Python; a compiled text on the driver's own connection
costs about 4 µs. Statements on the metric path are therefore compiled once and run there; all others stay
plain Core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from itertools import count
from typing import Any

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.dml import Insert

from penstock.stores.metadata.engine.many_rows import array_text, insert_arrays

Row = Sequence[Any]
_cursors = count(1)


def insert_into(dialect: str, table: Table) -> Any:
    """Return the dialect's ``insert``, which knows ``on_conflict_do_update`` and ``on_conflict_do_nothing``."""
    if dialect == "sqlite":
        return sqlite.insert(table)
    return import_module(f"sqlalchemy.dialects.{dialect}").insert(table)


def put_row(connection: Connection, table: Table, **values: Any) -> None:
    """Insert a row, or replace the other columns of the one with the same primary key."""
    statement = insert_into(connection.dialect.name, table).values(**values)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in values if name not in keys}
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=changed)
        if changed
        else statement.on_conflict_do_nothing(index_elements=keys)
    )


def next_number(connection: Connection, counters: Table, name: str) -> int:
    """Advance a named counter and return its new value; the first is 1."""
    statement = insert_into(connection.dialect.name, counters).values(name=name, value=1)
    statement = statement.on_conflict_do_update(
        index_elements=["name"], set_={"value": counters.c.value + 1}
    ).returning(counters.c.value)
    return int(connection.execute(statement).scalar_one())


class HotStatement:
    """A statement compiled once for each dialect and run on the driver's own connection.

    Parameters
    ----------
    build : callable
        Makes the Core statement, given the dialect's name.
    *names : str
        The bound parameters in the order in which rows give them; the compiled text must bind the same.
    """

    def __init__(self, build: Callable[[str], Executable], *names: str) -> None:
        self._build = build
        self._names = list(names)
        self._texts: dict[tuple[str, bool], str] = {}

    def first(self, connection: Connection, row: Row) -> Any:
        """Run it and return the first row as a tuple, or None."""
        return _driver(connection).execute(self._text(connection), row).fetchone()

    def all(self, connection: Connection, row: Row) -> list[Any]:
        """Run it and return all rows as tuples."""
        return list(_driver(connection).execute(self._text(connection), row).fetchall())

    def chunks(self, connection: Connection, row: Row, size: int) -> Iterator[list[Any]]:
        """Run it and yield its rows as tuples, ``size`` at a time."""
        driver, text = _driver(connection), self._text(connection)
        if connection.dialect.name == "sqlite":
            cursor = driver.execute(text, row)
        else:  # a server sends all of it at once but to a cursor that has a name there
            cursor = driver.cursor(name=f"chunks_{next(_cursors)}")
            cursor.execute(text, row)
        try:
            while found := cursor.fetchmany(size):
                yield found
        finally:
            cursor.close()

    def run(self, connection: Connection, row: Row) -> None:
        """Run it for one row."""
        _driver(connection).execute(self._text(connection), row)

    def many(self, connection: Connection, rows: Iterable[Row]) -> None:
        """Insert each row; no two of them may be in conflict where a conflict replaces what is there."""
        rows = rows if isinstance(rows, list) else list(rows)
        if len(rows) == 1:
            self.run(connection, rows[0])
        elif connection.dialect.name == "sqlite":
            _driver(connection).cursor().executemany(self._text(connection), rows)
        elif rows:
            arrays = [array_text(values) for values in zip(*rows, strict=True)]
            _driver(connection).execute(self._text(connection, of_many=True), arrays)

    def _text(self, connection: Connection, *, of_many: bool = False) -> str:
        dialect = connection.dialect
        text = self._texts.get((dialect.name, of_many))
        if text is None:
            statement: Any = self._build(dialect.name)
            keys = self._names if isinstance(statement, Insert) else None
            if of_many:
                statement, keys = insert_arrays(statement, self._names), None
            compiled = statement.compile(dialect=dialect, column_keys=keys)
            bound = list(compiled.positiontup or ())
            if bound != self._names:
                raise AssertionError(f"bound {bound}, declared {self._names}")
            text = self._texts[dialect.name, of_many] = str(compiled)
        return text


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection
