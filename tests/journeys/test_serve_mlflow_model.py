"""Models that MLflow logged in a job, deployed without code: one is converted to ONNX, the other runs by pyfunc."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.journeys.conftest import Lab
from tests.mlflow.venvs import FULL, make_venv

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

BUILD_S = 900.0
TRAIN = """
import json

import mlflow
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


class Squared(TransformerMixin, BaseEstimator):
    def fit(self, x, y=None):
        return self

    def transform(self, x):
        return x**2


x, y = load_iris(return_X_y=True, as_frame=True)
mlflow.sklearn.autolog(log_input_examples=True, registered_model_name="iris", silent=True)
with mlflow.start_run():
    model = LogisticRegression(max_iter=300).fit(x, y)
mlflow.sklearn.autolog(disable=True)
with mlflow.start_run(run_name="custom"):
    custom = make_pipeline(Squared(), LogisticRegression(max_iter=3000)).fit(x, y)
    mlflow.sklearn.log_model(
        custom,
        name="classifier",
        registered_model_name="custom",
        input_example=x[:5],
        serialization_format="cloudpickle",
    )
rows = x[::10]
said = {"iris": model.predict(rows).tolist(), "custom": custom.predict(rows).tolist()}
print("said", json.dumps({"rows": json.loads(rows.to_json(orient="split", index=False)), **said}))
"""
JOB = """
name: iris-job
command: {python} train.py
code: code
experiment_name: iris
"""
DEPLOYMENT = """
name: {name}
endpoint_name: iris
model: azureml:{model}:1
onnx_conversion: {conversion}
"""


def post(lab: Lab, path: str, body: Any, deployment: str) -> tuple[int, Any]:
    """Ask as curl does."""
    keys = lab.read("online-endpoint", "get-credentials", "-n", "iris")
    headers = {
        "Authorization": f"Bearer {keys['primary_key']}",
        "Content-Type": "application/json",
        "azureml-model-deployment": deployment,
    }
    url = f"{lab.record().gateway_url}/endpoints/iris{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_models_of_mlflow_answer_without_code_as_they_answer_themselves(
    lab: Lab, wait_until: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text(TRAIN)
    (tmp_path / "job.yml").write_text(JOB.format(python=make_venv(*FULL)))
    (tmp_path / "endpoint.yml").write_text("name: iris\nauth_mode: key\n")
    for name, model, conversion in (
        ("blue", "iris", "auto"),
        ("green", "custom", "auto"),
        ("red", "custom", "required"),
    ):
        text = DEPLOYMENT.format(name=name, model=model, conversion=conversion)
        (tmp_path / f"{name}.yml").write_text(text)
    lab.run("up", "--background")
    log = lab.run("job", "create", "-f", tmp_path / "job.yml", "--stream", patience_s=BUILD_S)
    (line,) = [line for line in log.splitlines() if "said {" in line]
    said = json.loads(line.partition("said ")[2])
    rows = said.pop("rows")

    lab.run("online-endpoint", "create", "-f", tmp_path / "endpoint.yml")
    for name, model, runtime, verdict in (("blue", "iris", "onnx", "equal"), ("green", "custom", "mlflow", "refused")):
        lab.run("online-deployment", "create", "-f", tmp_path / f"{name}.yml", patience_s=BUILD_S)
        shown = lab.read("online-deployment", "show", "-n", name, "-e", "iris")
        assert (shown["runtime"], shown["conversion"]["verdict"]) == (runtime, verdict), shown["conversion"]
        answer = {"predictions": said[model]}
        assert post(lab, "/invocations", {"dataframe_split": rows}, name) == (200, answer)
        assert post(lab, "/score", {"input_data": rows}, name) == (200, said[model])
        status, problem = post(lab, "/invocations", {"dataframe_split": {"columns": ["a"], "data": [[1]]}}, name)
        assert status == 400
        assert problem["schema"][0]["name"] == "sepal length (cm)"
        assert "sepal length (cm)" in problem["message"]

    assert shown["conversion"]["reason"]
    lab.run("online-deployment", "create", "-f", tmp_path / "red.yml", patience_s=BUILD_S, status=4)
    shown = lab.read("online-deployment", "show", "-n", "red", "-e", "iris")
    assert shown["message"].startswith("the model is not converted to ONNX: skl2onnx cannot convert it")

    # Deleted, collected and restarted, both go on; what was converted is not made again.
    for model in ("iris", "custom"):
        lab.run("model", "delete", "-n", model, "-v", "1", "--yes", "--force")
    lab.run("gc", "--apply", "--older-than", "0", "--yes")
    lab.run("down")
    lab.run("up", "--background")
    for name, model in (("blue", "iris"), ("green", "custom")):
        answer = {"predictions": said[model]}

        def answers(name: str = name, answer: Any = answer) -> bool:
            status, got = post(lab, "/invocations", {"dataframe_split": rows}, name)
            assert status in (200, 503), got
            return status == 200 and bool(got == answer)

        wait_until(answers, f"{name} answers after a restart")
