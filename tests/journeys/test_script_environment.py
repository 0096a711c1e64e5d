"""A deployment whose script brings its decorators along: inference-schema in the pip list of its conda file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.journeys.conftest import Lab
from tests.scoring.cases import NUMPY

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

BUILD_S = 500.0
DEPLOYMENT = """
name: {name}
endpoint_name: sums
model: {model}
code_configuration:
  code: code
  scoring_script: score.py
environment:
  conda_file: {conda}
"""
CONDA = """
dependencies:
  - pip:
      - inference-schema[numpy-support]==1.8
"""


def test_a_script_with_a_schema_runs_in_the_environment_of_its_conda_file(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(NUMPY)
    (tmp_path / "weights.bin").write_bytes(b"1")
    (tmp_path / "conda.yml").write_text(CONDA)
    for name in ("blue", "green"):  # the second finds what was built for the first
        text = DEPLOYMENT.format(name=name, model="azureml:sums:1", conda="conda.yml")
        (tmp_path / f"{name}.yml").write_text(text)
    (tmp_path / "right.json").write_text('{"data": [[1, 2], [3, 4]]}')
    (tmp_path / "wrong.json").write_text("[]")

    lab.run("up", "--background")
    lab.run("model", "create", "-n", "sums", "--path", tmp_path / "weights.bin")
    lab.run("online-endpoint", "create", "-n", "sums")
    lab.run("online-deployment", "create", "-f", tmp_path / "blue.yml", "--all-traffic", patience_s=BUILD_S)
    lab.run("online-deployment", "create", "-f", tmp_path / "green.yml")
    invoke = ("online-endpoint", "invoke", "-n", "sums", "-r")
    for name in ("blue", "green"):
        answer = json.loads(lab.run(*invoke, tmp_path / "right.json", "--deployment-name", name))
        assert answer == {"sums": [3.0, 7.0], "kind": "ndarray", "dtype": "float64"}
    refused = lab.run(*invoke, tmp_path / "wrong.json", status=4)
    assert refused == ""
