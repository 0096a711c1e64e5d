"""What jobs can run on, and how busy it is."""

from __future__ import annotations

import os

from penstock.entities.compute import Compute
from penstock.entities.job import JobStatus
from penstock.jobs.kinds.command import LOCAL_COMPUTE
from penstock.stores.metadata import attempts, jobs
from penstock.stores.metadata.base import MetadataStore


class LocalComputes:
    """The machine the server runs on, as the one compute.

    Parameters
    ----------
    store : MetadataStore
        Where jobs and attempts are recorded.
    slots : int
        Jobs that run at the same time.
    """

    def __init__(self, store: MetadataStore, slots: int) -> None:
        self._store = store
        self._slots = slots

    def list(self) -> list[Compute]:
        """Return every compute with what runs and what waits on it."""
        with self._store.read() as connection:
            running = len(attempts.list_live_attempts(connection))
            queued = sum(job.status is JobStatus.QUEUED for job in jobs.list_unfinished_jobs(connection))
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return [
            Compute(
                name=LOCAL_COMPUTE,
                slots=self._slots,
                running=running,
                queued=queued,
                cpus=os.cpu_count() or 1,
                memory_bytes=memory,
            )
        ]
