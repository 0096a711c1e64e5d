"""Command jobs: check a spec against what the workspace has, and turn it into an agent's assignment.

``check`` runs when a job is submitted and lists every problem with its pointer; ``build_assignment`` runs
when an attempt starts. Neither changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from sqlalchemy import Connection

from penstock.assets.content import Content, find_asset, find_content
from penstock.entities.asset import AssetKind, EnvironmentSpec, Tree
from penstock.entities.attempt import Attempt
from penstock.entities.errors import InvalidPathError, NotFoundError, PenstockError, Problem, SpecError, UsageError
from penstock.entities.job import CommandJobSpec, InputSpec, Job, Scalar
from penstock.jobs.reach import Reach
from penstock.rules import artifact_paths, curated, expressions, job_spec, references, unapplied
from penstock.rules.pointers import join_pointer

INPUT_KINDS = (AssetKind.DATA, AssetKind.MODEL)
LOCAL_COMPUTE = "local"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a spec means here.

    Attributes
    ----------
    spec : CommandJobSpec
        As it was sent, but with the version that each label of an input named now, so that every attempt gets the same.
    environment : EnvironmentSpec or None
        Its environment.
    warnings : tuple of str
        Remarks for the person who sent it.
    """

    spec: CommandJobSpec
    environment: EnvironmentSpec | None
    warnings: tuple[str, ...]


def check(connection: Connection, spec: CommandJobSpec, reach: Reach | None = None) -> Checked:
    """Check everything a spec names.

    Parameters
    ----------
    reach : Reach, optional
        How far the submitter's token reaches, where it is limited.

    Raises
    ------
    SpecError
        Listing all problems, each with its pointer.
    ForbiddenError
        If the spec names what the submitter may not give a job.
    """
    problems = job_spec.check_job(spec)
    warnings: list[str] = []
    inputs = dict(spec.inputs)
    for name, given in spec.inputs.items():
        if _is_content(given):
            pointer = join_pointer(["inputs", name, "path"])
            content = _find(connection, str(given.path), INPUT_KINDS, pointer, problems, reach)
            if content is not None and (content.asset is not None or content.job_name):
                inputs[name] = given.model_copy(update={"path": content.ref})
    if spec.code is not None:
        _find(connection, spec.code, (AssetKind.CODE,), "/code", problems, reach)
    environment = None
    try:
        environment = resolve_environment(connection, spec.environment, warnings)
    except (NotFoundError, UsageError) as error:
        problems.append(Problem(error.message, pointer="/environment", hint=error.hint))
    compute = (spec.compute or LOCAL_COMPUTE).removeprefix("azureml:")
    if compute != LOCAL_COMPUTE:
        warnings.append(f'compute "{compute}" is not set up here; the job runs on "{LOCAL_COMPUTE}"')
    if problems:
        raise SpecError(problems)
    exact = spec.model_copy(update={"inputs": inputs})
    return Checked(exact, environment, (*warnings, *unapplied.job_warnings(spec, environment)))


def resolve_environment(
    connection: Connection, given: EnvironmentSpec | str | None, warnings: list[str]
) -> EnvironmentSpec | None:
    """Return the environment a spec names; None is the server's own interpreter.

    A curated one, which is not here, adds to ``warnings``.

    Raises
    ------
    NotFoundError
        If a registered environment does not exist.
    """
    if given is None or isinstance(given, EnvironmentSpec):
        return given
    parsed = references.parse_reference(given, bare_names=True)
    if curated.is_curated(parsed):
        warnings.append(f"environment: {curated.explain(given)}")
        return None
    if not isinstance(parsed, references.AssetReference):
        raise UsageError(
            f'"{given}" names no environment', hint="Use azureml:<name>:<version>, or an inline conda_file."
        )
    asset = find_asset(connection, (AssetKind.ENVIRONMENT,), parsed)
    return resolve_environment(connection, EnvironmentSpec.model_validate(asset.definition or {}), warnings)


def _is_content(given: InputSpec | Scalar) -> TypeGuard[InputSpec]:
    """Return whether an input is files to put in place, not a literal or a URI handed over as it is."""
    return isinstance(given, InputSpec) and given.path is not None and given.mode != "direct"


def _find(
    connection: Connection,
    reference: str,
    kinds: tuple[AssetKind, ...],
    pointer: str,
    problems: list[Problem],
    reach: Reach | None,
) -> Content | None:
    try:
        if reach is not None:
            reach.check_named(connection, reference, pointer)
        content = find_content(connection, reference, kinds)
    except SpecError as error:
        problems.extend(error.problems)
        return None
    except PenstockError as error:
        problems.append(Problem(error.message, pointer=pointer, hint=error.hint))
        return None
    if reach is not None:
        reach.check_found(connection, content, pointer)
    return content


def build_assignment(
    connection: Connection, job: Job, attempt: Attempt, folder: Path, fixed: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the agent needs, as JSON types.

    Parameters
    ----------
    folder : Path
        The attempt's own folder; inputs and outputs have fixed places below it.
    fixed : mapping
        What does not depend on the spec: server URL, token, interpreter paths, environment variables.
    """
    spec = job.spec
    inputs: dict[str, Any] = {}
    input_values: dict[str, str | None] = {}
    for name, given in spec.inputs.items():
        if _is_content(given):
            inputs[name] = _place(find_content(connection, str(given.path), INPUT_KINDS), name, given.type)
            input_values[name] = str(folder / inputs[name]["path"])
            continue
        literal = given.path if isinstance(given, InputSpec) and given.path else job_spec.literal_of(given)
        input_values[name] = None if literal is None else expressions.render(literal)
    outputs: dict[str, Any] = {}
    output_values: dict[str, str] = {}
    for name, output in spec.outputs.items():
        kind = job_spec.output_of(output).type
        path = f"named/{name}" if kind != "uri_file" else f"named/{name}/{name}"
        outputs[name] = {"path": path, "type": kind}
        output_values[name] = str(folder / path)
    code = find_content(connection, spec.code, (AssetKind.CODE,)).tree if spec.code else None
    environment = {
        **fixed["environment"],
        **{f"AZURE_ML_INPUT_{name}": value for name, value in input_values.items() if value is not None},
        **{f"AZURE_ML_OUTPUT_{name}": value for name, value in output_values.items()},
        **spec.environment_variables,
    }
    return {
        **fixed,
        "attempt": attempt.attempt_id,
        "number": attempt.number,
        "job": job.name,
        "folder": str(folder),
        "code": _entries(code) if code else [],
        "inputs": inputs,
        "outputs": outputs,
        "command": expressions.expand_command(spec.command, input_values, output_values, job.name),
        "environment": environment,
        "timeout_s": spec.limits.timeout if spec.limits else None,
    }


def _place(content: Content, name: str, kind: str) -> dict[str, Any]:
    if content.tree is None:
        return {"path": f"inputs/{name}/{_download_name(str(content.uri))}", "url": content.uri}
    single = content.tree.is_file and kind == "uri_file"
    path = f"inputs/{name}/{content.tree.entries[0].path}" if single else f"inputs/{name}"
    return {"path": path, "entries": _entries(content.tree), "is_file": single}


def _download_name(url: str) -> str:
    """Return the file name a URL suggests, or a plain one where that could be no name or leave its folder."""
    name = urlsplit(url).path.rpartition("/")[2]
    try:
        return artifact_paths.check_path(name)
    except InvalidPathError:
        return "download"


def _entries(tree: Tree) -> list[dict[str, Any]]:
    return [entry.model_dump(mode="json") for entry in tree.entries]
