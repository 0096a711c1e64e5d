"""What README shows runs as it stands: its first job, its commands in their order, its Python.

A small script stands for ``train.py``; everything else is README's own text, or a file that it links to.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
BIN = str(Path(sys.executable).parent)

TRAIN = """\
import sys
from pathlib import Path

import penstock
from onnx import TensorProto, helper

print("called with", sys.argv[1:])
penstock.log_metric("loss", 0.3, step=1)
model = Path("outputs/model")
model.mkdir(parents=True)
graph = helper.make_graph(
    [
        helper.make_node("MatMul", ["x", "weights"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"]),
    ],
    "stand-in",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
    [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 10])],
    [helper.make_tensor("weights", TensorProto.FLOAT, [64, 10], [float(n % 10 == 7) for n in range(640)])],
)
made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
(model / "model.onnx").write_bytes(made.SerializeToString())
(model / "labels.txt").write_text("".join(f"{digit}\\n" for digit in range(10)))
(model / "preprocessing.yml").write_text("mode: L\\nwidth: 8\\nheight: 8\\nscale: 240\\nlayout: flat\\n")
"""


def blocks(kind: str) -> list[str]:
    """Return README's code blocks of one kind."""
    return re.findall(rf"```{kind}\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Give a function that runs one line in a shell, in a folder of its own; stop the servers at the end."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def in_shell(line: str) -> str:
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text(TRAIN)
    yield in_shell
    for workspace in (".penstock", "lab"):
        if (tmp_path / workspace).exists():
            in_shell(f"penstock down -w {workspace} --cancel-jobs")


@pytest.mark.example
def test_the_first_job_and_the_commands_work(run, tmp_path: Path) -> None:
    [job] = blocks("yaml")
    (tmp_path / job.splitlines()[0].removeprefix("# ")).write_text(job)
    shutil.copy(ROOT / "examples" / "01_digits" / "blue.yml", tmp_path)
    picture = io.BytesIO()
    Image.new("L", (8, 8), 240).save(picture, "PNG")
    (tmp_path / "picture.json").write_text(json.dumps({"image": base64.b64encode(picture.getvalue()).decode()}))

    lines = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    said: dict[str, str] = {}
    for line in lines:
        if "JOB" in line:
            line = line.replace("JOB", run("penstock job list -o tsv --query '[0].name'").strip())
        said[" ".join(line.split()[:3])] = run(line)

    assert "called with ['--learning-rate', '0.001']" in said["penstock job create"]
    assert "digits" in said["penstock job list"]
    assert json.loads(said["penstock online-endpoint invoke"])["predictions"][0]["label"] == "7"
    assert list(said)[-1] == "penstock down"
    assert "not running" in run("penstock status || true")


@pytest.mark.example
def test_the_python_works(run, tmp_path: Path) -> None:
    [snippet] = blocks("python")
    (tmp_path / "snippet.py").write_text(snippet)
    said = run("python snippet.py")
    assert "called with []" in said
    assert "{'loss': [0.3]}" in said
