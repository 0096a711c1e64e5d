"""What the parts of the metadata suite share: the store under test and a run to log to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from penstock.entities.job import CommandJobSpec, Job, JobStatus
from penstock.entities.run import RunStatus
from penstock.stores.metadata import jobs, runs
from penstock.stores.metadata.base import MetadataStore

_numbers = count(1)


class MetadataFixtures:
    """Fixtures of every part; a backend overrides ``open_store``."""

    @pytest.fixture
    def open_store(self) -> Callable[[], MetadataStore]:
        """Return a callable that opens the same, at first new, database each time it is called."""
        raise NotImplementedError("a backend's test class gives this fixture")

    @pytest.fixture
    def store(self, open_store: Callable[[], MetadataStore]) -> Iterator[MetadataStore]:
        """Return an open store, closed after the test."""
        store = open_store()
        yield store
        store.close()

    @pytest.fixture
    def run_id(self, store: MetadataStore) -> str:
        """Return the id of a fresh run."""
        return make_run(store)


def make_run(store: MetadataStore, **changes: Any) -> str:
    """Create a run and return its id."""
    run_id = f"run-{next(_numbers):06d}"
    fields: dict[str, Any] = {
        "run_id": run_id,
        "experiment_id": "0",
        "run_name": "calm_heron",
        "user_id": "ada",
        "status": RunStatus.RUNNING,
        "start_time": 1000,
        **changes,
    }
    return store.write(lambda c: runs.create_run(c, **fields)).run_id


def make_job(store: MetadataStore, name: str | None = None, **changes: Any) -> Job:
    """Create a job with its run and return it."""
    name = make_run(store) if name is None else make_run(store, run_id=name)
    fields: dict[str, Any] = {
        "name": name,
        "display_name": "calm_heron",
        "experiment_name": "Default",
        "status": JobStatus.QUEUED,
        "spec": CommandJobSpec.model_validate({"$schema": "s", "command": "true", "inputs": {"lr": 0.5, "on": True}}),
        "created_at": 5,
        "created_by": "ada",
        **changes,
    }
    job = Job(**fields)
    store.write(lambda c: jobs.create_job(c, job))
    return job
