"""Jobs: the spec as it was sent, and what became of it. A job's run row exists before it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from penstock.entities.errors import ConflictError, NotFoundError
from penstock.entities.job import CommandJobSpec, Job, JobStatus
from penstock.stores.metadata.attempts import (
    create_attempt,
    find_attempt,
    get_attempt,
    list_attempts,
    list_live_attempts,
    update_attempt,
)
from penstock.stores.metadata.tables import jobs

__all__ = [
    "create_attempt",
    "create_job",
    "find_attempt",
    "find_job",
    "find_jobs_by_prefix",
    "get_attempt",
    "get_job",
    "list_attempts",
    "list_jobs",
    "list_live_attempts",
    "list_unfinished_jobs",
    "update_attempt",
    "update_job",
]

_FINAL = (JobStatus.COMPLETED.value, JobStatus.FAILED.value, JobStatus.CANCELED.value)
_UNFINISHED = tuple(status.value for status in JobStatus if status.value not in _FINAL)
_COLUMNS = ("display_name", "experiment_name", "status", "started_at", "ended_at", "attempt", "compute")
_STATE = {"tags", "error", "outputs", "warnings"}


def create_job(connection: Connection, job: Job) -> None:
    """Record a job.

    Raises
    ------
    ConflictError
        If there is one of that name.
    """
    if find_job(connection, job.name) is not None:
        raise ConflictError(
            f"a job {job.name} exists already", hint="Choose another name, or leave it out.", ref=f"job:{job.name}"
        )
    connection.execute(
        insert(jobs).values(
            name=job.name,
            type=job.type,
            created_at=job.created_at,
            created_by=job.created_by,
            spec=job.spec.model_dump_json(by_alias=True, exclude_none=True),
            **_changing(job),
        )
    )


def get_job(connection: Connection, name: str) -> Job:
    """Return a job.

    Raises
    ------
    NotFoundError
        If there is none of that name.
    """
    found = find_job(connection, name)
    if found is None:
        raise NotFoundError(f'no job "{name}"', hint="List them with: penstock job list", ref=f"job:{name}")
    return found


def find_job(connection: Connection, name: str) -> Job | None:
    """Return a job, or None."""
    row = connection.execute(select(jobs).where(jobs.c.name == name)).one_or_none()
    return None if row is None else _job(row)


def find_jobs_by_prefix(connection: Connection, prefix: str, limit: int = 3) -> list[Job]:
    """Return jobs whose name starts with ``prefix``, sorted by name, so that an exact match comes first."""
    if not prefix:
        return []
    beyond = prefix[:-1] + chr(min(ord(prefix[-1]) + 1, 0x10FFFF))
    if not beyond.isascii():  # names are ASCII, and surrogates are no text
        return []
    statement = select(jobs).where(jobs.c.name >= prefix, jobs.c.name < beyond).order_by(jobs.c.name).limit(limit)
    return [_job(row) for row in connection.execute(statement)]


def list_jobs(
    connection: Connection,
    *,
    statuses: Sequence[JobStatus] | None = None,
    experiment_name: str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> list[Job]:
    """Return jobs, last created first.

    Parameters
    ----------
    after : str, optional
        The name of the last job of the page before.

    Raises
    ------
    NotFoundError
        If ``after`` names no job.
    """
    statement = select(jobs).order_by(jobs.c.id.desc()).limit(limit)
    if statuses is not None:
        statement = statement.where(jobs.c.status.in_([str(status) for status in statuses]))
    if experiment_name is not None:
        statement = statement.where(jobs.c.experiment_name == experiment_name)
    if after is not None:
        row = connection.execute(select(jobs.c.id).where(jobs.c.name == after)).scalar_one_or_none()
        if row is None:
            raise NotFoundError(f'no job "{after}" to continue after', ref=f"job:{after}")
        statement = statement.where(jobs.c.id < row)
    return [_job(row) for row in connection.execute(statement)]


def list_unfinished_jobs(connection: Connection) -> list[Job]:
    """Return all jobs that have not ended, first created first."""
    statement = select(jobs).where(jobs.c.status.in_(_UNFINISHED)).order_by(jobs.c.id)
    return [_job(row) for row in connection.execute(statement)]


def update_job(connection: Connection, name: str, /, **changes: Any) -> Job:
    """Change fields of a job and return it; its name, spec, type and creation never change.

    Parameters
    ----------
    **changes
        Fields of :class:`Job`: status, started_at, ended_at, attempt, error, outputs, warnings, display_name,
        experiment_name, compute, tags.
    """
    unknown = sorted(changes.keys() - {*_COLUMNS, *_STATE})
    if unknown:
        raise TypeError(f"a job's {', '.join(unknown)} cannot be changed")
    job = get_job(connection, name).model_copy(update=changes)
    connection.execute(update(jobs).where(jobs.c.name == name).values(**_changing(job)))
    return job


def _changing(job: Job) -> dict[str, Any]:
    state = job.model_dump_json(by_alias=True, exclude_none=True, include=_STATE)
    return {**{name: getattr(job, name) for name in _COLUMNS}, "status": str(job.status), "state": state}


def _job(row: Row[Any]) -> Job:
    columns = {name: getattr(row, name) for name in ("name", "type", "created_at", "created_by", *_COLUMNS)}
    spec = CommandJobSpec.model_validate_json(row.spec)
    return Job.model_validate({**columns, **json.loads(row.state), "spec": spec})
