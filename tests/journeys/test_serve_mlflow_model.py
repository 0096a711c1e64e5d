"""What the guide says of serving a model that MLflow logged, done as it says."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.journeys.conftest import Lab
from tests.mlflow.venvs import FULL, make_venv

from penstock.home import Home

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "serve.md"
BUILD_S = 900.0
TRAIN = """
import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

mlflow.autolog(silent=True, log_models=False)
x, y = load_iris(return_X_y=True, as_frame=True)
with mlflow.start_run():
    model = LogisticRegression(max_iter=200).fit(x, y)
    mlflow.sklearn.log_model(model, name="classifier", registered_model_name="iris", pip_requirements=[])
mlflow.MlflowClient().set_registered_model_alias("iris", "champion", 1)
"""
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]
COLUMNS = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]


def block(language: str, first_line: str) -> str:
    (found,) = re.findall(rf"```{language}\n({re.escape(first_line)}\n.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    return str(found)


def test_an_mlflow_model_answers_as_the_guide_says(lab: Lab, wait_until: Callable[..., None], tmp_path: Path) -> None:
    lab.run("up", "--background")
    token = Home(lab.folder).read_token()
    assert token
    place = {"MLFLOW_TRACKING_URI": lab.record().url, "MLFLOW_TRACKING_TOKEN": token}
    subprocess.run([make_venv(*FULL), "-c", TRAIN], env={**lab.environment, **place}, cwd=tmp_path, check=True)

    (tmp_path / "onlinescoring").mkdir()
    (tmp_path / "onlinescoring" / "score.py").write_text(block("python", "# score.py for a model of MLflow"))
    (tmp_path / "endpoint.yml").write_text("name: iris\nauth_mode: key\n")
    deployment = block("yaml", "# mlflow.yml")
    alone = re.sub(r"code_configuration:.*", "", deployment, flags=re.DOTALL)
    (tmp_path / "alone.yml").write_text(alone)
    (tmp_path / "mlflow.yml").write_text(deployment)
    asked = {"input_data": {"columns": COLUMNS, "data": ROWS}}
    (tmp_path / "request.json").write_text(json.dumps(asked))

    lab.run("online-endpoint", "create", "-f", tmp_path / "endpoint.yml")
    lab.run("online-deployment", "create", "-f", tmp_path / "alone.yml", status=2)
    create = ("online-deployment", "create", "-f", tmp_path / "mlflow.yml", "--all-traffic")
    lab.run(*create, patience_s=BUILD_S)
    answer = json.loads(lab.run("online-endpoint", "invoke", "-n", "iris", "-r", tmp_path / "request.json"))
    assert answer == [0, 2]

    # Deleted and restarted, it goes on under the name it was logged by.
    lab.run("model", "delete", "-n", "iris", "-v", "1", "--yes", status=4)
    lab.run("model", "delete", "-n", "iris", "-v", "1", "--yes", "--force")
    lab.run("gc", "--apply", "--older-than", "0", "--yes")
    lab.run("down")
    lab.run("up", "--background")
    shown = lab.read("online-deployment", "show", "-n", "blue", "-e", "iris")
    assert shown["model_name"] == "classifier"

    def answers() -> bool:
        """Ask as curl does: until the script has loaded its model again there is no replica."""
        keys = lab.read("online-endpoint", "get-credentials", "-n", "iris")
        sent = urllib.request.Request(
            f"{lab.record().gateway_url}/endpoints/iris/score",
            json.dumps(asked).encode(),
            {"Authorization": f"Bearer {keys['primary_key']}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(sent, timeout=60) as reply:
                return bool(json.load(reply) == answer)
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            return False

    wait_until(answers, "the deployment answers after a restart")
