"""What a deployment's spec means in this workspace: its model, code and environment, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from penstock.assets.content import Content, find_content
from penstock.assets.packages import model_flavors
from penstock.compute.limits import machine_memory, own_cores
from penstock.entities.asset import AssetKind, EnvironmentSpec, InlineModelSpec, Tree
from penstock.entities.endpoint import OnlineDeploymentSpec
from penstock.entities.errors import NotFoundError, PenstockError, Problem, SpecError, UsageError
from penstock.jobs.kinds.command import resolve_environment
from penstock.rules import unapplied
from penstock.rules.quantities import check_resources, warn_of_scarcity
from penstock.rules.scaling import check_scaling
from penstock.rules.suggest import nearest

GUIDE = "docs/how-to/serve.md"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A spec's references, followed; ``warnings`` are for the person who sent it.

    ``spec`` names the environment itself; ``is_mlflow`` says that the model is run by MLflow's rules, without code.
    """

    spec: OnlineDeploymentSpec
    model: Content | None
    code: Tree | None
    environment: EnvironmentSpec | None
    warnings: tuple[str, ...]
    is_mlflow: bool = False


def resolve(
    connection: Connection,
    spec: OnlineDeploymentSpec,
    is_mlflow: Callable[[Tree], bool] = lambda _: False,
    instance_types: Mapping[str, Mapping[str, Any]] | None = None,
) -> Resolved:
    """Follow a spec's references.

    Parameters
    ----------
    is_mlflow : callable
        Whether a model folder is run by MLflow's rules; raises UsageError where its ``MLmodel`` is damaged.

    instance_types : mapping, optional
        Name, in small letters, to the resources of its instances.

    Raises
    ------
    SpecError
        With all problems: unknown assets, a script that is not in the code, a model that needs code.
    """
    problems: list[Problem] = []
    warnings: list[str] = []
    if (scaling := spec.scale_settings) is not None:
        problems += check_scaling(scaling.min_instances, scaling.max_instances)
    problems += check_resources(spec.resources)
    model = _find_model(connection, spec.model, problems)
    code = _find_code(connection, spec, problems)
    environment = None
    try:
        environment = resolve_environment(connection, spec.environment, warnings)
    except PenstockError as error:
        problems.append(Problem(error.message, "/environment", error.hint))
    is_pyfunc = False
    if spec.code_configuration is None and not problems:
        try:
            is_pyfunc = model is not None and model.tree is not None and is_mlflow(model.tree)
        except UsageError as error:
            problems.append(Problem(error.message, "/model", "Log the model again and register that."))
        problems += [] if is_pyfunc or problems else _check_runs_alone(model)
    if problems:
        raise SpecError(problems, ref=f"endpoint:{spec.endpoint_name}/{spec.name}")
    if spec.code_configuration is None and not is_pyfunc:
        warnings = []  # the environment is used by code and MLflow alone, and unapplied says so
    resources = spec.resources or (instance_types or {}).get((spec.instance_type or "").lower())
    is_applied = resources is not None and not spec.resources
    said = unapplied.deployment_warnings(spec, environment, is_mlflow=is_pyfunc, knows_instance_type=is_applied)
    instances = max(spec.instance_count, scaling.max_instances if scaling is not None else 1)
    warnings += warn_of_scarcity(resources, instances, cores=len(own_cores()), memory_bytes=machine_memory())
    closed = spec.model_copy(update={"environment": environment, "resources": resources})
    return Resolved(closed, model, code, environment, (*warnings, *said), is_pyfunc)


def _find_model(connection: Connection, given: str | InlineModelSpec | None, problems: list[Problem]) -> Content | None:
    if given is None:
        return None
    pointer, reference = ("/model", given) if isinstance(given, str) else ("/model/path", given.path)
    try:
        content = find_content(connection, reference, (AssetKind.MODEL,))
    except (NotFoundError, UsageError) as error:
        problems.append(Problem(error.message, pointer, error.hint))
        return None
    if content.tree is None:
        text = f"{reference!r} has no content in this workspace"
        problems.append(Problem(text, pointer, "Register it as a model first: penstock model create."))
    return content


def _find_code(connection: Connection, spec: OnlineDeploymentSpec, problems: list[Problem]) -> Tree | None:
    configuration = spec.code_configuration
    if configuration is None:
        return None
    pointer = "/code_configuration"
    try:
        tree = find_content(connection, configuration.code, (AssetKind.CODE,)).tree
    except (NotFoundError, UsageError) as error:
        problems.append(Problem(error.message, f"{pointer}/code", error.hint))
        return None
    files = [entry.path for entry in tree.entries] if tree is not None else []
    script = configuration.scoring_script
    if script not in files:
        near = nearest(script, files)
        hint = f'Did you mean "{near[0]}"?' if near else f"It holds: {', '.join(files[:8]) or 'nothing'}."
        problems.append(Problem(f'there is no file "{script}" in the code', f"{pointer}/scoring_script", hint))
    return tree


def _check_runs_alone(model: Content | None) -> list[Problem]:
    if model is None:
        return [Problem("there is neither a model nor code", "/model", "Name a model, or a code_configuration.")]
    if model.tree is not None and "onnx" not in model_flavors(model.tree):
        files = ", ".join(entry.path for entry in model.tree.entries[:8]) or "nothing"
        hint = (
            f"It holds: {files}. Register a folder with model.onnx or MLmodel, or add code_configuration with a "
            f"score.py ({GUIDE})."
        )
        text = "the model cannot be served without code: it holds neither one ONNX file nor MLmodel"
        return [Problem(text, "/model", hint)]
    return []
