"""The promise of every way to get an interpreter for a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from penstock import shim
from penstock.entities.asset import EnvironmentSpec

SHIM_FOLDER = Path(shim.__file__).with_name("site")


@dataclass(frozen=True, slots=True)
class Prepared:
    """An environment that is ready to run commands.

    Parameters
    ----------
    interpreter : Path
        Its Python.
    path_prepend : tuple of str
        Folders that come first on ``PATH``, so that ``python`` is that interpreter.
    is_own : bool
        Whether it is the interpreter that runs Penstock, where ``import penstock`` is the real one.
    key : str
        Names the content; equal keys are the same environment.
    """

    interpreter: Path
    path_prepend: tuple[str, ...]
    is_own: bool
    key: str

    @property
    def shim(self) -> str:
        """Return the folder for ``PYTHONPATH`` that gives a foreign interpreter ``import penstock``; "" for our own."""
        return "" if self.is_own else str(SHIM_FOLDER)


class EnvironmentBackend(Protocol):
    """Turns an environment into an interpreter; any method from any thread and process at the same time."""

    def find(self, spec: EnvironmentSpec | None) -> Prepared | None:
        """Return the environment if it is ready, at once; None if it has to be built, or cannot be."""
        ...

    def prepare(
        self,
        spec: EnvironmentSpec | None,
        *,
        log: Callable[[str], None],
        should_stop: Callable[[], bool] | None = None,
    ) -> Prepared:
        """Return the environment, building it first if needed; may take minutes.

        A build that is killed leaves nothing that a later one would take for complete, and it is killed with the
        process that called. Two builds of the same content at the same time are one: the second waits.

        Parameters
        ----------
        spec : EnvironmentSpec or None
            None is the default.
        log : callable
            Gets lines for the user while a build runs.
        should_stop : callable, optional
            Asked several times a second, in this thread, while a build runs or waits; a yes ends it.

        Raises
        ------
        UsageError
            If the specification asks for what this backend cannot do.
        RefusedError
            If the build fails, and the message ends with the builder's last lines; or if it was canceled.
        OutOfSpaceError
            If the disk is full.
        """
        ...
