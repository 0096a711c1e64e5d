"""Venvs made by uv from a conda specification, cached by content.

A venv is built in a folder beside its place and renamed when it is complete, so a killed build is never taken for one.
It is relocatable because of that. The key is the content of the specification, not of what the index answered: the
same specification is the same environment until the folder is deleted.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from uv import find_uv_bin

from penstock.compute.environments.base import Prepared
from penstock.compute.environments.conda import Requirements, read_conda
from penstock.entities.asset import EnvironmentSpec
from penstock.entities.errors import RefusedError, UsageError

FORMAT = 1
LAST_LINES = 12
NOT_INHERITED = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT")


class VenvEnvironment:
    """Builds venvs below one folder.

    Parameters
    ----------
    folder : Path
        The workspace's ``envs``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, spec: EnvironmentSpec | None) -> Prepared | None:
        """Return the venv if it was built."""
        try:
            key = environment_key(requirements_of(spec))
        except UsageError:
            return None
        return self._prepared(key) if self._interpreter(key).exists() else None

    def prepare(self, spec: EnvironmentSpec | None, *, log: Callable[[str], None]) -> Prepared:
        """Return the venv, building it first if needed."""
        wanted = requirements_of(spec)
        key = environment_key(wanted)
        self._folder.mkdir(parents=True, exist_ok=True)
        with _locked(self._folder / f"{key}.lock"):
            if not self._interpreter(key).exists():
                self._build(key, wanted, log)
        return self._prepared(key)

    def _interpreter(self, key: str) -> Path:
        return self._folder / key / "bin" / "python"

    def _prepared(self, key: str) -> Prepared:
        interpreter = self._interpreter(key)
        return Prepared(interpreter, (str(interpreter.parent),), is_own=False, key=key)

    def _build(self, key: str, wanted: Requirements, log: Callable[[str], None]) -> None:
        building = self._folder / f".building-{key}"
        shutil.rmtree(building, ignore_errors=True)
        log(f"building the environment {key}: Python {wanted.python or platform.python_version()}")
        try:
            python = wanted.python or sys.executable
            _run_uv(["venv", "--relocatable", "--python", python, str(building)], log)
            if wanted.lines:
                listed = building / "requirements.txt"
                listed.write_text("\n".join(wanted.lines) + "\n", "utf-8")
                _run_uv(["pip", "install", "--python", str(building / "bin" / "python"), "-r", str(listed)], log)
            building.rename(self._folder / key)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        log(f"the environment {key} is ready")


def requirements_of(spec: EnvironmentSpec | None) -> Requirements:
    """Return what a closed specification asks for.

    Raises
    ------
    UsageError
        If it has no parsed ``conda_file``, or one that a venv cannot hold.
    """
    if spec is None or not isinstance(spec.conda_file, dict):
        raise UsageError("a venv needs an environment with a parsed conda_file")
    return read_conda(spec.conda_file)


def environment_key(wanted: Requirements) -> str:
    """Return the first 24 hex digits of the SHA-256 of everything that decides what a venv holds."""
    base = "" if wanted.python else f"{sys.executable} {platform.python_version()}"
    content = [FORMAT, platform.machine(), wanted.python, base, list(wanted.lines)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]


def _run_uv(arguments: list[str], log: Callable[[str], None]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    environment |= {"NO_COLOR": "1", "UV_NO_PROGRESS": "1"}
    try:
        program = find_uv_bin()
    except FileNotFoundError as error:
        raise RefusedError("environments cannot be built: uv is not installed", hint="pip install uv") from error
    process = subprocess.Popen(
        [program, *arguments],
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines: list[str] = []
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            lines = [*lines[1 - LAST_LINES :], line.rstrip()]
            log(line.rstrip())
    if process.returncode:
        raise RefusedError(
            "the environment could not be built:\n" + "\n".join(lines),
            hint="Correct the environment's conda_file; the lines above are uv's.",
        )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process; waits for another build of the same content."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
