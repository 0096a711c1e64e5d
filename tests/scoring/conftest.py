from __future__ import annotations

from pathlib import Path

import pytest
from tests.mlflow.venvs import make_venv
from tests.scoring.record import PUBLIC

SCHEMA = ("inference-schema", ("inference-schema[numpy-support,pandas-support]==1.8",))
"""What scripts with ``@input_schema`` bring along; the scoring server itself is not in it."""
INSTALLING = frozenset({"schema_python", "public_python"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test that may be the first to install something the time that takes on a slow, loaded machine."""
    for item in items:
        if INSTALLING & set(getattr(item, "fixturenames", ())) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def schema_python() -> Path:
    """Return the interpreter of a venv with inference-schema; made once, then kept."""
    return make_venv(*SCHEMA)


@pytest.fixture(scope="session")
def public_python() -> Path:
    """Return the interpreter of a venv with the public scoring server."""
    return make_venv(*PUBLIC)
