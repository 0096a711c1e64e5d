"""What MLflow would print of a relay's address, which ends with the job, is the server's link in the job's log."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow.venvs import CLIENT, make_venv

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # it may have to install MLflow

SCRIPT = """
import mlflow
with mlflow.start_run():
    mlflow.log_metric("loss", 1.0)
    with mlflow.start_run(nested=True):
        mlflow.log_metric("loss", 2.0)
print("last word")
"""


@pytest.fixture
def run_job(lab, tmp_path: Path):
    """Run a command as a job and return the lines of its log."""
    (tmp_path / "train.py").write_text(SCRIPT)

    def run(name: str, command: str, **environment: str) -> list[str]:
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
        spec: dict[str, Any] = {"name": name, "command": command, "environment_variables": quiet | environment}
        (tmp_path / "job.yml").write_text(json.dumps(spec))
        shown: str = lab.run("job", "create", "-f", tmp_path / "job.yml", "--stream")
        lab.run("job", "download", "-n", name, "-p", tmp_path / name)
        kept = (tmp_path / name / "user_logs" / "std_log.txt").read_text()
        assert all(line in shown for line in kept.splitlines())
        return kept.splitlines()

    return run


def links(lines: list[str]) -> list[str]:
    return [line for line in lines if "http://" in line]


def test_the_log_ends_with_the_servers_link_and_names_no_relay(lab, run_job, tmp_path):
    lines = run_job("linked", f"{make_venv(*CLIENT)} {tmp_path}/train.py; printf 'no end'")
    url = lab.record().url
    assert lines[-3:] == ["last word", "no end", f"penstock: what MLflow logged: {url}/#/experiments/0/runs/linked"]
    assert len(links(lines)) == 1
    with urllib.request.urlopen(f"{url}/", timeout=30) as page:  # where the link leads
        assert page.status == 200
    run = lab.read("run", "show", "linked")
    assert run["experiment_id"] == "0"


def test_a_job_that_never_speaks_mlflow_has_no_such_line(run_job):
    assert run_job("silent", "echo alone") == ["alone"]


def test_who_wants_mlflows_own_lines_gets_them(lab, run_job, tmp_path):
    command = f"{make_venv(*CLIENT)} {tmp_path}/train.py"
    lines = run_job("loud", command, MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="false")
    assert sum("View run" in line for line in lines) == 2
    direct = run_job("direct", command, PENSTOCK_RELAY="0")
    assert all(lab.record().url in line for line in links(direct))
    assert len(links(direct)) == 4
