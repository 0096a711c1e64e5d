"""No field of a specification is ignored silently: it has a reader, only describes, or is warned about."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import penstock
from penstock.entities.asset import DataSpec, EnvironmentSpec, InlineModelSpec, ModelSpec
from penstock.entities.base import Entity
from penstock.entities.endpoint import OnlineDeploymentSpec, OnlineEndpointSpec
from penstock.entities.job import CommandJobSpec
from penstock.rules.unapplied import asset_warnings, deployment_warnings, endpoint_warnings, job_warnings

SOURCE = Path(penstock.__file__).parent
LABELS = {"schema_", "description", "tags", "properties"}
"""Names of fields that are kept and shown; nobody expects more of them."""

DIGEST = "tree:" + 64 * "0"
CODE = {"code_configuration": {"code": DIGEST, "scoring_script": "score.py"}}
COMMAND = "jobs/kinds/command.py"
PIPELINE = "inference/images/pipeline.py"

READERS: dict[type[Entity], dict[str, str]] = {
    CommandJobSpec: {
        "type": "entities/job.py",
        "name": "jobs/service.py",
        "display_name": "jobs/service.py",
        "experiment_name": "jobs/service.py",
        "command": COMMAND,
        "code": COMMAND,
        "environment": COMMAND,
        "environment_variables": COMMAND,
        "compute": COMMAND,
        "limits.timeout": COMMAND,
        "inputs.x.type": COMMAND,
        "inputs.x.path": COMMAND,
        "inputs.x.value": "rules/job_spec.py",
        "inputs.x.default": "rules/job_spec.py",
        "inputs.x.optional": "rules/job_spec.py",
        "outputs.x.type": COMMAND,
        "outputs.x.name": "jobs/outputs.py",
        "outputs.x.version": "jobs/outputs.py",
        "environment.conda_file": "compute/environments/venv.py",
        "environment.name": "assets/registry.py",
        "environment.version": "assets/registry.py",
    },
    OnlineEndpointSpec: {
        "name": "serving/endpoints.py",
        "traffic": "serving/endpoints.py",
        "mirror_traffic": "serving/endpoints.py",
        "rollout.to": "serving/rollout_record.py",
        "rollout.steps": "serving/rollout_record.py",
        "rollout.requests": "serving/rollout_guard.py",
        "rollout.time": "serving/rollout_guard.py",
        "rollout.latency_factor": "serving/rollout_guard.py",
    },
    OnlineDeploymentSpec: {
        "name": "serving/endpoints.py",
        "endpoint_name": "serving/endpoints.py",
        "model": "serving/deployment_spec.py",
        "model.path": "serving/deployment_spec.py",
        "code_configuration.code": "serving/deployment_spec.py",
        "code_configuration.scoring_script": "serving/deployment_spec.py",
        "environment": "serving/deployment_spec.py",
        "environment_variables": "serving/wanted.py",
        "onnx_conversion": "serving/mlflow_models.py",
        "instance_count": "serving/wanted.py",
        "resources": "serving/deployment_spec.py",
        "request_settings.request_timeout_ms": "serving/control.py",
        "request_settings.max_concurrent_requests_per_instance": "serving/control.py",
        "request_settings.max_queue_wait_ms": "serving/control.py",
        "batching.enabled": "serving/batches.py",
        "batching.max_batch_size": "serving/batches.py",
        "scale_settings.type": "serving/wanted.py",
        "scale_settings.min_instances": "rules/scaling.py",
        "scale_settings.max_instances": "rules/scaling.py",
        "scale_settings.target_utilization_percentage": "serving/autoscaler.py",
        "scale_settings.polling_interval": "serving/autoscaler.py",
        "scale_settings.scale_down_delay": "serving/autoscaler.py",
        "preprocessing.decoder": PIPELINE,
        "preprocessing.orientation": "inference/images/classic.py",
        "preprocessing.mode": PIPELINE,
        "preprocessing.width": "entities/image.py",
        "preprocessing.height": "entities/image.py",
        "preprocessing.resize.size": "entities/image.py",
        "preprocessing.resize.width": "entities/image.py",
        "preprocessing.resize.height": "entities/image.py",
        "preprocessing.resize.fit": "rules/pictures.py",
        "preprocessing.resize.interpolation": "inference/images/classic.py",
        "preprocessing.resize.antialias": "inference/images/classic.py",
        "preprocessing.pad.width": "rules/pictures.py",
        "preprocessing.pad.height": "rules/pictures.py",
        "preprocessing.pad.colour": "inference/images/classic.py",
        "preprocessing.pad.anchor": "inference/images/classic.py",
        "preprocessing.crop.width": "rules/pictures.py",
        "preprocessing.crop.height": "rules/pictures.py",
        "preprocessing.crop.anchor": "inference/images/reading.py",
        "preprocessing.scale": PIPELINE,
        "preprocessing.mean": PIPELINE,
        "preprocessing.std": PIPELINE,
        "preprocessing.layout": PIPELINE,
        "preprocessing.dtype": PIPELINE,
        "postprocessing.labels": "inference/runtimes/onnx.py",
        "postprocessing.top_k": "inference/classifier.py",
        "postprocessing.threshold": "inference/classifier.py",
        "postprocessing.outputs": "inference/runtimes/onnx.py",
        "preprocessing.input": "inference/runtimes/onnx.py",
        "environment.conda_file": "compute/environments/venv.py",
        "environment.name": "assets/registry.py",
        "environment.version": "assets/registry.py",
    },
    EnvironmentSpec: {
        "name": "assets/registry.py",
        "version": "assets/registry.py",
        "conda_file": "compute/environments/venv.py",
    },
    ModelSpec: {
        "name": "assets/registry.py",
        "version": "assets/registry.py",
        "type": "assets/registry.py",
        "path": "assets/registry.py",
    },
    DataSpec: {
        "name": "assets/registry.py",
        "version": "assets/registry.py",
        "type": "assets/registry.py",
        "path": "assets/registry.py",
    },
}
ENVIRONMENT = {
    "image": "docker.io/python",
    "build": {"path": "docker"},
    "os_type": "windows",
    "inference_config": {"scoring_route": {"port": 1, "path": "/"}},
}
UNAPPLIED: dict[type[Entity], dict[str, Any]] = {
    CommandJobSpec: {
        "identity": {"type": "managed"},
        "services": {"board": {"type": "tensor_board"}},
        "queue_settings": {"job_tier": "spot"},
        "distribution": {"type": "mpi"},
        "inputs.x.mode": "rw_mount",
        "outputs.x.path": "azureml://datastores/blob/paths/x",
        "outputs.x.mode": "rw_mount",
        "resources.instance_count": 2,
        "resources.max_instance_count": 4,
        "resources.instance_type": "Standard_NC6s_v3",
        "resources.locations": ["westeurope"],
        "resources.shm_size": "16g",
        "resources.docker_args": "--ulimit nofile=1",
        "resources.properties": {"a": {"b": 1}},
        **{f"environment.{key}": value for key, value in ENVIRONMENT.items()},
    },
    OnlineEndpointSpec: {
        "auth_mode": "aad_token",
        "public_network_access": "disabled",
        "identity": {"type": "system_assigned"},
    },
    OnlineDeploymentSpec: {
        "type": "kubernetes",
        "instance_type": "Standard_DS3_v2",
        "liveness_probe": {"period": 3},
        "readiness_probe": {},
        "model_mount_path": "/var/m",
        "data_collector": {"collections": {}},
        "app_insights_enabled": True,
        "private_network_connection": True,
        "egress_public_network_access": "disabled",
        "model.name": "m",
        "model.version": "1",
        "model.type": "mlflow_model",
        "model.stage": "Production",
        "model.flavors": {"sklearn": {}},
        **{f"environment.{key}": value for key, value in ENVIRONMENT.items()},
    },
    EnvironmentSpec: ENVIRONMENT,
    ModelSpec: {"stage": "Production", "flavors": {"sklearn": {}}},
    DataSpec: {},
}
SMALLEST: dict[type[Entity], dict[str, Any]] = {
    CommandJobSpec: {"command": "echo"},
    OnlineEndpointSpec: {"name": "digits"},
    OnlineDeploymentSpec: {"name": "blue", "endpoint_name": "digits", **CODE},
    EnvironmentSpec: {"name": "e"},
    ModelSpec: {"name": "m", "path": DIGEST},
    DataSpec: {"name": "d", "path": DIGEST},
}
CASES = [(model, path, value) for model, fields in UNAPPLIED.items() for path, value in fields.items()]


def warnings_of(spec: Any) -> tuple[str, ...]:
    if isinstance(spec, OnlineEndpointSpec):
        return endpoint_warnings(spec)
    if isinstance(spec, CommandJobSpec | OnlineDeploymentSpec):
        environment = spec.environment if isinstance(spec.environment, EnvironmentSpec) else None
        if isinstance(spec, CommandJobSpec):
            return job_warnings(spec, environment)
        return deployment_warnings(spec, environment)
    return asset_warnings(spec)


def entities_in(annotation: Any) -> Iterator[type[Entity]]:
    if isinstance(annotation, type) and issubclass(annotation, Entity):
        yield annotation
    for part in get_args(annotation):
        yield from entities_in(part)


def paths_of(model: type[Entity], read: Container[str], said: Container[str], prefix: str = "") -> Iterator[str]:
    """Yield the dotted path of every field; what is warned about as a whole is not looked into."""
    for name, field in model.model_fields.items():
        path = prefix + name
        inner = [] if path in said else list(entities_in(field.annotation))
        if path in read or not (inner or (name in LABELS and path not in said)):
            yield path
        for nested in inner:
            yield from paths_of(nested, read, said, f"{path}.x." if name in {"inputs", "outputs"} else f"{path}.")


def build(model: type[Entity], path: str, value: Any) -> Any:
    """Return the smallest specification of a model with one more field."""
    for part in reversed(path.split(".")):
        value = {part: value}
    given = next(iter(value))
    if given == "model" and isinstance(value["model"], dict):
        value["model"].setdefault("path", DIGEST)
    return model.model_validate({**SMALLEST[model], **value})


@pytest.mark.parametrize("model", READERS)
def test_every_field_has_a_reader_or_a_warning(model):
    read, said = READERS[model], UNAPPLIED[model]
    assert set(paths_of(model, read, said)) == {*read, *said}


@pytest.mark.parametrize(
    ("reader", "path"), [(reader, path) for fields in READERS.values() for path, reader in fields.items()]
)
def test_the_reader_reads_it(reader, path):
    word = path.rpartition(".")[2]
    assert re.search(rf"\b{word}\b", (SOURCE / reader).read_text()), f"{reader} does not know {word}"


@pytest.mark.parametrize(("model", "path", "value"), CASES)
def test_what_changes_nothing_is_said_by_name(model, path, value):
    (warning,) = warnings_of(build(model, path, value))
    assert path in warning


@pytest.mark.parametrize("model", SMALLEST)
def test_nothing_is_said_of_what_is_not_set(model):
    assert warnings_of(model.model_validate(SMALLEST[model])) == ()


@pytest.mark.parametrize(
    ("model", "path", "value"),
    [
        (CommandJobSpec, "outputs.x", None),
        (CommandJobSpec, "outputs.x.mode", "upload"),
        (CommandJobSpec, "inputs.x.mode", "ro_mount"),
        (CommandJobSpec, "resources.instance_count", 1),
        (CommandJobSpec, "environment.os_type", "Linux"),
        (OnlineEndpointSpec, "auth_mode", "key"),
        (OnlineEndpointSpec, "public_network_access", "enabled"),
        (OnlineDeploymentSpec, "type", "managed"),
        (OnlineDeploymentSpec, "app_insights_enabled", False),
        (OnlineDeploymentSpec, "private_network_connection", False),
        (OnlineDeploymentSpec, "egress_public_network_access", "enabled"),
        (OnlineDeploymentSpec, "request_settings.max_queue_wait_ms", 500),
    ],
)
def test_nothing_is_said_of_what_asks_for_what_happens_anyway(model, path, value):
    assert warnings_of(build(model, path, value)) == ()


def test_a_real_deployment_gets_a_line_or_two():
    spec = OnlineDeploymentSpec(
        name="blue",
        endpoint_name="digits",
        model=InlineModelSpec(path=DIGEST),
        environment=EnvironmentSpec(image="mcr.microsoft.com/x", conda_file={"dependencies": []}),
        instance_type="Standard_DS3_v2",
        liveness_probe={"period": 10},
        readiness_probe={"period": 10},
        scale_settings={"type": "default"},
        **CODE,
    )
    assert warnings_of(spec) == (
        "ignored here: instance_type, liveness_probe, readiness_probe",
        "ignored here: environment.image; there is no container engine, conda_file alone is used",
    )


def test_a_distributed_job_runs_as_one_process():
    spec = CommandJobSpec(command="echo", distribution={"type": "mpi"}, resources={"instance_count": 2})
    assert warnings_of(spec) == (
        "ignored here: distribution, resources.instance_count; the command runs as one process",
    )


def test_what_is_for_code_is_ignored_without():
    fields = {"name": "blue", "endpoint_name": "digits", "environment": "azureml:e:1"}
    spec = OnlineDeploymentSpec(**fields, environment_variables={"A": "b"}, preprocessing={"width": 8})
    environment = EnvironmentSpec(image="x")
    assert deployment_warnings(spec, environment) == (
        "ignored here: environment, environment_variables, as there is no code_configuration",
    )
    coded = OnlineDeploymentSpec.model_validate({**spec.model_dump(exclude_none=True), **CODE})
    assert deployment_warnings(coded, environment) == (
        "ignored here: preprocessing, as there is a code_configuration",
        "ignored here: environment.image; there is no container engine, the server's own interpreter is used",
    )
