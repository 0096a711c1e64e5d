from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow.venvs import make_venv
from tests.protocols.mlflow_cases import SERVER
from tests.protocols.triton_cases import CLIENT
from tests.serving.conftest import KEY, PATIENCE_S, Bench

AZURE = ("azure-ai-ml", ("azure-ai-ml==1.35.0",))
INSTALLING = frozenset({"triton_python", "mlflow_python", "azure_python"})
Serve = Callable[..., str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test that may be the first to install something the time that takes on a slow, loaded machine."""
    for item in items:
        if INSTALLING & set(getattr(item, "fixturenames", ())) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def triton_python() -> Path:
    """Return the interpreter of a venv with tritonclient; made once, then kept."""
    return make_venv(*CLIENT)


@pytest.fixture(scope="session")
def mlflow_python() -> Path:
    """Return the interpreter of a venv with MLflow's scoring client."""
    return make_venv(*SERVER)


@pytest.fixture(scope="session")
def azure_python() -> Path:
    """Return the interpreter of a venv with Azure's SDK."""
    return make_venv(*AZURE)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A gateway that the tests of a file share; each has an endpoint of its own."""
    workbench = Bench(tmp_path_factory.mktemp("protocols") / "lab")
    workbench.start_gateway()
    yield workbench
    workbench.close()


@pytest.fixture(scope="module")
def serve(bench: Bench) -> Serve:
    """Return a function that deploys a model once under a name and returns the endpoint's URL."""
    known: dict[str, str] = {}

    def deploy(name: str, content: bytes, *, version: str = "1", **files: str) -> str:
        if name not in known:
            tree = bench.files(model_onnx=content, **files)
            model: dict[str, Any] = {"name": "blue", "revision": 1, "model_tree": tree}
            settings = {"max_concurrent_requests_per_instance": 4, "request_timeout_ms": 30000}
            model.update(model_ref=f"azureml:{name}:{version}", request_settings=settings)
            bench.door.change(name, model, traffic={"blue": 100})
            _wait_ready(bench, name)
            known[name] = f"http://127.0.0.1:{bench.port}/endpoints/{name}"
        return known[name]

    return deploy


def _wait_ready(bench: Bench, endpoint: str) -> None:
    def reports() -> list[dict[str, Any]]:
        return [report for report in bench.door.reports if report.get("endpoint") == endpoint]

    with bench.door.changed:
        assert bench.door.changed.wait_for(lambda: bool(reports()), PATIENCE_S)
    assert reports()[-1]["state"] == "ready", reports()[-1]


@pytest.fixture
def key() -> str:
    return KEY
