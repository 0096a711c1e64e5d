from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock.access.tokens import Access
from penstock.entities.attempt import Attempt, AttemptState
from penstock.entities.job import CommandJobSpec, Job, JobStatus
from penstock.jobs.attempts import AttemptReports
from penstock.jobs.logs import LiveLogs
from penstock.jobs.service import Jobs
from penstock.jobs.watch import Feed
from penstock.stores.blobs.local import LocalBlobStore
from penstock.stores.metadata import attempts, jobs
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore


@dataclass
class Shop:
    """The parts of jobs on a real store, without a compute."""

    store: SqliteMetadataStore
    blobs: LocalBlobStore
    logs: LiveLogs
    feed: Feed
    jobs: Jobs
    reports: AttemptReports
    wakes: list[int]

    def submit(self, **changes: Any) -> Job:
        return self.jobs.submit(CommandJobSpec.model_validate({"command": "true", **changes}), actor="ann")

    def begin(self, job: Job, *, preamble: int = 0) -> Attempt:
        """Do to the record what the scheduler does when it starts an attempt."""
        number = self.jobs.get(job.name).attempt + 1
        attempt = Attempt(
            attempt_id=f"{job.name}-{number}",
            job_name=job.name,
            number=number,
            state=AttemptState.STARTING,
            token_hash="0" * 64,
            log_offset=preamble,
        )

        def operation(connection: Any) -> None:
            attempts.create_attempt(connection, attempt)
            jobs.update_job(connection, job.name, status=JobStatus.STARTING, attempt=number)

        self.store.write(operation)
        return attempt


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    store = SqliteMetadataStore(tmp_path / "db" / "metadata.db")
    blobs = LocalBlobStore(tmp_path / "blobs")
    logs = LiveLogs(tmp_path / "logs")
    feed = Feed()
    clock = itertools.count(1_000_000_000_000).__next__
    ids = (f"{number:032x}" for number in itertools.count(1))
    wakes: list[int] = []
    access = Access(store, workspace_token="pst_w", internal_token="pst_i", now=clock)

    def wake() -> None:
        wakes.append(1)

    reports = AttemptReports(store, blobs, logs, feed, access, clock=clock, wake=wake, max_attempts=3)
    service = Jobs(store, blobs, logs, feed, clock=clock, wake=wake, new_id=ids.__next__)
    yield Shop(store, blobs, logs, feed, service, reports, wakes)
    store.close()
