"""Online endpoints and their deployments, in Azure ML's words."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from penstock.entities.asset import EnvironmentSpec, InlineModelSpec
from penstock.entities.base import Digest, EndpointName, Entity, EnvName, EnvValue, Tags, TimestampMs
from penstock.entities.image import ImagePreprocessing, Postprocessing

Percent = Annotated[int, Field(ge=0, le=100)]


class ProvisioningState(StrEnum):
    """Azure ML's states of an endpoint or deployment."""

    CREATING = "Creating"
    UPDATING = "Updating"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    DELETING = "Deleting"


class OnlineEndpointSpec(Entity):
    """What a user writes for an endpoint; ``traffic`` sums to 0 or 100."""

    ignored_keys: ClassVar[frozenset[str]] = frozenset(
        {"id", "scoring_uri", "openapi_uri", "location", "provisioning_state", "kind", "compute"}
    )

    schema_: str | None = Field(default=None, alias="$schema")
    name: EndpointName
    auth_mode: Literal["key", "aml_token", "aad_token"] = "key"
    description: str | None = None
    tags: Tags = Field(default_factory=dict)
    properties: dict[str, str] = Field(default_factory=dict)
    traffic: dict[str, Percent] = Field(default_factory=dict)
    mirror_traffic: dict[str, Percent] = Field(default_factory=dict)
    public_network_access: str | None = None
    identity: dict[str, Any] | None = None


class CodeConfiguration(Entity):
    """The folder with the scoring script; in a closed spec ``code`` is ``tree:<sha256>``."""

    code: str
    scoring_script: str


class Probe(Entity):
    """Azure ML's probe settings, in seconds and counts; kept for round trips."""

    period: int = 10
    initial_delay: int = 10
    timeout: int = 2
    success_threshold: int = 1
    failure_threshold: int = 30


class RequestSettings(Entity):
    """Limits of one deployment's requests."""

    request_timeout_ms: int = Field(default=5000, ge=1)
    max_concurrent_requests_per_instance: int = Field(default=1, ge=1)
    max_queue_wait_ms: int = Field(default=500, ge=0)


class OnlineDeploymentSpec(Entity):
    """What a user writes for a deployment.

    ``model`` is ``azureml:name:version``, ``azureml:name@latest`` or an inline model; a closed spec always
    holds an exact reference.
    """

    ignored_keys: ClassVar[frozenset[str]] = frozenset({"id", "provisioning_state", "creation_context"})

    schema_: str | None = Field(default=None, alias="$schema")
    name: EndpointName
    endpoint_name: EndpointName
    type: Literal["managed", "kubernetes"] | None = None
    model: str | InlineModelSpec | None = None
    code_configuration: CodeConfiguration | None = None
    environment: EnvironmentSpec | str | None = None
    environment_variables: dict[EnvName, EnvValue] = Field(default_factory=dict)
    preprocessing: ImagePreprocessing | None = None
    postprocessing: Postprocessing | None = None
    instance_type: str | None = None
    instance_count: int = Field(default=1, ge=1)
    request_settings: RequestSettings = Field(default_factory=RequestSettings)
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    scale_settings: dict[str, Any] | None = None
    resources: dict[str, Any] | None = None
    model_mount_path: str | None = None
    data_collector: dict[str, Any] | None = None
    app_insights_enabled: bool | None = None
    private_network_connection: bool | None = None
    egress_public_network_access: str | None = None
    description: str | None = None
    tags: Tags = Field(default_factory=dict)
    properties: dict[str, str] = Field(default_factory=dict)


class OnlineEndpoint(Entity):
    """An endpoint as the server answers it; keys are only in ``get-credentials``.

    ``warnings`` say what its spec asks for that has no effect here.
    """

    name: EndpointName
    spec: OnlineEndpointSpec
    provisioning_state: ProvisioningState
    traffic: dict[str, int] = Field(default_factory=dict)
    scoring_uri: str
    created_at: TimestampMs
    created_by: str
    revision: int
    warnings: tuple[str, ...] = ()


class ReadyRevision(Entity):
    """The last revision of a deployment that was ready: what answers again if the one after it fails."""

    revision: int
    spec: OnlineDeploymentSpec
    model: str | None = None
    model_tree: Digest | None = None
    model_name: str | None = None


class OnlineDeployment(Entity):
    """A deployment as the server answers it; ``revision`` grows with every update.

    ``warnings`` say what its spec asks for that has no effect here; ``last_ready`` is the ready revision before it.
    ``model_name`` is the folder (or file) that ``AZUREML_MODEL_DIR`` contains, the same whatever is renamed later.
    """

    name: EndpointName
    endpoint_name: EndpointName
    spec: OnlineDeploymentSpec
    provisioning_state: ProvisioningState
    revision: int
    ready_revision: int = 0
    last_ready: ReadyRevision | None = None
    model: str | None = None
    model_tree: Digest | None = None
    model_name: str | None = None
    message: str = ""
    warnings: tuple[str, ...] = ()
    created_at: TimestampMs
    updated_at: TimestampMs
    ready_at: TimestampMs | None = None


class EndpointKeys(Entity):
    """The two keys of an endpoint."""

    primary_key: str
    secondary_key: str
