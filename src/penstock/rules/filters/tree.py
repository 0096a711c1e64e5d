"""What a parsed filter is: comparisons joined by and, or, not.

Two grammars are read into it: MLflow's (:mod:`penstock.rules.filters.mlflow`) and our own. How a comparison treats
a record that lacks the key is one rule for both, MLflow's: every comparison but ``IS NULL`` fails on it, so does
``!=``; ``not`` turns the outcome round.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Scope(StrEnum):
    """What a name in a filter belongs to."""

    ATTRIBUTE = "attribute"
    METRIC = "metric"
    PARAM = "param"
    TAG = "tag"
    DATASET = "dataset"


class Op(StrEnum):
    """How a value is compared; text compares bytewise, case-sensitively."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    LIKE = "LIKE"
    ILIKE = "ILIKE"
    IN = "IN"
    NOT_IN = "NOT IN"
    IS_NULL = "IS NULL"
    IS_NOT_NULL = "IS NOT NULL"
    MATCHES = "MATCHES"


Value: TypeAlias = "str | int | float | tuple[str, ...] | tuple[float, ...] | None"


@dataclass(frozen=True, slots=True)
class Field:
    """One thing a record can be compared or ordered by; attributes are named as MLflow names them."""

    scope: Scope
    key: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field against a value; ``IS NULL`` and ``IS NOT NULL`` have none."""

    field: Field
    op: Op
    value: Value = None


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of them."""

    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    item: Condition


Condition: TypeAlias = Comparison | And | Or | Not


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One key of an order; NaN comes after all numbers and what is missing after NaN, in both directions."""

    field: Field
    is_descending: bool = False
