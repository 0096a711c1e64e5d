"""Sets of row ids, into a statement and out of one, as one value each.

A statement that returns 50,000 rows costs ten times what it costs to find them: each is made a tuple, and each asks
for the interpreter's lock again. As one JSON array they come in a single step, during which other threads run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    Select,
    String,
    Text,
    UnaryExpression,
    any_,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.sql import operators

_FEW = 500
_decode = msgspec.json.Decoder(list[int]).decode


def in_rows(dialect: str, rows: ColumnElement[Any], name: str = "rows") -> ColumnElement[bool]:
    """Return the condition that a column is in a set of rows, which is bound under ``name``."""
    if dialect == "sqlite":
        # A subquery of its own: json_each takes its array where the set begins, not once for each row.
        return rows.in_(select(column("value")).select_from(func.json_each(bindparam(name, type_=Text()))))
    return rows == any_(bindparam(name, type_=ARRAY(BigInteger())))


def among(dialect: str, column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that a column holds one of some numbers or texts, however many they are.

    Each one bound by itself, a server takes 65,535 of them; as one array or JSON text they are one value.
    """
    if dialect != "sqlite":
        kind: Any = BigInteger()
        if isinstance(column.type, String):
            kind = Text()
        elif any(isinstance(value, float) for value in values):
            kind = Double()
        found: ColumnElement[bool] = column == any_(bindparam(None, list(values), type_=ARRAY(kind), unique=True))
        return found
    if len(values) <= _FEW or any(isinstance(value, float) for value in values):  # JSON has no infinity
        return column.in_(values)
    text = bindparam(None, msgspec.json.encode(values).decode(), type_=Text(), unique=True)
    # The plus keeps indexes out: two such sets in one would be tried in every combination.
    plain: ColumnElement[Any] = UnaryExpression(column, operator=operators.custom_op("+"), type_=column.type)
    return plain.in_(select(func.json_each(text).table_valued("value").c.value))


def bind_rows(dialect: str, rows: Sequence[int]) -> Any:
    """Return what is bound for a set of rows."""
    return msgspec.json.encode(rows).decode() if dialect == "sqlite" else list(rows)


def fetch_rows(connection: Connection, statement: Select[Any], **bound: Any) -> list[int]:
    """Run a statement of one column of row ids and return them in its order."""
    rows = statement.subquery().c[0]
    if connection.dialect.name == "sqlite":
        together: Any = func.json_group_array(rows, type_=Text())
    else:
        together = cast(func.array_to_json(func.array_agg(rows)), Text)
    found = connection.execute(select(together), bound).scalar_one()
    return [] if found is None else _decode(found)
