r"""Regular expressions where the database has none of ours: its values are fetched and matched in this process.

PostgreSQL's own expressions are another language: some patterns of RE2 are an error there, and some, such as ``\b``,
mean something else. So each ``MATCHES`` is answered first, over the different values that the experiments have, and
stands in the filter as the list of those that fit, or that do not, whichever is shorter; both mean the same of a run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select

from penstock.entities.errors import UsageError
from penstock.entities.tags import RUN_NAME_TAG
from penstock.rules.filters.tree import And, Comparison, Condition, Field, Not, Op, Or, Scope
from penstock.stores.metadata.engine.patterns import check_pattern, compile_pattern
from penstock.stores.metadata.search.run_conditions import DATASET_COLUMNS, attribute
from penstock.stores.metadata.tables import datasets, params, run_datasets, runs, tags

MOST_CHARACTERS = 1 << 25
"""So much a list may hold; it is sent back to the server."""

_AT_ONCE = 2000
Within = Callable[[ColumnElement[int]], ColumnElement[bool]]


def answer_patterns(connection: Connection, where: Condition | None, within: Within) -> Condition | None:
    """Return a filter that means the same and has no ``MATCHES``.

    Parameters
    ----------
    where : Condition, optional
        The filter.
    within : callable
        Given a column that holds experiments' rows: the condition that it is one of those searched.

    Raises
    ------
    UsageError
        If a pattern is none, or both those values that fit and those that do not are too many to be listed.
    """
    return None if where is None else _answer(connection, where, within)


def _answer(connection: Connection, where: Condition, within: Within) -> Condition:
    match where:
        case And(items):
            return And(tuple(_answer(connection, item, within) for item in items))
        case Or(items):
            return Or(tuple(_answer(connection, item, within) for item in items))
        case Not(item):
            return Not(_answer(connection, item, within))
        case Comparison(field, Op.MATCHES, pattern):
            return _listed(connection, field, str(pattern), within)
    return where


def _listed(connection: Connection, field: Field, pattern: str, within: Within) -> Comparison:
    search = compile_pattern(check_pattern(pattern)).search
    fitting: list[str] | None = []
    others: list[str] | None = []
    lengths = [0, 0]
    with connection.execute(_values(field, within), execution_options={"yield_per": _AT_ONCE}) as found:
        for text in found.scalars():
            fits = search(text) is not None
            lengths[fits] += len(text)
            values = fitting if fits else others
            if values is None:
                continue
            values.append(text)
            if lengths[fits] > MOST_CHARACTERS:
                fitting, others = (None, others) if fits else (fitting, None)
                if fitting is None and others is None:
                    raise UsageError(
                        f'"{field.key[:200]}" has too many different values for a regular expression',
                        hint="Name experiments, or compare with = or LIKE.",
                    )
    if others is None or (fitting is not None and lengths[1] <= lengths[0]):
        assert fitting is not None
        return Comparison(field, Op.IN, tuple(fitting))
    return Comparison(field, Op.NOT_IN, tuple(others))


def _values(field: Field, within: Within) -> Select[Any]:
    """Return the statement that gives each value of a field once."""
    match field:
        case Field(Scope.DATASET, key):
            column: Any = DATASET_COLUMNS.get(key)
            if column is None:
                raise UsageError(f'datasets have no "{key}"', hint=f"They have {', '.join(DATASET_COLUMNS)}.")
            joined = run_datasets.join(datasets, datasets.c.id == run_datasets.c.dataset)
            statement = select(column).select_from(joined).where(within(datasets.c.experiment), column.is_not(None))
        case Field(Scope.ATTRIBUTE, key) if key != "run_name":
            column = attribute(key)
            statement = select(column).where(within(runs.c.experiment), column.is_not(None))
        case Field(Scope.PARAM | Scope.TAG | Scope.ATTRIBUTE, key):
            table = params if field.scope is Scope.PARAM else tags
            name = RUN_NAME_TAG if field.scope is Scope.ATTRIBUTE else key
            statement = select(table.c.value).where(within(table.c.experiment), table.c.key == name)
        case _:
            raise UsageError("numbers do not match regular expressions")
    return statement.distinct()
