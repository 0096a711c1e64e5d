"""What the server wants served: the JSON it hands to the gateway, typed, and its copy on disk.

The copy (``run/serving.json``) lets a gateway start and answer while the server is away.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from penstock.home import write_private

ENV_MODEL_DIR = "AZUREML_MODEL_DIR"


class FileEntry(msgspec.Struct, frozen=True):
    """One file of a model or code folder; its content is the blob ``digest``."""

    path: str
    digest: str
    size: int = 0
    executable: bool = False


class Limits(msgspec.Struct, frozen=True):
    """Azure ML's request settings."""

    request_timeout_ms: int = 5000
    max_concurrent_requests_per_instance: int = 1
    max_queue_wait_ms: int | None = None


class Batching(msgspec.Struct, frozen=True):
    """Whether requests that wait travel together; None leaves it to what was measured."""

    enabled: bool | None = None
    max_batch_size: int = 16


class Scaling(msgspec.Struct, frozen=True):
    """Between how many instances a deployment moves; all of ``ScaleSettings``."""

    min_instances: int = 1
    max_instances: int = 1
    target_utilization_percentage: int = 70
    polling_interval: float = 1.0
    scale_down_delay: float = 60.0


class DesiredDeployment(msgspec.Struct, frozen=True):
    """One deployment with everything a replica is started with.

    ``is_held`` says that its environment is still being made: whatever runs of it goes on, nothing is started.
    ``scoring_script`` is None for a model without code, ``interpreter`` is then unused; ``shim`` is
    the folder that gives a foreign interpreter ``import penstock``. ``runtime`` is ``onnx``, ``script`` or ``mlflow``,
    and "" in what older servers wrote. ``model_name`` is the last part
    of the model's path: ``AZUREML_MODEL_DIR`` is a folder that contains it.
    """

    name: str
    revision: int
    runtime: str = ""
    model_ref: str | None = None
    model_tree: list[FileEntry] = []
    model_name: str = "model"
    is_file: bool = False
    code: list[FileEntry] | None = None
    scoring_script: str | None = None
    interpreter: str | None = None
    path_prepend: list[str] = []
    shim: str = ""
    environment_variables: dict[str, str] = {}
    preprocessing: dict[str, Any] | None = None
    postprocessing: dict[str, Any] | None = None
    instance_count: int = 1
    request_settings: Limits = Limits()
    scaling: Scaling | None = None
    resources: dict[str, Any] | None = None
    batching: Batching = Batching()
    is_held: bool = False

    @property
    def is_onnx(self) -> bool:
        """Return whether our own ONNX runtime answers."""
        return self.scoring_script is None and self.runtime != "mlflow"

    @property
    def fingerprint(self) -> str:
        """Return a digest of all that a replica is started with; equal ones need no new replica."""
        parts = (
            self.model_ref,
            self.model_tree,
            self.model_name,
            self.is_file,
            self.code,
            self.scoring_script,
            self.interpreter,
            self.path_prepend,
            sorted(self.environment_variables.items()),
            self.preprocessing,
            self.postprocessing,
            self.request_settings.max_concurrent_requests_per_instance,
            self.resources,
            self.batching.enabled is True,
            self.runtime,
        )
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


class DesiredRollout(msgspec.Struct, frozen=True):
    """A progressive release that is not over; ``step`` is as far as the server knows."""

    number: int
    to: str
    base: dict[str, int]
    steps: list[int]
    requests: int | None = None
    time: float | None = None
    latency_factor: float = 2.0
    step: int = 0
    is_paused: bool = False


class DesiredEndpoint(msgspec.Struct, frozen=True):
    """One endpoint; ``keys`` are SHA-256 hex digests of the keys it accepts."""

    name: str
    keys: list[str] = []
    traffic: dict[str, int] = {}
    mirror: dict[str, int] = {}
    rollout: DesiredRollout | None = None
    deployments: list[DesiredDeployment] = []


class Desired(msgspec.Struct, frozen=True):
    """Everything the gateway serves; ``revision`` grows with every change."""

    revision: int = 0
    endpoints: list[DesiredEndpoint] = []


_decoder = msgspec.json.Decoder(Desired)


def decode_desired(body: bytes) -> Desired:
    """Return the desired state of a JSON body; keys of newer servers are ignored."""
    return _decoder.decode(body)


def merge_held(desired: Desired, known: Desired) -> Desired:
    """Return ``desired`` with each held deployment replaced by what is known of it, or left out where nothing is."""
    before = {(e.name, d.name): d for e in known.endpoints for d in e.deployments}
    endpoints = []
    for endpoint in desired.endpoints:
        deployments = [before.get((endpoint.name, d.name)) if d.is_held else d for d in endpoint.deployments]
        kept = [deployment for deployment in deployments if deployment is not None]
        endpoints.append(msgspec.structs.replace(endpoint, deployments=kept))
    return msgspec.structs.replace(desired, endpoints=endpoints)


def load_desired(path: Path) -> Desired | None:
    """Return the copy on disk, None where there is none or it is damaged."""
    try:
        return _decoder.decode(path.read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def save_desired(path: Path, desired: Desired) -> None:
    """Replace the copy on disk atomically, with mode 0600: it names environment variables."""
    write_private(path, msgspec.json.encode(desired).decode("utf-8"))
