"""The one place where a job changes its status: checked, and its run with it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from penstock.entities.job import Job, JobStatus
from penstock.rules import lifecycle
from penstock.stores.metadata import jobs, runs


def move(connection: Connection, job: Job, status: JobStatus, *, now: int, **changes: Any) -> Job:
    """Give a job its next status, in the open transaction, and its run the one MLflow has for it.

    Parameters
    ----------
    now : int
        Milliseconds since 1970-01-01 UTC; the end of the run where the status is final.
    changes
        Further columns of the job.

    Raises
    ------
    ConflictError
        If a job may not go from its status to this one.
    """
    lifecycle.check_transition(job.status, status, ref=f"job:{job.name}")
    is_end = lifecycle.is_terminal(status)
    runs.update_run(connection, job.name, status=lifecycle.run_status(status), end_time=now if is_end else None)
    if is_end:
        changes["ended_at"] = now
    return jobs.update_job(connection, job.name, status=status, **changes)
