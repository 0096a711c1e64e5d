"""A training script with the habit of scikit-learn: parameters in, ``fit()`` runs it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.entities.errors import UsageError
from penstock.sdk.builders import Input, Output, command
from penstock.sdk.workspace import Workspace

if TYPE_CHECKING:
    from penstock.entities.asset import EnvironmentSpec
    from penstock.entities.job import CommandJobSpec, Scalar
    from penstock.sdk.run import Run

_PARAMETERS = (
    "workspace",
    "entry_script",
    "source_directory",
    "params",
    "inputs",
    "outputs",
    "environment",
    "compute",
    "experiment_name",
    "display_name",
)


class Estimator:
    """Runs a training script as a job; ``fit()`` returns the run.

    Parameters
    ----------
    workspace : Workspace, optional
        Where to run; `Workspace.from_config` by default.
    entry_script : str
        The script, relative to ``source_directory``.
    source_directory : str or path
        The folder with the script and what it imports.
    params : mapping
        Each becomes an input and the option ``--<name> <value>`` of the script (underscores stay).
    inputs : mapping
        `Input` for data the script reads; each becomes ``--<name> <path>``.
    outputs : mapping
        `Output` for folders the script writes besides ``outputs/``; each becomes ``--<name> <path>``.
    environment, compute, experiment_name, display_name
        As in a job's YAML.

    Notes
    -----
    ``get_params`` and ``set_params`` work as scikit-learn's, with the script's own parameters as
    ``params__<name>``. Nothing is fitted in this process, so there is no ``predict``: register the run's
    model and deploy it, or load it with ``penstock.load_model``.
    """

    def __init__(
        self,
        workspace: Workspace | None = None,
        *,
        entry_script: str,
        source_directory: str | os.PathLike[str] = ".",
        params: Mapping[str, Scalar] | None = None,
        inputs: Mapping[str, Input] | None = None,
        outputs: Mapping[str, Output | None] | None = None,
        environment: EnvironmentSpec | str | None = None,
        compute: str | None = None,
        experiment_name: str | None = None,
        display_name: str | None = None,
    ) -> None:
        self.workspace = workspace
        self.entry_script = entry_script
        self.source_directory = source_directory
        self.params = params
        self.inputs = inputs
        self.outputs = outputs
        self.environment = environment
        self.compute = compute
        self.experiment_name = experiment_name
        self.display_name = display_name

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; with ``deep`` also ``params__<name>`` for each of the script's."""
        values = {name: getattr(self, name) for name in _PARAMETERS}
        if deep:
            values |= {f"params__{name}": value for name, value in (self.params or {}).items()}
        return values

    def set_params(self, **params: Any) -> Estimator:
        """Change parameters and return this estimator.

        Raises
        ------
        UsageError
            For a name that is no parameter.
        """
        for name, value in params.items():
            if name.startswith("params__"):
                self.params = {**(self.params or {}), name.removeprefix("params__"): value}
            elif name in _PARAMETERS:
                setattr(self, name, value)
            else:
                raise UsageError(f'an estimator has no parameter "{name}"', hint=f"It has: {', '.join(_PARAMETERS)}.")
        return self

    def to_job(self) -> CommandJobSpec:
        """Return the command job that ``fit`` submits."""
        script = Path(self.source_directory) / self.entry_script
        if not script.is_file():
            raise UsageError(f'there is no file "{script}"', hint="entry_script is relative to source_directory.")
        words = ["python", shlex.quote(self.entry_script)]
        for name in (*(self.params or {}), *(self.inputs or {})):
            words.append(f"--{name} ${{{{inputs.{name}}}}}")
        for name in self.outputs or {}:
            words.append(f"--{name} ${{{{outputs.{name}}}}}")
        return command(
            command=" ".join(words),
            code=Path(self.source_directory),
            inputs={**(self.params or {}), **(self.inputs or {})},
            outputs=self.outputs,
            environment=self.environment,
            compute=self.compute,
            experiment_name=self.experiment_name,
            display_name=self.display_name,
        )

    def fit(self, inputs: Mapping[str, Input] | None = None, *, wait: bool = False, show_output: bool = True) -> Run:
        """Run the script and return the run.

        Parameters
        ----------
        inputs : mapping, optional
            Data for this run, beside or instead of the estimator's own inputs.
        wait : bool
            Return only when the run has ended; a failed one is an error then.
        show_output : bool
            While waiting, print the log.
        """
        job = Estimator(**{**self.get_params(deep=False), "inputs": {**(self.inputs or {}), **(inputs or {})}}).to_job()
        workspace = self.workspace or Workspace.from_config()
        run = workspace.jobs.submit(job)
        return run.wait_for_completion(show_output=show_output) if wait else run
