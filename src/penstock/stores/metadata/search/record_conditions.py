"""Filter trees over records other than runs: their attributes are columns, their tags and params rows beside them.

What a comparison of a value means is said in one place, :mod:`penstock.stores.metadata.search.run_conditions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, String, and_, exists, false, not_, or_, select, true

from penstock.entities.errors import UsageError
from penstock.rules.filters.tree import And, Comparison, Condition, Not, Op, Or, OrderKey, Scope
from penstock.stores.metadata.search.run_conditions import bytewise, value_condition

Belongs = Callable[[str, Op, Any], ColumnElement[bool]]
"""Given a key, an operator and a value: the condition that a record has such a tag, param or metric."""


@dataclass(frozen=True, slots=True)
class Record:
    """What may be asked of one kind of record.

    Parameters
    ----------
    noun : str
        Its plural, for messages.
    dialect : str
        The backend's name, as SQLAlchemy says it.
    attributes : mapping
        Its attributes by their names in a filter.
    belongings : mapping
        How tags, params and metrics are looked up.
    """

    noun: str
    dialect: str
    attributes: Mapping[str, ColumnElement[Any]]
    belongings: Mapping[Scope, Belongs] = field(default_factory=dict)

    def condition(self, where: Condition | None) -> ColumnElement[bool]:
        """Return what a filter means; every comparison is true or false, never NULL.

        Raises
        ------
        UsageError
            If it speaks of something that such records do not have.
        """
        match where:
            case None:
                return true()
            case And(items):
                return and_(true(), *(self.condition(item) for item in items))
            case Or(items):
                return or_(false(), *(self.condition(item) for item in items))
            case Not(item):
                return not_(self.condition(item))
            case Comparison(subject, op, value):
                if subject.scope is Scope.ATTRIBUTE:
                    return self._attribute(subject.key, op, value)
                belongs = self.belongings.get(subject.scope)
                if belongs is None:
                    raise UsageError(f"{self.noun} have no {subject.scope}s")
                return belongs(subject.key, op, value)

    def order(self, keys: tuple[OrderKey, ...]) -> list[ColumnElement[Any]]:
        """Return an order by attributes; text sorts by its bytes, what is missing comes last."""
        found: list[ColumnElement[Any]] = []
        for key in keys:
            if key.field.scope is not Scope.ATTRIBUTE:
                raise UsageError(f"{self.noun} are not ordered by {key.field.scope}s")
            column = self._column(key.field.key)
            if isinstance(column.type, String):
                column = bytewise(column, self.dialect)
            found.append((column.desc() if key.is_descending else column.asc()).nulls_last())
        return found

    def pair(self, table: Any, which: ColumnElement[bool]) -> Belongs:
        """Return how a table of keys and values beside the records is asked; ``which`` joins it to the record."""

        def belongs(key: str, op: Op, value: Any) -> ColumnElement[bool]:
            wanted = select(1).select_from(table).where(which, table.c.key == key)
            if op in (Op.IS_NULL, Op.IS_NOT_NULL):
                return ~exists(wanted) if op is Op.IS_NULL else exists(wanted)
            return exists(wanted.where(value_condition(table.c.value, op, value, self.dialect)))

        return belongs

    def _attribute(self, key: str, op: Op, value: Any) -> ColumnElement[bool]:
        column = self._column(key)
        if op in (Op.IS_NULL, Op.IS_NOT_NULL):
            return column.is_(None) if op is Op.IS_NULL else column.is_not(None)
        return and_(column.is_not(None), value_condition(column, op, value, self.dialect))

    def _column(self, key: str) -> ColumnElement[Any]:
        column = self.attributes.get(key)
        if column is None:
            known = ", ".join(self.attributes)
            raise UsageError(f"Invalid attribute key '{key}' specified. Valid keys for {self.noun} are {known}")
        return column
