"""Jobs: what a user asks to run, and what the server makes of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar, Literal

from pydantic import Field

from penstock.entities.asset import EnvironmentSpec
from penstock.entities.base import (
    NO_NUL_PATTERN,
    Digest,
    Entity,
    EnvName,
    EnvValue,
    JobName,
    ParameterName,
    Tags,
    TimestampMs,
)

Scalar = str | bool | int | float
LiteralType = Literal["string", "integer", "number", "boolean"]
ContentType = Literal["uri_file", "uri_folder", "mltable", "custom_model", "mlflow_model", "triton_model"]
LITERAL_TYPES = frozenset({"string", "integer", "number", "boolean"})


class JobStatus(StrEnum):
    """Azure ML's job states, as its command line prints them."""

    NOT_STARTED = "NotStarted"
    QUEUED = "Queued"
    PREPARING = "Preparing"
    STARTING = "Starting"
    RUNNING = "Running"
    FINALIZING = "Finalizing"
    CANCEL_REQUESTED = "CancelRequested"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELED = "Canceled"
    NOT_RESPONDING = "NotResponding"


class InputSpec(Entity):
    """One input: a literal with a declared type, or something with a path.

    ``type`` may be left out: it is ``uri_folder`` where there is a path.

    In a closed spec ``path`` is ``azureml:name:version``, ``azureml://jobs/…``, ``http(s)://…`` or
    ``tree:<sha256>`` for uploaded local content.
    """

    ignored_keys: ClassVar[frozenset[str]] = frozenset({"datastore", "path_on_compute"})

    type: Literal[LiteralType, ContentType] = "uri_folder"
    path: str | None = None
    value: Scalar | None = None
    mode: Literal["ro_mount", "rw_mount", "download", "direct", "eval_mount", "eval_download"] | None = None
    description: str | None = None
    default: Scalar | None = None
    optional: bool | None = None


class OutputSpec(Entity):
    """One named output; the default is a folder that is uploaded when the command has ended."""

    type: ContentType = "uri_folder"
    path: str | None = None
    mode: Literal["rw_mount", "mount", "upload", "direct"] | None = None
    name: str | None = None
    version: str | None = None
    description: str | None = None


class JobLimits(Entity):
    """``limits.timeout``: seconds after which a running command is ended."""

    timeout: int | None = Field(default=None, gt=0)


class Resources(Entity):
    """What one job needs of its compute."""

    instance_count: int = Field(default=1, ge=1)
    max_instance_count: int | None = Field(default=None, ge=1)
    instance_type: str | list[str] | None = None
    locations: list[str] | None = None
    shm_size: str | None = None
    docker_args: str | list[str] | None = None
    properties: dict[str, Any] = Field(default_factory=dict)


class Distribution(Entity):
    """How a distributed job's processes are started; kept for round trips where one machine runs one process."""

    type: Literal["pytorch", "tensorflow", "mpi", "ray"]
    process_count_per_instance: int | None = Field(default=None, ge=1)
    parameter_server_count: int | None = Field(default=None, ge=0)
    worker_count: int | None = Field(default=None, ge=1)
    port: int | None = None
    address: str | None = None
    include_dashboard: bool | None = None
    dashboard_port: int | None = None
    head_node_additional_args: str | None = None
    worker_node_additional_args: str | None = None


class CommandJobSpec(Entity):
    """A ``type: command`` job in Azure ML CLI v2's words.

    ``code`` is a local path in a user's file and ``tree:<sha256>`` in a closed spec.
    """

    ignored_keys: ClassVar[frozenset[str]] = frozenset(
        {"id", "status", "creation_context", "log_files", "parameters", "parent_job_name"}
    )

    schema_: str | None = Field(default=None, alias="$schema")
    type: Literal["command"] = "command"
    name: JobName | None = None
    display_name: str | None = None
    experiment_name: str | None = None
    description: str | None = None
    command: str = Field(min_length=1, pattern=NO_NUL_PATTERN)
    code: str | None = None
    inputs: dict[ParameterName, InputSpec | Scalar] = Field(default_factory=dict)
    outputs: dict[ParameterName, OutputSpec | None] = Field(default_factory=dict)
    environment: EnvironmentSpec | str | None = None
    environment_variables: dict[EnvName, EnvValue] = Field(default_factory=dict)
    compute: str | None = None
    tags: Tags = Field(default_factory=dict)
    properties: dict[str, str] = Field(default_factory=dict)
    limits: JobLimits | None = None
    resources: Resources | None = None
    distribution: Distribution | None = None
    identity: dict[str, Any] | None = None
    services: dict[str, Any] | None = None
    queue_settings: dict[str, Any] | None = None


class JobError(Entity):
    """Why a job failed: a code, one sentence, the exit code and the last lines of its log."""

    code: str
    message: str
    exit_code: int | None = None
    log_tail: str = ""


class JobOutput(Entity):
    """A collected output: where it is in the run's artifacts and the asset it became, if any."""

    type: str = "uri_folder"
    path: str
    tree: Digest | None = None


class Job(Entity):
    """A submitted job, as the server answers it; ``name`` is also the MLflow run id."""

    name: JobName
    type: str = "command"
    display_name: str
    experiment_name: str
    status: JobStatus
    spec: CommandJobSpec
    tags: Tags = Field(default_factory=dict)
    created_at: TimestampMs
    created_by: str
    started_at: TimestampMs | None = None
    ended_at: TimestampMs | None = None
    attempt: int = 0
    compute: str = "local"
    error: JobError | None = None
    outputs: dict[str, JobOutput] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
