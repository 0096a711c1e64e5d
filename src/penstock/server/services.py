"""What the doors need of the house: one record of services, handed in by the composition root.

Except for ``Feed.wait`` the services are plain synchronous code that the doors run in threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from penstock.access.tokens import Access
from penstock.assets.registry import Registry
from penstock.entities.compute import Compute
from penstock.entities.endpoint import (
    EndpointKeys,
    OnlineDeployment,
    OnlineDeploymentSpec,
    OnlineEndpoint,
    OnlineEndpointSpec,
)
from penstock.entities.settings import Settings
from penstock.jobs.service import Jobs
from penstock.jobs.watch import Feed
from penstock.stores.blobs.base import BlobStore
from penstock.stores.metadata.base import MetadataStore


class AttemptReports(Protocol):
    """Takes what agents say of their attempts."""

    def report(self, attempt_id: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Apply one report of a running attempt and say what the agent should do."""
        ...

    def finish(self, attempt_id: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Apply the last report of an attempt; idempotent."""
        ...


class Endpoints(Protocol):
    """Changes endpoints and deployments; hands the gateway what it should run."""

    def put_endpoint(self, spec: OnlineEndpointSpec, *, actor: str) -> OnlineEndpoint:
        """Create or replace an endpoint."""
        ...

    def get_endpoint(self, name: str) -> OnlineEndpoint:
        """Return one endpoint."""
        ...

    def list_endpoints(self) -> Sequence[OnlineEndpoint]:
        """Return all endpoints by name."""
        ...

    def delete_endpoint(self, name: str, *, actor: str) -> None:
        """Delete an endpoint with its deployments."""
        ...

    def set_traffic(self, name: str, traffic: Mapping[str, int], *, actor: str) -> OnlineEndpoint:
        """Set the split over deployments."""
        ...

    def credentials(self, name: str) -> EndpointKeys:
        """Return both keys."""
        ...

    def rotate_key(self, name: str, key_type: str, *, actor: str) -> EndpointKeys:
        """Replace one key and return both."""
        ...

    def put_deployment(self, spec: OnlineDeploymentSpec, *, actor: str) -> OnlineDeployment:
        """Create or update a deployment."""
        ...

    def get_deployment(self, endpoint: str, name: str) -> OnlineDeployment:
        """Return one deployment."""
        ...

    def list_deployments(self, endpoint: str) -> Sequence[OnlineDeployment]:
        """Return an endpoint's deployments by name."""
        ...

    def delete_deployment(self, endpoint: str, name: str, *, actor: str) -> None:
        """Delete a deployment."""
        ...

    def read_log(self, endpoint: str, name: str, lines: int) -> str:
        """Return the last lines a deployment's processes wrote."""
        ...

    def desired(self) -> dict[str, Any]:
        """Return what the gateway should run, with its ``revision``."""
        ...

    def apply_status(self, status: dict[str, Any]) -> None:
        """Record what the gateway says of one deployment."""
        ...


class Computes(Protocol):
    """Says what jobs can run on."""

    def list(self) -> Sequence[Compute]:
        """Return the compute targets."""
        ...


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
    assets: Registry
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
