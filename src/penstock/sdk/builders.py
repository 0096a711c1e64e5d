"""Write a job in Python instead of YAML; the words are the YAML's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from penstock.entities.asset import EnvironmentSpec
from penstock.entities.job import CommandJobSpec, InputSpec, OutputSpec, Scalar
from penstock.rules.validation import validate_entity


class Input(InputSpec):
    """One input of a job: something with a path, or a literal with a declared type.

    Parameters
    ----------
    type : str, optional
        ``uri_file``, ``uri_folder``, ``mltable``, a kind of model, or a literal's type; ``uri_folder`` by default.
    path : str or path, optional
        A local path, ``azureml:name:version``, ``azureml://jobs/…`` or ``http(s)://…``.
    value, mode, description, default, optional
        As in the YAML.

    Raises
    ------
    SpecError
        If a value cannot be one; names the nearest that can.
    """

    def __init__(
        self,
        *,
        type: str | None = None,
        path: str | os.PathLike[str] | None = None,
        value: Scalar | None = None,
        mode: str | None = None,
        description: str | None = None,
        default: Scalar | None = None,
        optional: bool | None = None,
    ) -> None:
        said = {
            "type": type,
            "path": os.fspath(path) if isinstance(path, os.PathLike) else path,
            "value": value,
            "mode": mode,
            "description": description,
            "default": default,
            "optional": optional,
        }
        super().__init__(**_checked(InputSpec, said))


class Output(OutputSpec):
    """One named output of a job.

    Parameters
    ----------
    type : str, optional
        ``uri_file``, ``uri_folder``, ``mltable`` or a kind of model; ``uri_folder`` by default.
    path, mode, name, version, description
        As in the YAML.

    Raises
    ------
    SpecError
        If a value cannot be one; names the nearest that can.
    """

    def __init__(
        self,
        *,
        type: str | None = None,
        path: str | None = None,
        mode: str | None = None,
        name: str | None = None,
        version: str | None = None,
        description: str | None = None,
    ) -> None:
        said = {
            "type": type,
            "path": path,
            "mode": mode,
            "name": name,
            "version": version,
            "description": description,
        }
        super().__init__(**_checked(OutputSpec, said))


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
        "inputs": inputs or {},
        "outputs": outputs or {},
        "environment": environment,
        "environment_variables": environment_variables or {},
        "compute": compute,
        "name": name,
        "display_name": display_name,
        "experiment_name": experiment_name,
        "description": description,
        "tags": tags or {},
        "properties": properties or {},
        "limits": {"timeout": timeout} if timeout is not None else None,
        "resources": {"instance_count": instance_count} if instance_count is not None else None,
    }
    data = {key: _plain(value) for key, value in values.items() if value is not None}
    return validate_entity(CommandJobSpec, data)


def _checked(model: type[BaseModel], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was said, as the entity takes it."""
    entity = validate_entity(model, {key: value for key, value in said.items() if value is not None})
    return entity.model_dump(exclude_unset=True)


def _plain(value: Any) -> Any:
    """Return entities inside a value as the data they stand for."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return value
