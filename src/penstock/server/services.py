"""What the doors need of the house: one record of services, handed in by the composition root.

Except for ``Feed.wait`` the services are plain synchronous code that the doors run in threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from penstock.access.tokens import Access
from penstock.assets.registry import Registry
from penstock.entities.settings import Settings
from penstock.jobs.attempts import AttemptReports
from penstock.jobs.computes import LocalComputes
from penstock.jobs.service import Jobs
from penstock.jobs.watch import Feed
from penstock.server.closing import Closing
from penstock.server.readers.pool import Readers
from penstock.serving.endpoints import Endpoints
from penstock.stores.blobs.base import BlobStore
from penstock.stores.metadata.base import MetadataStore


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the doors may ask.

    Parameters
    ----------
    readers : Readers
        Asks the same store what takes long.
    now : callable
        Returns milliseconds since 1970-01-01 UTC.
    new_id : callable
        Returns 32 random hex digits.
    bound_hosts : tuple of str
        The addresses the listening sockets are bound to; requests may name them as Host.
    closing : Closing
        Told by whoever runs the server, before it waits for open connections, that it stops.
    scratch : Path, optional
        The workspace's folder for large files that are made to be sent.
    """

    store: MetadataStore
    readers: Readers
    blobs: BlobStore
    access: Access
    jobs: Jobs
    attempts: AttemptReports
    assets: Registry
    endpoints: Endpoints
    computes: LocalComputes
    feed: Feed
    settings: Settings
    now: Callable[[], int]
    new_id: Callable[[], str]
    bound_hosts: tuple[str, ...] = ()
    closing: Closing = field(default_factory=Closing)
    scratch: Path | None = None
    version: str = "0.1.0"
    features: tuple[str, ...] = field(
        default=("jobs", "runs", "models", "data", "environments", "online-endpoints", "mlflow-tracking")
    )
