"""Sets of row ids, into a statement and out of one, as one value each.

A statement that returns 50,000 rows costs ten times what it costs to find them: each is made a tuple, and each asks
for the interpreter's lock again. As one JSON array they come in a single step, during which other threads run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ARRAY, BigInteger, ColumnElement, Connection, Select, Text, any_, bindparam, column, func, select

_decode = msgspec.json.Decoder(list[int]).decode


def in_rows(dialect: str, rows: ColumnElement[Any], name: str = "rows") -> ColumnElement[bool]:
    """Return the condition that a column is in a set of rows, which is bound under ``name``."""
    if dialect == "sqlite":
        # A subquery of its own: json_each takes its array where the set begins, not once for each row.
        return rows.in_(select(column("value")).select_from(func.json_each(bindparam(name, type_=Text()))))
    return rows == any_(bindparam(name, type_=ARRAY(BigInteger())))


def bind_rows(dialect: str, rows: Sequence[int]) -> Any:
    """Return what is bound for a set of rows."""
    return msgspec.json.encode(rows).decode() if dialect == "sqlite" else list(rows)


def fetch_rows(connection: Connection, statement: Select[Any], **bound: Any) -> list[int]:
    """Run a statement of one column of row ids and return them in its order."""
    if connection.dialect.name != "sqlite":
        return list(connection.execute(statement, bound).scalars())
    inner = statement.subquery()
    found = connection.execute(select(func.json_group_array(inner.c[0], type_=Text())), bound).scalar_one()
    return _decode(found)
