"""What a specification asks for that nothing here does, said once and briefly to the person who wrote it.

Azure ML's files are taken as they are, so that they need no edit; but a setting that changes nothing must not look
as if it did. Fields that only describe (``description``, ``tags``, ``properties``) are kept and shown, which is all
they are for. A test holds every field of these specifications against this file: a new one has a reader or is named
here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from penstock.entities.asset import DataSpec, EnvironmentSpec, InlineModelSpec, ModelSpec
from penstock.entities.base import Entity
from penstock.entities.endpoint import OnlineDeploymentSpec, OnlineEndpointSpec
from penstock.entities.job import CommandJobSpec, InputSpec

Fields = Mapping[str, tuple[Any, ...]]
"""Field → values besides its default that ask for what happens here anyway; they need no remark."""

_JOB: Fields = {"identity": (), "services": (), "queue_settings": ()}
_RESOURCES: Fields = {
    "instance_type": (),
    "max_instance_count": (1,),
    "locations": (),
    "shm_size": (),
    "docker_args": (),
    "properties": (),
}
_INPUT: Fields = {"mode": ("ro_mount", "download", "direct")}
_OUTPUT: Fields = {"path": (), "mode": ("upload",)}
_ENVIRONMENT: Fields = {"os_type": ("linux",), "inference_config": ()}
_CONTAINER: Fields = {"image": (), "build": ()}
_ENDPOINT: Fields = {"public_network_access": ("enabled",), "identity": ()}
_DEPLOYMENT: Fields = {
    "type": ("managed",),
    "instance_type": (),
    "liveness_probe": (),
    "readiness_probe": (),
    "model_mount_path": (),
    "data_collector": (),
    "app_insights_enabled": (False,),
    "private_network_connection": (False,),
    "egress_public_network_access": ("enabled",),
}
_MODEL: Fields = {"stage": (), "flavors": ()}
_INLINE_MODEL: Fields = {"name": (), "version": (), "type": (), **_MODEL}
_FOR_CODE: Fields = {"environment": (), "environment_variables": ()}
_FOR_MLFLOW: Fields = {"onnx_conversion": ()}
_FOR_NO_CODE: Fields = {"preprocessing": (), "postprocessing": (), "batching": ()}


def job_warnings(spec: CommandJobSpec, environment: EnvironmentSpec | None) -> tuple[str, ...]:
    """Return a sentence per group of a job's settings that change nothing.

    Parameters
    ----------
    environment : EnvironmentSpec, optional
        What ``spec.environment`` means, also where that is a reference.
    """
    names = _given(spec, _JOB)
    if spec.resources is not None:
        names += _given(spec.resources, _RESOURCES, "resources.")
    for name, given in spec.inputs.items():
        if isinstance(given, InputSpec):
            names += _given(given, _INPUT, f"inputs.{name}.")
    for name, output in spec.outputs.items():
        if output is not None:
            names += _given(output, _OUTPUT, f"outputs.{name}.")
    return (*_one_process(spec), *_environment(environment, names, "environment."))


def endpoint_warnings(spec: OnlineEndpointSpec) -> tuple[str, ...]:
    """Return a sentence per group of an endpoint's settings that change nothing."""
    warnings = list(_ignored(_given(spec, _ENDPOINT)))
    if spec.auth_mode != "key":
        warnings.append(f"auth_mode {spec.auth_mode} is not applied; clients send one of the endpoint's keys")
    return tuple(warnings)


def deployment_warnings(
    spec: OnlineDeploymentSpec,
    environment: EnvironmentSpec | None,
    *,
    is_mlflow: bool = False,
    knows_instance_type: bool = False,
) -> tuple[str, ...]:
    """Return a sentence per group of a deployment's settings that change nothing.

    Parameters
    ----------
    environment : EnvironmentSpec, optional
        What ``spec.environment`` means, also where that is a reference.
    is_mlflow : bool
        Whether its model is run by MLflow's rules, without code.
    knows_instance_type : bool
        Whether its instance type says what it may use.
    """
    names = [name for name in _given(spec, _DEPLOYMENT) if not (knows_instance_type and name == "instance_type")]
    if isinstance(spec.model, InlineModelSpec):
        names += _given(spec.model, _INLINE_MODEL, "model.")
    if is_mlflow:
        why = ", as the model is MLflow's"
        return (*_ignored(_given(spec, _FOR_NO_CODE), why), *_environment(environment, names, "environment."))
    names_for_mlflow = _ignored(_given(spec, _FOR_MLFLOW), ", as the model is none that MLflow's pyfunc runs")
    if spec.code_configuration is None:
        why = ", as there is no code_configuration"
        return (*_ignored(names), *names_for_mlflow, *_ignored(_given(spec, _FOR_CODE), why))
    return (
        *names_for_mlflow,
        *_ignored(_given(spec, _FOR_NO_CODE), ", as there is a code_configuration"),
        *_environment(environment, names, "environment."),
    )


def asset_warnings(spec: ModelSpec | DataSpec | EnvironmentSpec) -> tuple[str, ...]:
    """Return a sentence per group of those settings that change nothing, of a version to register."""
    if isinstance(spec, EnvironmentSpec):
        return _environment(spec, [], "")
    return tuple(_ignored(_given(spec, _MODEL))) if isinstance(spec, ModelSpec) else ()


def _environment(spec: EnvironmentSpec | None, names: list[str], prefix: str) -> tuple[str, ...]:
    """Return one sentence on ``names`` and an environment's own, and one on what is for a container engine."""
    if spec is None:
        return tuple(_ignored(names))
    names = names + _given(spec, _ENVIRONMENT, prefix)
    instead = "the server's own interpreter is used" if spec.conda_file is None else "conda_file alone is used"
    container = _ignored(_given(spec, _CONTAINER, prefix), f"; there is no container engine, {instead}")
    return (*_ignored(names), *container)


def _one_process(spec: CommandJobSpec) -> Iterable[str]:
    names = [] if spec.distribution is None else ["distribution"]
    if spec.resources is not None and spec.resources.instance_count > 1:
        names.append("resources.instance_count")
    return _ignored(names, "; the command runs as one process")


def _ignored(names: list[str], why: str = "") -> Iterable[str]:
    return [f"ignored here: {', '.join(names)}{why}"] if names else []


def _given(record: Entity, fields: Fields, prefix: str = "") -> list[str]:
    """Return those fields of a record that ask for something that does not happen."""
    return [f"{prefix}{name}" for name, anyway in fields.items() if not _is_nothing(record, name, anyway)]


def _is_nothing(record: Entity, name: str, anyway: tuple[Any, ...]) -> bool:
    value = getattr(record, name)
    if value in (None, "", [], {}) or value == type(record).model_fields[name].get_default(call_default_factory=True):
        return True
    return (value.lower() if isinstance(value, str) else value) in anyway
