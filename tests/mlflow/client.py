"""The process with the real client, as the tests see it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")


_PROLOGUE = """
import json, os, pathlib
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException


def refused(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except MlflowException as error:
        return [error.error_code, error.get_http_status_code()]


client = MlflowClient()
result = None
"""


def run_program(python: Path, folder: Path, code: str, variables: Mapping[str, str], timeout_s: float = 100) -> Any:
    """Run code with the real client in a folder and return what it left in ``result``."""
    program = f"{_PROLOGUE}{textwrap.dedent(code)}\npathlib.Path('result.json').write_text(json.dumps(result))\n"
    done = subprocess.run(
        [str(python), "-c", program],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "GIT_PYTHON_REFRESH": "quiet",
            **{name: value for name, value in variables.items() if value},
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((folder / "result.json").read_text())


class CaseError(AssertionError):
    """A case raised where it should have returned; the message is the client's traceback."""


class ClientProcess:
    """One interpreter with the real client that runs cases by name, one at a time."""

    def __init__(self, python: Path) -> None:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": tempfile.gettempdir(),
            "LOGNAME": "tester",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "GIT_PYTHON_REFRESH": "quiet",
        }
        self._process = subprocess.Popen(
            [str(python), str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=variables,
            text=True,
        )

    def __enter__(self) -> ClientProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, case: str, url: str, token: str) -> Any:
        """Run one case against a server and return its outcome."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"case": case, "url": url, "token": token}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise CaseError(f"the client's process ended:\n{self._log.read()[-3000:]}")
        answer = json.loads(line)
        if "failure" in answer:
            raise CaseError(answer["failure"])
        return answer["outcome"]

    def close(self) -> None:
        """Let the process end and wait for it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()
