"""Attempts: one row a try at running a job's process, with the offsets of what was reported of it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from penstock.entities.attempt import Attempt, AttemptState
from penstock.entities.errors import ConflictError, NotFoundError
from penstock.stores.metadata.runs import start_attempt
from penstock.stores.metadata.tables import attempts

_FIELDS = tuple(field.name for field in fields(Attempt))
_LIVE = tuple(state.value for state in AttemptState if not state.is_final)


def create_attempt(connection: Connection, attempt: Attempt) -> None:
    """Record an attempt of an existing job; the metrics of its earlier attempts stop to count.

    Raises
    ------
    ConflictError
        If the job has an attempt of that number.
    """
    taken = select(attempts.c.attempt_id).where(
        attempts.c.job_name == attempt.job_name, attempts.c.number == attempt.number
    )
    if connection.execute(taken).first() is not None:
        raise ConflictError(
            f"job {attempt.job_name} has an attempt {attempt.number} already", ref=f"job:{attempt.job_name}"
        )
    connection.execute(insert(attempts).values(**_values(attempt)))
    start_attempt(connection, attempt.job_name, attempt.number)


def get_attempt(connection: Connection, attempt_id: str) -> Attempt:
    """Return an attempt.

    Raises
    ------
    NotFoundError
        If there is none with that id.
    """
    found = find_attempt(connection, attempt_id)
    if found is None:
        raise NotFoundError(f'no attempt "{attempt_id}"', ref=f"attempt:{attempt_id}")
    return found


def find_attempt(connection: Connection, attempt_id: str) -> Attempt | None:
    """Return an attempt, or None."""
    row = connection.execute(select(attempts).where(attempts.c.attempt_id == attempt_id)).one_or_none()
    return None if row is None else _attempt(row)


def list_attempts(connection: Connection, job_name: str) -> list[Attempt]:
    """Return the attempts of a job, first to last."""
    statement = select(attempts).where(attempts.c.job_name == job_name).order_by(attempts.c.number)
    return [_attempt(row) for row in connection.execute(statement)]


def list_live_attempts(connection: Connection) -> list[Attempt]:
    """Return every attempt that is not in a final state, oldest first."""
    statement = (
        select(attempts).where(attempts.c.state.in_(_LIVE)).order_by(attempts.c.created_at, attempts.c.attempt_id)
    )
    return [_attempt(row) for row in connection.execute(statement)]


def update_attempt(connection: Connection, attempt_id: str, /, **changes: Any) -> Attempt:
    """Change fields of an attempt and return it; its id, job and number never change."""
    attempt = replace(get_attempt(connection, attempt_id), **changes)
    if changes.keys() & {"attempt_id", "job_name", "number"}:
        raise TypeError("an attempt's id, job and number cannot be changed")
    values = _values(attempt)
    if changes:
        statement = update(attempts).where(attempts.c.attempt_id == attempt_id)
        connection.execute(statement.values(**{name: values[name] for name in changes}))
    return attempt


def _values(attempt: Attempt) -> dict[str, Any]:
    return {**{name: getattr(attempt, name) for name in _FIELDS}, "state": str(attempt.state)}


def _attempt(row: Row[Any]) -> Attempt:
    values = {name: getattr(row, name) for name in _FIELDS}
    return Attempt(**{**values, "state": AttemptState(row.state)})
