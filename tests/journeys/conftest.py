"""A workspace that is used as its users use it: through the installed command line and HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock.home import Home, ServerRecord

PENSTOCK = Path(sys.executable).with_name("penstock")
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Lab:
    """One workspace folder."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return an environment in which every ``penstock`` command means this workspace."""
        return {**os.environ, "PENSTOCK_WORKSPACE": str(self.folder)}

    def run(self, *arguments: object, status: int = 0, patience_s: float = PATIENCE_S) -> str:
        """Run one command, check its exit status, and return its standard output."""
        words = [str(argument) for argument in arguments]
        done = subprocess.run(
            [PENSTOCK, *words], env=self.environment, capture_output=True, text=True, check=False, timeout=patience_s
        )
        assert done.returncode == status, f"penstock {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def read(self, *arguments: object) -> Any:
        """Run one command with ``-o json`` and return what it printed."""
        return json.loads(self.run(*arguments, "-o", "json"))

    def record(self) -> ServerRecord:
        """Return the record of the running server."""
        record = Home(self.folder).read_server_record()
        assert record is not None
        return record

    def server_pid(self) -> int:
        """Return the server's own process id; the record names its supervisor."""
        supervisor = self.record().pid
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        return next(int(pid) for pid in children if b"\0server\0" in Path(f"/proc/{pid}/cmdline").read_bytes())


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Give a workspace folder that does not exist yet; stop what serves it at the end."""
    it = Lab(tmp_path / "lab")
    yield it
    if it.folder.exists():
        it.run("down", "--cancel-jobs")


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Give a function that waits for another process to reach a state."""

    def wait(reached: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not reached():
            assert time.monotonic() < deadline, f"waited in vain: {what}"
            time.sleep(0.02)

    return wait
