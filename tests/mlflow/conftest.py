from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.harness import House, open_house

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ["mlflow-skinny>=3.17,<4"]
Client = Callable[..., Any]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server that the tests of a file share; each uses experiments of its own."""
    with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture(scope="session")
def mlflow_python() -> Path:
    """Return the interpreter of a venv with the unmodified client; made once, then kept."""
    folder = ROOT / ".venvs" / "mlflow"
    stamp = folder / "requirements.json"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / "mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or json.loads(stamp.read_text()) != REQUIREMENTS:
            shutil.rmtree(folder, ignore_errors=True)
            uv = [sys.executable, "-m", "uv"]
            subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
            install = [*uv, "pip", "install", "-q", "--python", str(folder / "bin" / "python"), *REQUIREMENTS]
            subprocess.run(install, check=True)
            stamp.write_text(json.dumps(REQUIREMENTS))
    return folder / "bin" / "python"


@pytest.fixture
def client(house: House, mlflow_python: Path, tmp_path: Path) -> Client:
    """Return a function that runs code with the real client and returns what it left in ``result``."""

    def run(code: str, *, token: str = "", timeout_s: float = 100, **environment: str) -> Any:
        program = (
            "import json, os\nimport mlflow\n"
            "from mlflow import MlflowClient\nfrom mlflow.exceptions import MlflowException\n"
            "def refused(call, *a, **k):\n"
            "    try:\n        call(*a, **k)\n    except MlflowException as e:\n"
            "        return [e.error_code, e.get_http_status_code()]\n    return None\n"
            "client = MlflowClient()\nresult = None\n"
            f"{textwrap.dedent(code)}\nopen('result.json', 'w').write(json.dumps(result))\n"
        )
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "MLFLOW_TRACKING_URI": house.url,
            "MLFLOW_TRACKING_TOKEN": token or house.token,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **environment,
        }
        variables = {name: value for name, value in variables.items() if value}
        done = subprocess.run(
            [str(mlflow_python), "-c", program],
            env=variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads((tmp_path / "result.json").read_text())

    return run
