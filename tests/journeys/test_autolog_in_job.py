"""A plain MLflow script inside a job: nothing is set up, and what it logs is the job's own run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.journeys.conftest import Lab
from tests.mlflow.venvs import FULL, make_venv

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

SCRIPT = """
import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

mlflow.autolog(silent=True, log_models=False)
x, y = load_iris(return_X_y=True)
with mlflow.start_run() as run:
    model = LogisticRegression(max_iter=200).fit(x, y)
    info = mlflow.sklearn.log_model(model, name="iris", pip_requirements=["scikit-learn"])
    mlflow.register_model(info.model_uri, "iris-of-job")
mlflow.MlflowClient().set_registered_model_alias("iris-of-job", "champion", 1)
back = mlflow.pyfunc.load_model("models:/iris-of-job@champion")
assert (back.predict(x) == model.predict(x)).all()
print("logged", run.info.run_id)
"""
JOB = """
name: iris-job
command: {python} train.py
code: code
experiment_name: iris
"""
SCORE = """
import os, pathlib

def init():
    global files
    root = pathlib.Path(os.environ["AZUREML_MODEL_DIR"])
    files = sorted(path.name for path in root.rglob("*") if path.is_file())

def run(raw):
    return files
"""
DEPLOYMENT = """
name: blue
endpoint_name: iris
model: azureml:iris-of-job@champion
code_configuration: {code: scoring, scoring_script: score.py}
instance_count: 1
"""


def test_script_with_autolog_needs_nothing_set_up(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text(SCRIPT)
    (tmp_path / "job.yml").write_text(JOB.format(python=make_venv(*FULL)))
    lab.run("up", "--background")
    log = lab.run("job", "create", "-f", tmp_path / "job.yml", "--stream")
    assert "logged iris-job" in log
    assert lab.read("job", "show", "-n", "iris-job")["status"] == "Completed"
    assert "iris-of-job" in {model["name"] for model in lab.read("model", "list")}
    # What MLflow registered is what an endpoint serves.
    (tmp_path / "scoring").mkdir()
    (tmp_path / "scoring" / "score.py").write_text(SCORE)
    (tmp_path / "endpoint.yml").write_text("name: iris\nauth_mode: key\n")
    (tmp_path / "blue.yml").write_text(DEPLOYMENT)
    (tmp_path / "request.json").write_text("{}")
    lab.run("online-endpoint", "create", "-f", tmp_path / "endpoint.yml")
    lab.run("online-deployment", "create", "-f", tmp_path / "blue.yml", "--all-traffic")
    files = json.loads(lab.run("online-endpoint", "invoke", "-n", "iris", "-r", tmp_path / "request.json"))
    assert "MLmodel" in files
