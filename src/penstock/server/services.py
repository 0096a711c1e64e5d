"""What the doors need of the house: one record of services, handed in by the composition root.

The protocols below say which part of each service a door calls; the services themselves live on lower floors.
Except for ``Feed.wait`` they are plain synchronous code that the doors run in threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from penstock.access.tokens import Access
from penstock.entities.asset import AssetKind, AssetVersion, DataSpec, EnvironmentSpec, ModelSpec, Tree
from penstock.entities.compute import Compute
from penstock.entities.endpoint import (
    EndpointKeys,
    OnlineDeployment,
    OnlineDeploymentSpec,
    OnlineEndpoint,
    OnlineEndpointSpec,
)
from penstock.entities.job import CommandJobSpec, Job, JobStatus
from penstock.entities.settings import Settings
from penstock.stores.blobs.base import BlobStore
from penstock.stores.metadata.base import MetadataStore


class Jobs(Protocol):
    """Submit, find, cancel jobs and read their logs."""

    def submit(self, spec: CommandJobSpec, *, actor: str) -> Job: ...
    def get(self, reference: str) -> Job: ...
    def list(
        self,
        *,
        statuses: Sequence[JobStatus] | None = None,
        experiment_name: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> list[Job]: ...
    def cancel(self, reference: str, *, actor: str) -> Job: ...
    def read_log(self, name: str, offset: int, limit: int = 1 << 20) -> tuple[bytes, int]: ...


class AttemptReports(Protocol):
    """Take what agents say of their attempts."""

    def report(self, attempt_id: str, payload: dict[str, Any]) -> dict[str, Any]: ...
    def finish(self, attempt_id: str, payload: dict[str, Any]) -> dict[str, Any]: ...


class Assets(Protocol):
    """Register, find and retire versioned assets."""

    def create(
        self, kind: AssetKind, spec: ModelSpec | DataSpec | EnvironmentSpec, *, actor: str
    ) -> AssetVersion: ...
    def get(self, kind: AssetKind, name: str, version: str | None = None) -> AssetVersion: ...
    def list(self, kind: AssetKind, *, limit: int, after: str | None = None) -> list[AssetVersion]: ...
    def versions(
        self, kind: AssetKind, name: str, *, limit: int, after: str | None = None
    ) -> list[AssetVersion]: ...
    def tree(self, asset: AssetVersion) -> Tree: ...
    def set_archived(
        self, kind: AssetKind, name: str, version: str, is_archived: bool, *, actor: str
    ) -> AssetVersion: ...
    def delete(self, kind: AssetKind, name: str, version: str, *, actor: str) -> None: ...


class Endpoints(Protocol):
    """Change endpoints and deployments; hand the gateway what it should run."""

    def put_endpoint(self, spec: OnlineEndpointSpec, *, actor: str) -> OnlineEndpoint: ...
    def get_endpoint(self, name: str) -> OnlineEndpoint: ...
    def list_endpoints(self) -> list[OnlineEndpoint]: ...
    def delete_endpoint(self, name: str, *, actor: str) -> None: ...
    def set_traffic(self, name: str, traffic: Mapping[str, int], *, actor: str) -> OnlineEndpoint: ...
    def credentials(self, name: str) -> EndpointKeys: ...
    def rotate_key(self, name: str, key_type: str, *, actor: str) -> EndpointKeys: ...
    def put_deployment(self, spec: OnlineDeploymentSpec, *, actor: str) -> OnlineDeployment: ...
    def get_deployment(self, endpoint: str, name: str) -> OnlineDeployment: ...
    def list_deployments(self, endpoint: str) -> list[OnlineDeployment]: ...
    def delete_deployment(self, endpoint: str, name: str, *, actor: str) -> None: ...
    def read_log(self, endpoint: str, name: str, lines: int) -> str: ...
    def desired(self) -> dict[str, Any]: ...
    def apply_status(self, status: dict[str, Any]) -> None: ...


class Computes(Protocol):
    """Say what jobs can run on."""

    def list(self) -> list[Compute]: ...


class Feed(Protocol):
    """Counters by topic: ``job:<name>``, ``serving``, ``endpoint:<name>``."""

    def counter(self, topic: str) -> int: ...
    def notify(self, topic: str) -> None: ...
    async def wait(self, topic: str, seen: int, timeout_s: float) -> int: ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the doors may ask.

    Parameters
    ----------
    now : callable
        Returns milliseconds since 1970-01-01 UTC.
    new_id : callable
        Returns 32 random hex digits.
    bound_hosts : tuple of str
        The addresses the listening sockets are bound to; requests may name them as Host.
    """

    store: MetadataStore
    blobs: BlobStore
    access: Access
    jobs: Jobs
    attempts: AttemptReports
    assets: Assets
    endpoints: Endpoints
    computes: Computes
    feed: Feed
    settings: Settings
    now: Callable[[], int]
    new_id: Callable[[], str]
    bound_hosts: tuple[str, ...] = ()
    version: str = "0.1.0"
    features: tuple[str, ...] = field(
        default=("jobs", "runs", "models", "data", "environments", "online-endpoints", "mlflow-tracking")
    )
