"""Venvs made by uv from a conda specification, cached by content.

A venv is built in a folder of its own beside its place and renamed when it is complete, so a killed build is never
taken for one; what it left is removed by the next. It is relocatable because of that. The key is the content of the
specification, not of what the index answered: the same specification is the same environment until the folder is
deleted.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from penstock.compute.environments.base import Prepared
from penstock.compute.environments.building import ShouldStop, locked, run_builder, try_lock
from penstock.compute.environments.conda import Requirements, read_conda
from penstock.entities.asset import EnvironmentSpec
from penstock.entities.errors import OutOfSpaceError, PenstockError, RefusedError, UsageError

FORMAT = 1
LAST_LINES = 12
BUILDING = ".building-"
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

    def prepare(
        self,
        spec: EnvironmentSpec | None,
        *,
        log: Callable[[str], None],
        should_stop: ShouldStop | None = None,
    ) -> Prepared:
        """Return the venv, building it first if needed."""
        wanted = requirements_of(spec)
        key = environment_key(wanted)
        if self._interpreter(key).exists():
            return self._prepared(key)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self._folder / f"{key}.lock", should_stop) as lock:
                if not self._interpreter(key).exists():
                    self._build(key, wanted, _Uv(lock, log, should_stop))
        except OSError as error:
            raise _explain(error, self._folder) from error
        return self._prepared(key)

    def _interpreter(self, key: str) -> Path:
        return self._folder / key / "bin" / "python"

    def _prepared(self, key: str) -> Prepared:
        interpreter = self._interpreter(key)
        return Prepared(interpreter, (str(interpreter.parent),), is_own=False, key=key)

    def _build(self, key: str, wanted: Requirements, uv: _Uv) -> None:
        """Build the venv; the caller holds its lock."""
        self._remove_leftovers(key)
        uv.log(f"building the environment {key}: Python {wanted.python or platform.python_version()}")
        for name in wanted.left_out:
            uv.log(f"{name} is only on conda and is left out")
        building = Path(tempfile.mkdtemp(prefix=f"{BUILDING}{key}-", dir=self._folder))
        try:
            venv = building / "venv"
            uv.run(["venv", "--relocatable", "--python", wanted.python or sys.executable, str(venv)])
            if wanted.lines:
                listed = building / "requirements.txt"
                listed.write_text("\n".join(wanted.lines) + "\n", "utf-8")
                uv.run(["pip", "install", "--python", str(venv / "bin" / "python"), "-r", str(listed)])
            place = self._folder / key
            if place.exists():  # its Python has gone, as after an upgrade of the system's
                place.rename(building / "stale")
            venv.rename(place)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        uv.log(f"the environment {key} is ready")

    def _remove_leftovers(self, key: str) -> None:
        """Remove what killed builds left; whoever has the lock of a content knows that nobody builds it."""
        for left in self._folder.glob(f"{BUILDING}*"):
            other = left.name.removeprefix(BUILDING).partition("-")[0]
            if other == key:
                shutil.rmtree(left, ignore_errors=True)
                continue
            lock = os.open(self._folder / f"{other}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if try_lock(lock):
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


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


@dataclass(frozen=True, slots=True)
class _Uv:
    """Uv, run for one build."""

    lock: int
    log: Callable[[str], None]
    should_stop: ShouldStop | None

    def run(self, arguments: list[str]) -> None:
        """Run one command of uv; raises RefusedError with its last lines if it fails."""
        environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        environment |= {"NO_COLOR": "1", "UV_NO_PROGRESS": "1"}
        environment.setdefault("UV_SYSTEM_CERTS", "1")  # a network's own certificate authority, as pip honours it
        try:
            program = find_uv_bin()
        except FileNotFoundError as error:
            raise RefusedError("environments cannot be built: uv is not installed", hint="pip install uv") from error
        lines: list[str] = []

        def keep(line: str) -> None:
            lines[:] = [*lines[1 - LAST_LINES :], line]
            self.log(line)

        if run_builder(
            [program, *arguments], environment=environment, lock=self.lock, log=keep, should_stop=self.should_stop
        ):
            raise RefusedError(
                "the environment could not be built:\n" + "\n".join(lines),
                hint="Correct the environment's conda_file; the lines above are uv's.",
            )


def _explain(error: OSError, folder: Path) -> PenstockError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return OutOfSpaceError(
            f"the environment could not be built: the disk of {folder} is full", hint="Free some space there."
        )
    return RefusedError(
        f"the environment could not be built: {error.filename or folder}: {error.strerror}",
        hint=f"Mend the permissions of {folder}, or remove what is in the way.",
    )
