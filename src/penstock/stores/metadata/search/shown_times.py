"""Times in statements as they are shown: a number that has no date counts as the nearest that has one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, case

from penstock.rules.instants import EARLIEST_MS, LATEST_MS


def span(begin: ColumnElement[int], end: ColumnElement[int]) -> ColumnElement[Any]:
    """Return ms between two columns; the difference of what they hold may be no 64-bit number."""
    return _shown(end) - _shown(begin)


def _shown(column: ColumnElement[int]) -> ColumnElement[Any]:
    return case((column > LATEST_MS, LATEST_MS), (column < EARLIEST_MS, EARLIEST_MS), else_=column)
