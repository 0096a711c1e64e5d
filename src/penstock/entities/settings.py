"""Every setting of a workspace: table, key, type, default and meaning in one place.

``penstock.toml`` holds a table per class here; ``PENSTOCK_<TABLE>__<KEY>`` in the environment overrides it.
``config.py`` reads both; ``docs/reference/settings.md`` is tested against the fields below.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """``[server]``: the REST and MLflow door."""

    host: str = field(default="127.0.0.1", metadata={"meaning": "address the server and the gateway bind to"})
    port: int = field(default=0, metadata={"meaning": "port of the server; 0 picks a free one once and keeps it"})
    allowed_hosts: tuple[str, ...] = field(
        default=(), metadata={"meaning": "further Host names that requests may name, such as a proxy's"}
    )
    max_body_bytes: int = field(
        default=16 * 2**20, metadata={"meaning": "largest JSON body in bytes; files have no such limit"}
    )
    max_exports: int = field(
        default=2,
        metadata={"meaning": "exports and verifications of the audit log at once, a process each; more get a 429"},
    )


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """``[gateway]``: the scoring door."""

    port: int = field(default=0, metadata={"meaning": "port of the gateway; 0 picks a free one once and keeps it"})
    max_body_bytes: int = field(default=32 * 2**20, metadata={"meaning": "largest scoring request in bytes"})
    drain_timeout_s: float = field(
        default=30.0, metadata={"meaning": "seconds an old replica may take to finish its requests"}
    )
    idle_replicas: int = field(
        default=1, metadata={"meaning": "processes kept started for the next ONNX model, while there are endpoints"}
    )
    start_timeout_s: float = field(
        default=300.0, metadata={"meaning": "seconds a new replica may take to load and warm up its model"}
    )
    inline_bytes: int = field(
        default=128 * 2**20,
        metadata={"meaning": "size of the ONNX models that may run inside the gateway, all together; 0 keeps all out"},
    )
    buffered_bytes: int = field(
        default=256 * 2**20,
        metadata={"meaning": "bytes of scoring requests still being received, all together; more get a 503"},
    )
    access_log: bool = field(
        default=True, metadata={"meaning": "write a line of JSON for each answered request to `logs/access.log`"}
    )
    access_log_bytes: int = field(
        default=32 * 2**20, metadata={"meaning": "size at which the access log becomes `access.log.1` and begins anew"}
    )
    access_log_files: int = field(
        default=4, metadata={"meaning": "files of the access log that are kept, the present one among them"}
    )
    # Whoever has it may read the counts.
    metrics_key: str = field(
        default="",
        repr=False,
        metadata={"meaning": "what `/metrics` takes as bearer besides tokens that may read; empty means tokens alone"},
    )


@dataclass(frozen=True, slots=True)
class JobSettings:
    """``[jobs]``: how attempts run and end."""

    max_attempts: int = field(default=3, metadata={"meaning": "tries when the machine or the agent is lost"})
    cancel_grace_s: float = field(
        default=10.0, metadata={"meaning": "seconds between SIGTERM and SIGKILL when a job is canceled"}
    )
    watch_interval_s: float = field(
        default=1.0, metadata={"meaning": "seconds between looks at the agents of running jobs"}
    )
    relay: bool = field(
        default=True, metadata={"meaning": "lead MLflow calls of jobs over their agent, so that they survive an outage"}
    )


@dataclass(frozen=True, slots=True)
class ComputeSettings:
    """``[compute]``: what this machine gives to jobs."""

    slots: int = field(default=0, metadata={"meaning": "jobs that run here at the same time; 0 means one per core"})
    idle_agents: int = field(default=1, metadata={"meaning": "agents kept started, waiting for a job"})
    instance_types: tuple[str, ...] = field(
        default=(),
        metadata={
            "meaning": "what an instance type of a deployment may use, as NAME=CORES/MEMORY: `Standard_DS3_v2=4/14Gi`"
        },
    )


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """``[stores]``: where rows are kept."""

    # A URL may hold a password.
    metadata: str = field(
        default="",
        repr=False,
        metadata={"meaning": "URL of a PostgreSQL database; empty means the file `db/metadata.db`"},
    )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """``[log]``: the server's own log."""

    level: str = field(default="info", metadata={"meaning": "debug, info, warning or error"})


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a workspace."""

    server: ServerSettings = field(default_factory=ServerSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    jobs: JobSettings = field(default_factory=JobSettings)
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    stores: StoreSettings = field(default_factory=StoreSettings)
    log: LogSettings = field(default_factory=LogSettings)
