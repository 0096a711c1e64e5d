"""Choose how an environment becomes an interpreter: a conda file needs a venv, anything else is the default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from penstock.compute.environments.base import EnvironmentBackend, Prepared
from penstock.compute.environments.interpreter import InterpreterEnvironment
from penstock.compute.environments.venv import VenvEnvironment
from penstock.entities.asset import EnvironmentSpec


class Environments:
    """All environments of a workspace.

    Parameters
    ----------
    folder : Path
        The workspace's ``envs``.
    """

    def __init__(self, folder: Path) -> None:
        self._interpreter = InterpreterEnvironment(folder / "own")
        self._venv = VenvEnvironment(folder)

    def find(self, spec: EnvironmentSpec | None) -> Prepared | None:
        """Return the environment if it is ready."""
        return self._backend(spec).find(spec)

    def prepare(
        self,
        spec: EnvironmentSpec | None,
        *,
        log: Callable[[str], None],
        should_stop: Callable[[], bool] | None = None,
    ) -> Prepared:
        """Return the environment, building it first if needed."""
        return self._backend(spec).prepare(spec, log=log, should_stop=should_stop)

    def _backend(self, spec: EnvironmentSpec | None) -> EnvironmentBackend:
        return self._interpreter if spec is None or spec.conda_file is None else self._venv
