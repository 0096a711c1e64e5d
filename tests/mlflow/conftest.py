from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow.client import run_program
from tests.mlflow.peer import serving_mlflow
from tests.mlflow.venvs import CLIENT, FULL, NEWEST, make_venv
from tests.server.harness import House, open_house

Client = Callable[..., Any]
INSTALLING = frozenset({"mlflow_python", "newest_python", "full_python", "sklearn_python", "torch_python"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test that may be the first to install a client the time that takes on a slow, loaded machine."""
    for item in items:
        if INSTALLING & set(getattr(item, "fixturenames", ())) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))


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
def newest_python() -> Path:
    """Return the interpreter of a venv with the newest client that this server promises to understand."""
    return make_venv(*NEWEST)


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
        place = {"MLFLOW_TRACKING_URI": house.url, "MLFLOW_TRACKING_TOKEN": token or house.token}
        return run_program(mlflow_python, tmp_path, code, {**place, **environment}, timeout_s)

    return run
