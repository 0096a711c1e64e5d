"""Run the example small, through the public API: a few iterations, both ways of deploying, one answer."""

from __future__ import annotations

import base64
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from penstock import Workspace

HERE = Path(__file__).parent
PENSTOCK = Path(sys.executable).with_name("penstock")


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("PENSTOCK_WORKSPACE", str(tmp_path / "lab"))
    monkeypatch.chdir(tmp_path)
    ws = Workspace(tmp_path / "lab")
    yield ws
    ws.close()
    monkeypatch.undo()
    environment = {**os.environ, "PENSTOCK_WORKSPACE": str(tmp_path / "lab")}
    subprocess.run([PENSTOCK, "down", "--cancel-jobs"], env=environment, check=True, capture_output=True)


@pytest.mark.example
def test_a_few_iterations_deploy_with_and_without_a_script(workspace, tmp_path):
    run = workspace.jobs.submit(HERE / "job.yml", overrides=["inputs.iterations=5"])
    run.wait_for_completion(show_output=False)

    metrics = run.get_metrics()
    assert len(metrics["loss"]) == 5
    assert metrics["loss"][-1] < metrics["loss"][0]
    assert run.get_latest_metrics()["accuracy"] > 0.8
    assert run.get_params()["keep_prob"] == "0.5"
    assert {"outputs/confusion_matrix.png", "outputs/model/model.onnx"} <= set(run.get_file_names("outputs"))

    run.register_model("digits", "outputs/model")
    for command in (
        ["online-endpoint", "create", "-f", HERE / "endpoint.yml"],
        ["online-deployment", "create", "-f", HERE / "blue.yml", "--all-traffic"],
        ["online-deployment", "create", "-f", HERE / "green.yml"],
    ):
        done = subprocess.run([PENSTOCK, *command], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    workspace.jobs.download(run.name, tmp_path / "files", prefix="named/held_out")
    table = next((tmp_path / "files").rglob("labels.csv"))
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 450
    request = {"images": [base64.b64encode((table.parent / row["file"]).read_bytes()).decode() for row in rows]}
    without_code = workspace.endpoints.invoke("digits", request)["predictions"]
    with_script = workspace.endpoints.invoke("digits", request, deployment="green")["predictions"]
    assert [each["label"] for each in without_code] == [each["label"] for each in with_script]
    correct = sum(answer["label"] == row["label"] for answer, row in zip(without_code, rows, strict=True))
    assert correct / len(rows) == run.get_latest_metrics()["accuracy"]


@pytest.mark.example
def test_the_script_is_tried_on_a_picture_of_a_nine(tmp_path):
    pixels, digits = load_digits(return_X_y=True)
    network = LogisticRegression(max_iter=200).fit(pixels[:1500] / 16, digits[:1500])
    exported = to_onnx(network, np.zeros((1, 64), np.float32), options={"zipmap": False})
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.onnx").write_bytes(exported.SerializeToString())
    nine = np.flatnonzero(digits[1500:] == 9)[0] + 1500
    Image.fromarray((pixels[nine].reshape(8, 8) * 15).astype(np.uint8)).save(tmp_path / "nine.png")

    command = [PENSTOCK, "score", "test", HERE / "onlinescoring" / "score.py", "--model", tmp_path / "model"]
    done = subprocess.run(
        [*command, "--image", tmp_path / "nine.png"], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["predictions"][0]["label"] == "9"
    assert done.stderr.splitlines()[-1] == "predicted: 9"


@pytest.mark.example
@pytest.mark.long
def test_the_notebook_runs(workspace):
    done = subprocess.run([sys.executable, HERE / "notebook.py"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "model:digits:1" in done.stdout
    assert len(list(workspace.jobs.list(experiment_name="digits"))) == 2
