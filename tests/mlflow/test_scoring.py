"""Models of MLflow served without code, held against MLflow's own scoring server in the same interpreter.

``python -m tests.mlflow.test_scoring`` records what the fast suite holds the converted runtime against.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from tests.inference.converted import RECORDED, check_case
from tests.mlflow.venvs import FULL, make_venv

from penstock.compute.environments.select import Environments
from penstock.entities.asset import Tree, TreeEntry
from penstock.inference.runtimes.converted import ConvertedRuntime
from penstock.serving.conversion import Conversions, Report
from penstock.serving.mlflow_model import MlflowModel, read_model
from penstock.shim import score_worker
from penstock.stores.blobs.local import LocalBlobStore

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

SHIM = Path(score_worker.__file__).parent
PROGRAM = Path(__file__).with_name("scoring_program.py")
CONVERTED = (
    "boosting",
    "clusters",
    "floats",
    "logistic",
    "mixed",
    "names",
    "probabilities",
    "regression",
    "strict",
    "truth",
    "two",
)
KEPT = ("floats", "logistic", "mixed", "probabilities", "regression", "strict", "two")
REFUSED = {"function": "skl2onnx cannot convert it", "without": "no input example"}
Cases = dict[str, list[dict[str, Any]]]


def make_oracle(python: Path, folder: Path) -> Cases:
    subprocess.run([python, PROGRAM, folder, SHIM], check=True, capture_output=True, timeout=500, cwd=folder)
    cases: Cases = json.loads((folder / "cases.json").read_text())
    return cases


def convert(folder: Path, work: Path) -> tuple[Report, Path]:
    """Return what came of a saved model and the folder that would be served."""
    blobs = LocalBlobStore(work / "blobs")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    entries = [
        TreeEntry(path=str(f.relative_to(folder)), digest=d, size=s) for f in files for d, s in [blobs.put_file(f)]
    ]
    tree = Tree(entries=tuple(entries))
    model = read_model(blobs, tree)
    assert isinstance(model, MlflowModel)
    conversions = Conversions(blobs, Environments(work / "envs"), work / "converted")
    report = conversions.convert(tree, model, None, print)
    served = work / f"served-{folder.name}"
    if report["verdict"] == "equal":
        served.mkdir()
        for entry in conversions.served_tree(tree, None).entries:
            (served / entry.path).write_bytes(blobs.read(entry.digest))
    return report, served


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def oracle(full_python: Path, folder: Path) -> Cases:
    return make_oracle(full_python, folder)


def test_the_worker_answers_as_the_scoring_server(oracle: Cases) -> None:
    assert sum(case["status"] == 200 for cases in oracle.values() for case in cases) > 100
    for name, cases in oracle.items():
        for case in cases:
            status, answer = case["worker"]
            if case["status"] == 200 or isinstance(case["answer"], str):
                assert (status, answer) == (case["status"], case["answer"]), (name, case)
            elif status == 500:  # the model failed: not what the client did, and nobody's business
                assert "unexpected error while evaluating the model" in case["answer"]["message"]
                assert answer["message"] == "The model failed on this request. Check the logs for more info."
            else:
                assert status == case["status"], (name, case)
                assert answer["message"] == case["answer"]["message"][:2000]
                assert answer["schema"]


@pytest.mark.parametrize("name", CONVERTED)
def test_a_converted_model_answers_as_the_scoring_server(
    oracle: Cases, folder: Path, tmp_path: Path, name: str
) -> None:
    report, served = convert(folder / name, tmp_path)
    assert report["verdict"] == "equal", report
    assert report["samples"] == 1000
    assert report["versions"]["scikit-learn"]
    runtime = ConvertedRuntime(served)
    runtime.warm_up()
    for case in oracle[name]:
        check_case(runtime, case)


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_is_not_converted_says_why(oracle: Cases, folder: Path, tmp_path: Path, name: str) -> None:
    report, _ = convert(folder / name, tmp_path)
    assert report["verdict"] == "refused"
    assert REFUSED[name] in report["reason"]


def test_a_model_of_another_scikit_learn_is_converted_in_an_environment_of_its_own(
    oracle: Cases, folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "other"
    shutil.copytree(folder / "logistic", copy)
    text = (copy / "MLmodel").read_text()
    (copy / "MLmodel").write_text(re.sub(r"sklearn_version: .*", "sklearn_version: 1.0.0", text))
    report, served = convert(copy, tmp_path)
    assert report["verdict"] == "equal", report
    assert report["versions"]["mlflow"] == FULL[1][0].partition("==")[2]
    for case in oracle["logistic"]:
        check_case(ConvertedRuntime(served), case)


def record() -> None:
    """Write the converted models and what the scoring server said."""
    with tempfile.TemporaryDirectory() as text:
        models = Path(text) / "models"
        models.mkdir()
        cases = make_oracle(make_venv(*FULL), models)
        shutil.rmtree(RECORDED, ignore_errors=True)
        for name in KEPT:
            _, served = convert(models / name, Path(text) / name)
            shutil.copytree(served, RECORDED / name)
            kept = [{key: case[key] for key in ("content_type", "body", "status", "answer")} for case in cases[name]]
            for case in kept:
                if case["status"] != 200:
                    case["answer"] = None
            (RECORDED / name / "cases.json").write_text(json.dumps(kept, indent=0) + "\n")


if __name__ == "__main__":
    record()
