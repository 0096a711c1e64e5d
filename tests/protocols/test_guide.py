"""What docs/how-to/protocols.md tells people to type is typed here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from penstock.shim.png import encode_png

GUIDE = (Path(__file__).parents[2] / "docs" / "how-to" / "protocols.md").read_text()
PREPROCESSING = "mode: L\nwidth: 8\nheight: 8\nscale: 15\nlayout: flat\n"


def blocks(heading: str, language: str) -> list[str]:
    """Return the blocks of a language in a section."""
    section = GUIDE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


@pytest.fixture(scope="module")
def place(serve, tmp_path_factory):
    """Return a folder with the guide's files, and the environment that its commands are typed in."""
    folder = tmp_path_factory.mktemp("guide")
    rows, labels = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=500, tol=0.01).fit(rows, labels)
    content = to_onnx(model, np.zeros((1, 64), np.float32), options={"zipmap": False}, target_opset=17)
    url = serve("digits", content.SerializeToString(), preprocessing_yml=PREPROCESSING)
    nine = rows[9].astype(int)
    (folder / "sample.json").write_text(json.dumps({"data": [nine.tolist()]}))
    (folder / "nine.png").write_bytes(encode_png(8, 8, 1, bytes((nine * 15).tolist())))
    header = ",".join(f"c{number}" for number in range(64))
    (folder / "rows.csv").write_text(f"{header}\n{','.join(map(str, nine))}\n")
    environment = {"PATH": os.environ["PATH"], "URL": url, "ROWS": json.dumps([nine.tolist()])}
    return folder, environment


def run(place, key, command):
    folder, environment = place
    environment = {**environment, "KEY": key}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_typed_with_curl(place, key):
    (block,) = blocks("curl", "bash")
    lines = block.strip().splitlines()
    answers = [json.loads(run(place, key, ["bash", "-c", line])) for line in lines]
    score, picture, inputs, csv, metadata, raw = answers
    assert score["predictions"][0]["label"] == 9
    assert picture["predictions"][0]["top"][0]["label"] == 9
    assert inputs["predictions"]["label"] == [9]
    assert csv["predictions"][0]["label"] == 9
    assert metadata["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 64]}]
    assert raw["outputs"][0]["data"] == [9]


def test_what_is_written_in_plain_python(place, key):
    (block,) = blocks("Python, without any client", "python")
    assert "predictions" in run(place, key, [sys.executable, "-c", block])


@pytest.mark.long
def test_what_is_written_with_tritonclient(place, key, triton_python):
    (block,) = blocks("tritonclient", "python")
    assert ":9" in run(place, key, [str(triton_python), "-c", block])


@pytest.mark.long
def test_what_is_written_with_mlflows_client(place, key, mlflow_python):
    (block,) = blocks("MLflow's scoring client", "python")
    assert "probabilities" in run(place, key, [str(mlflow_python), "-c", block])
