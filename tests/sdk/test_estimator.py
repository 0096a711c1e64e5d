from __future__ import annotations

from pathlib import Path

import pytest

from penstock import Estimator, Input, Output
from penstock.entities.errors import JobFailedError, UsageError

SCRIPT = """
import argparse, pathlib
import penstock
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--data")
parser.add_argument("--model")
args = parser.parse_args()
penstock.log_metric("rate", args.rate)
pathlib.Path(args.model, "copy").write_text(pathlib.Path(args.data).read_text())
"""


@pytest.fixture
def estimator(ws, tmp_path: Path) -> Estimator:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text(SCRIPT)
    (tmp_path / "data.txt").write_text("seven")
    return Estimator(
        ws,
        entry_script="train.py",
        source_directory=tmp_path / "src",
        params={"rate": 0.25},
        outputs={"model": Output(type="uri_folder")},
        experiment_name="estimators",
    )


def test_fit_returns_the_run(estimator: Estimator, tmp_path: Path) -> None:
    run = estimator.fit({"data": Input(type="uri_file", path=str(tmp_path / "data.txt"))}, wait=True)
    assert run.get_metrics() == {"rate": [0.25]}
    assert run.experiment_name == "estimators"
    [copy] = [name for name in run.get_file_names() if name.endswith("copy")]
    assert run.download_file(copy, tmp_path / "copy").read_text() == "seven"


def test_fit_of_a_failing_script_raises_when_waited_for(estimator: Estimator) -> None:
    with pytest.raises(JobFailedError):
        estimator.fit(wait=True, show_output=False)


def test_parameters_are_read_and_set_as_in_scikit_learn(estimator: Estimator) -> None:
    assert estimator.get_params()["params__rate"] == 0.25
    assert "params__rate" not in estimator.get_params(deep=False)
    assert estimator.set_params(params__rate=0.5, display_name="half") is estimator
    assert estimator.to_job().inputs["rate"] == 0.5
    assert estimator.to_job().display_name == "half"
    assert Estimator(**estimator.get_params(deep=False)).to_job() == estimator.to_job()
    with pytest.raises(UsageError, match="nosuch"):
        estimator.set_params(nosuch=1)


def test_missing_script_is_said_before_anything_is_sent(ws, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        Estimator(ws, entry_script="nosuch.py", source_directory=tmp_path).fit()
