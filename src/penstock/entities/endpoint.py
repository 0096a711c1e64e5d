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


class RolloutSpec(Entity):
    """How a new version gets its traffic: step by step, back to none if it fails more often or is slower.

    A step ends after ``requests`` of the new version or after ``time`` seconds, whichever is first; without both, after
    200 requests.
    """

    to: EndpointName
    steps: tuple[Annotated[int, Field(ge=1, le=100)], ...] = Field(default=(10, 50, 100), min_length=1, max_length=20)
    requests: int | None = Field(default=None, ge=1)
    time: float | None = Field(default=None, gt=0)
    latency_factor: float = Field(default=2.0, ge=1, le=100)


class RolloutState(StrEnum):
    """Where a progressive release is."""

    RUNNING = "Running"
    PAUSED = "Paused"
    SUCCEEDED = "Succeeded"
    ROLLED_BACK = "RolledBack"
    ABORTED = "Aborted"

    @property
    def is_over(self) -> bool:
        """Return whether nothing more happens."""
        return self not in (RolloutState.RUNNING, RolloutState.PAUSED)


class RolloutDecision(Entity):
    """What the gateway decided, and the numbers it saw; ``percent`` is what the new version gets since."""

    at: TimestampMs
    action: Literal["advance", "finish", "roll-back"]
    percent: int
    reason: str = ""
    p_value: float = 1.0
    requests: int = 0
    failures: int = 0
    old_requests: int = 0
    old_failures: int = 0


class Rollout(Entity):
    """A progressive release as the server answers it.

    ``base`` is the split it began with, without the new version, and what a bad one goes back to; ``revision`` is the
    deployment's when it began. ``requests`` and the like are those the split chose, as the gateway last told.
    """

    number: int
    spec: RolloutSpec
    revision: int
    base: dict[str, int]
    state: RolloutState = RolloutState.RUNNING
    step: int = 0
    percent: int
    message: str = ""
    requests: int = 0
    failures: int = 0
    old_requests: int = 0
    old_failures: int = 0
    decisions: tuple[RolloutDecision, ...] = ()
    started_at: TimestampMs
    started_by: str
    updated_at: TimestampMs


class Mirrored(Entity):
    """What became of copied requests: ``dropped`` ones were not sent because too many were under way."""

    to: str
    copies: int = 0
    failures: int = 0
    dropped: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None


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
    rollout: RolloutSpec | None = None
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
    max_queue_wait_ms: int | None = Field(default=None, ge=0)


class Batching(Entity):
    """Whether requests that wait for an ONNX model travel together, and how many at most.

    Without ``enabled`` what was measured when the model was loaded decides.
    """

    enabled: bool | None = None
    max_batch_size: int = Field(default=16, ge=2, le=1024)


class ScaleSettings(Entity):
    """How many instances: ``default`` keeps ``instance_count``, ``target_utilization`` follows the requests.

    ``scale_down_delay`` is ours: seconds for which fewer instances must have done before one is ended.
    """

    type: Literal["default", "target_utilization"] = "default"
    min_instances: int = Field(default=1, ge=0)
    max_instances: int = Field(default=1, ge=1)
    target_utilization_percentage: int = Field(default=70, ge=1, le=100)
    polling_interval: float = Field(default=1.0, gt=0)
    scale_down_delay: float = Field(default=60.0, ge=0)


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
    onnx_conversion: Literal["auto", "never", "required"] = "auto"
    instance_type: str | None = None
    instance_count: int = Field(default=1, ge=1)
    request_settings: RequestSettings = Field(default_factory=RequestSettings)
    batching: Batching | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    scale_settings: ScaleSettings | None = None
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

    ``openapi_uri`` describes what is behind ``scoring_uri``. ``warnings`` say what its spec asks for that has no effect
    here.
    """

    name: EndpointName
    spec: OnlineEndpointSpec
    provisioning_state: ProvisioningState
    traffic: dict[str, int] = Field(default_factory=dict)
    mirror_traffic: dict[str, int] = Field(default_factory=dict)
    rollout: Rollout | None = None
    mirrored: Mirrored | None = None
    scoring_uri: str
    openapi_uri: str = ""
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
    ``runtime`` is what answers (``onnx``, ``script``, ``mlflow``) and ``conversion`` what came of making an ONNX model
    of a scikit-learn one, once that is known.
    ``model_name`` is the folder (or file) that ``AZUREML_MODEL_DIR`` contains, the same whatever is renamed later.
    ``measured`` says where the model runs and what was found when it was loaded: its run time, what a batch gives.
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
    runtime: str = ""
    conversion: dict[str, Any] | None = None
    message: str = ""
    warnings: tuple[str, ...] = ()
    created_at: TimestampMs
    updated_at: TimestampMs
    ready_at: TimestampMs | None = None
    measured: dict[str, Any] = Field(default_factory=dict)


class EndpointKeys(Entity):
    """The two keys of an endpoint."""

    primary_key: str
    secondary_key: str
