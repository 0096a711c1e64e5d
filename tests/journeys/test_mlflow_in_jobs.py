"""An unmodified MLflow script as a job, without any set-up: autolog, models, the registry, and reading them back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.mlflow.venvs import FULL, make_venv

SCRIPT = """
import json, sys
import mlflow
from mlflow import MlflowClient
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

assert "127.0.0.1" in mlflow.get_tracking_uri()
mlflow.sklearn.autolog(log_datasets=True)
features, classes = load_iris(return_X_y=True)
client = MlflowClient()
with mlflow.start_run() as run:  # MLFLOW_RUN_ID names the job's own
    model = LogisticRegression(max_iter=200).fit(features, classes)
    info = mlflow.sklearn.log_model(model, name="mine", registered_model_name="iris")
    mlflow.log_table({"a": [1, 2]}, "table.json")
client.set_registered_model_alias("iris", "champion", 1)
client.set_model_version_tag("iris", "1", "checked", "yes")
loaded = mlflow.sklearn.load_model("models:/iris@champion")
assert (loaded.predict(features) == model.predict(features)).all()
assert mlflow.pyfunc.load_model(info.model_uri).predict(features).shape == (150,)
data = client.get_run(run.info.run_id).data
json.dump({"metrics": data.metrics, "params": data.params, "run": run.info.run_id}, open(sys.argv[1], "w"))
"""


@pytest.mark.long
@pytest.mark.timeout(600)  # it may have to install MLflow
def test_autolog_models_and_the_registry_work_in_a_job(lab, tmp_path: Path) -> None:
    python = make_venv(*FULL)
    (tmp_path / "train.py").write_text(SCRIPT)
    spec = {
        "name": "trained",
        "experiment_name": "iris",
        "command": f"{python} {tmp_path}/train.py {tmp_path}/seen.json",
        "environment_variables": {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"},
    }
    (tmp_path / "job.yml").write_text(json.dumps(spec))
    lab.run("job", "create", "-f", tmp_path / "job.yml")
    lab.run("job", "stream", "-n", "trained", patience_s=200)
    assert lab.read("job", "show", "-n", "trained")["status"] == "Completed"
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["run"] == "trained"
    assert seen["params"]["max_iter"] == "200"
    assert seen["metrics"]["training_accuracy_score"] > 0.9
    metrics = lab.read("job", "metrics", "-n", "trained")["metrics"]
    assert metrics["training_accuracy_score"][-1]["value"] == seen["metrics"]["training_accuracy_score"]
    assert lab.read("model", "show", "-n", "iris")["version"] == "1"
    files = {item["path"] for item in lab.read("job", "download", "-n", "trained", "--list")}
    assert "table.json" in files
