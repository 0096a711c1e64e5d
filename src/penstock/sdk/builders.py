"""Write a job in Python instead of YAML; the words are the YAML's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from penstock.entities.asset import EnvironmentSpec
from penstock.entities.job import CommandJobSpec, InputSpec, OutputSpec, Scalar
from penstock.rules.specfile import Document, load_entity

Input = InputSpec
Output = OutputSpec


def command(
    *,
    command: str,
    code: str | Path | None = None,
    inputs: Mapping[str, Input | Scalar] | None = None,
    outputs: Mapping[str, Output | None] | None = None,
    environment: EnvironmentSpec | str | None = None,
    environment_variables: Mapping[str, str] | None = None,
    compute: str | None = None,
    name: str | None = None,
    display_name: str | None = None,
    experiment_name: str | None = None,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
    timeout: int | None = None,
    instance_count: int | None = None,
) -> CommandJobSpec:
    """Return a command job's spec, to be submitted with ``ws.jobs.submit``.

    Parameters
    ----------
    command : str
        The shell line; ``${{inputs.x}}`` and ``${{outputs.y}}`` stand for values and paths.
    code : str or path, optional
        A local folder whose content the command finds in its working directory; relative to the current one.
    inputs : mapping, optional
        Literals, or `Input` for files and folders.
    outputs : mapping, optional
        `Output` for each folder or file the command writes besides ``outputs/``.
    environment : EnvironmentSpec or str, optional
        ``azureml:name:version``, or an inline environment; this interpreter by default.
    environment_variables : mapping, optional
        Further variables of the command.
    compute : str, optional
        Where to run.
    name, display_name, experiment_name, description, tags, properties
        As in the YAML.
    timeout : int, optional
        Seconds after which the command is ended.
    instance_count : int, optional
        Nodes the job needs.

    Raises
    ------
    SpecError
        If a value has the wrong type; lists all of them.
    """
    values: dict[str, Any] = {
        "command": command,
        "code": str(code) if code is not None else None,
        "inputs": dict(inputs or {}),
        "outputs": dict(outputs or {}),
        "environment": environment,
        "environment_variables": dict(environment_variables or {}),
        "compute": compute,
        "name": name,
        "display_name": display_name,
        "experiment_name": experiment_name,
        "description": description,
        "tags": dict(tags or {}),
        "properties": dict(properties or {}),
        "limits": {"timeout": timeout} if timeout is not None else None,
        "resources": {"instance_count": instance_count} if instance_count is not None else None,
    }
    data = {key: _plain(value) for key, value in values.items() if value is not None}
    return load_entity(Document(data), CommandJobSpec)


def _plain(value: Any) -> Any:
    """Return entities inside a value as the data they stand for."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return value
