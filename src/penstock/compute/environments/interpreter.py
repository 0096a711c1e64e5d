"""The default environment: the interpreter that runs Penstock, with everything installed in it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from penstock.compute.environments.base import Prepared
from penstock.entities.asset import EnvironmentSpec


class InterpreterEnvironment:
    """The interpreter that runs Penstock.

    Parameters
    ----------
    wrappers : Path
        A folder of ours. Where the interpreter is only known as ``python3``, it gets a ``python`` that starts it.
    """

    def __init__(self, wrappers: Path) -> None:
        self._wrappers = wrappers

    def find(self, spec: EnvironmentSpec | None) -> Prepared:
        """Return this interpreter; always ready."""
        interpreter = Path(sys.executable)
        folders = [str(interpreter.parent)]
        if not (interpreter.parent / "python").exists():
            folders.insert(0, str(self._wrapper(interpreter).parent))
        return Prepared(interpreter, tuple(folders), is_own=True, key="interpreter")

    def prepare(
        self,
        spec: EnvironmentSpec | None,
        *,
        log: Callable[[str], None],
        should_stop: Callable[[], bool] | None = None,
    ) -> Prepared:
        """Return this interpreter."""
        return self.find(spec)

    def _wrapper(self, interpreter: Path) -> Path:
        """Return a ``python`` that starts ``interpreter``; a symbolic link would lose the venv it belongs to."""
        path = self._wrappers / "bin" / "python"
        text = f'#!/bin/sh\nexec "{interpreter}" "$@"\n'
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            path.chmod(0o755)
        return path
