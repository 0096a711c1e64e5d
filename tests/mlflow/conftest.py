from __future__ import annotations

import json
import os
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow.peer import serving_mlflow
from tests.mlflow.venvs import CLIENT, FULL, make_venv
from tests.server.harness import House, open_house

Client = Callable[..., Any]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server that the tests of a file share; each uses experiments of its own."""
    with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture(scope="session")
def mlflow_python() -> Path:
    """Return the interpreter of a venv with the unmodified client; made once, then kept."""
    return make_venv(*CLIENT)


@pytest.fixture(scope="session")
def full_python() -> Path:
    """Return the interpreter of a venv with MLflow's server, its flavours and scikit-learn."""
    return make_venv(*FULL)


@pytest.fixture(scope="session")
def mlflow_server(full_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a real MLflow server that all tests of a session share."""
    with serving_mlflow(full_python, tmp_path_factory.mktemp("mlflow")) as url:
        yield url


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
