"""Try or serve one ``score.py`` without a workspace: lay out its model, find its interpreter, start the shim in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from penstock.compute.environments.base import Prepared
from penstock.compute.environments.select import Environments
from penstock.entities.asset import EnvironmentSpec
from penstock.entities.errors import NotFoundError
from penstock.serving.desired import ENV_MODEL_DIR
from penstock.serving.launch import TELEMETRY_OFF, shim_command
from penstock.shim import score_trial

ENV_APP_ROOT = "AML_APP_ROOT"


@dataclass(frozen=True, slots=True)
class ScriptToRun:
    """A script and what it is run with.

    Parameters
    ----------
    script : Path
        The script.
    model : Path, optional
        What a deployment would have as its model: ``AZUREML_MODEL_DIR`` is then a folder that contains it.
    model_dir : Path, optional
        What ``AZUREML_MODEL_DIR`` is, where that is said outright.
    environment : EnvironmentSpec, optional
        What it runs in; None is this interpreter.
    variables : mapping
        Added to the environment.
    """

    script: Path
    model: Path | None
    model_dir: Path | None
    environment: EnvironmentSpec | None
    variables: Mapping[str, str]

    @property
    def assignment(self) -> dict[str, Any]:
        """Return what the shim is told of it."""
        script = os.path.realpath(self.script)
        if not os.path.isfile(script):
            raise NotFoundError(f"there is no script {self.script}")
        return {
            "script": script,
            "code": os.path.dirname(script),
            "app_root": os.environ.get(ENV_APP_ROOT, os.getcwd()),
        }


def serve_script(
    wanted: ScriptToRun, *, host: str, ports: list[int], workers: int, log: Callable[[str], None]
) -> NoReturn:
    """Become the server of a script.

    Raises
    ------
    NotFoundError
        If script or model are not there.
    UsageError, RefusedError
        If the environment cannot be built.
    """
    assignment = wanted.assignment
    prepared = _prepare(wanted.environment, log)
    scratch = None if wanted.model is None else lay_out_model(wanted.model)
    assignment |= {"host": host, "ports": ports, "workers": workers, "scratch": "" if scratch is None else str(scratch)}
    interpreter = sys.executable if prepared is None else str(prepared.interpreter)
    sys.stdout.flush()
    sys.stderr.flush()
    variables = {**os.environ, **_variables(wanted, scratch, prepared), "PYTHONUNBUFFERED": "1"}
    os.execve(interpreter, shim_command(interpreter, "score_server", assignment), variables)


def try_script(
    wanted: ScriptToRun,
    *,
    data: Path | None,
    image: Path | None,
    field: str,
    debug_port: int,
    log: Callable[[str], None],
) -> int:
    """Call a script's ``init`` and ``run`` once, in this process if its environment is ours; return the exit status.

    Raises
    ------
    NotFoundError
        If script, model or sample are not there.
    UsageError, RefusedError
        If the environment cannot be built.
    """
    for file in (data, image):
        if file is not None and not file.is_file():
            raise NotFoundError(f"there is no file {file}")
    assignment = {
        **wanted.assignment,
        "data": "" if data is None else str(data),
        "image": "" if image is None else str(image),
        "field": field,
        "debug_port": debug_port,
    }
    prepared = _prepare(wanted.environment, log)
    with _model_folder(wanted.model) as folder:
        variables = _variables(wanted, folder, prepared)
        if prepared is not None:
            command = shim_command(str(prepared.interpreter), "score_trial", assignment)
            return subprocess.run(command, env={**os.environ, **variables}, check=False).returncode
        os.environ.update(variables)
        return score_trial.run(assignment)


def lay_out_model(model: Path) -> Path:
    """Return a new folder that contains a model under its own name, as a deployment's does.

    Folders are real, so that scripts may walk them; files are links to the model's own.

    Raises
    ------
    NotFoundError
        If there is no such model.
    """
    source = Path(os.path.realpath(model))
    if not source.exists():
        raise NotFoundError(f"there is no model {model}")
    folder = Path(tempfile.mkdtemp(prefix="penstock-score-"))
    if source.is_file():
        (folder / model.name).symlink_to(source)
        return folder
    target = folder / source.name
    shutil.copytree(source, target, copy_function=lambda file, link: os.symlink(os.path.realpath(file), link))
    return folder


@contextmanager
def _model_folder(model: Path | None) -> Iterator[Path | None]:
    folder = None if model is None else lay_out_model(model)
    try:
        yield folder
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _variables(wanted: ScriptToRun, folder: Path | None, prepared: Prepared | None) -> dict[str, str]:
    assignment = wanted.assignment
    found = {ENV_APP_ROOT: assignment["app_root"], "AZUREML_ENTRY_SCRIPT": assignment["script"], **wanted.variables}
    found.setdefault(TELEMETRY_OFF, os.environ.get(TELEMETRY_OFF, "1"))
    model_dir = folder or wanted.model_dir
    if model_dir is not None:
        found[ENV_MODEL_DIR] = str(model_dir)
    if prepared is not None:
        found["PATH"] = os.pathsep.join([*prepared.path_prepend, os.environ.get("PATH", os.defpath)])
        if prepared.shim:
            given = os.environ.get("PYTHONPATH")
            found["PYTHONPATH"] = os.pathsep.join([prepared.shim, given] if given else [prepared.shim])
    return found


def _prepare(environment: EnvironmentSpec | None, log: Callable[[str], None]) -> Prepared | None:
    if environment is None:
        return None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "penstock" / "envs"
    cache.mkdir(parents=True, exist_ok=True)
    return Environments(cache).prepare(environment, log=log)
