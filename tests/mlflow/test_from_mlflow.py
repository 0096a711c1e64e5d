"""The script that moves an MLflow server's content into a workspace, run between two real servers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow.client import run_program
from tests.mlflow.peer import serving_mlflow
from tests.mlflow.venvs import ROOT
from tests.server.harness import House

pytestmark = [pytest.mark.long, pytest.mark.twin, pytest.mark.timeout(600)]
SCRIPT = ROOT / "examples" / "from_mlflow" / "copy_from_mlflow.py"

FILL = """
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric
exp = client.create_experiment("moved", tags={"team": "x"})
parent = client.create_run(exp, start_time=1000, run_name="parent", tags={"k": "v"}).info.run_id
child = client.create_run(exp, start_time=2000, run_name="child", tags={"mlflow.parentRunId": parent}).info.run_id
for start in range(0, 1500, 500):
    client.log_batch(child, metrics=[Metric("loss", 1 / (step + 1), 5, step) for step in range(start, start + 500)])
client.log_param(child, "lr", "0.1")
client.log_inputs(child, [DatasetInput(Dataset("d", "1", "local", "{}"), [InputTag("mlflow.data.context", "train")])])
client.log_text(child, "hello", "notes/a.txt")
model = client.create_logged_model(exp, name="net", source_run_id=child, params={"p": "1"}, tags={"t": "1"})
pathlib.Path("weights").write_text("123")
client.log_model_artifact(model.model_id, "weights")
client.finalize_logged_model(model.model_id, "READY")
client.log_metric(child, "acc", 0.5, timestamp=6, step=1, model_id=model.model_id)
client.log_outputs(child, [mlflow.entities.LoggedModelOutput(model.model_id, 1)])
client.set_terminated(parent, "FAILED", 3000)
client.set_terminated(child, "FINISHED", 4000)
client.create_registered_model("net", {"a": "b"}, "what it is")
client.log_text(child, "x", "m/MLmodel")
for number in range(3):
    client.create_model_version("net", f"runs:/{child}/m", child, tags={"n": str(number)})
client.create_model_version("net", f"models:/{model.model_id}", child, model_id=model.model_id)
client.delete_model_version("net", "2")
client.set_registered_model_alias("net", "champion", "4")
client.transition_model_version_stage("net", "3", "Staging")
"""

SEE = """
exp = client.get_experiment_by_name("moved")
runs = {run.info.run_name: run for run in client.search_runs([exp.experiment_id])}
child, parent = runs["child"], runs["parent"]
mine = lambda tags: {k: v for k, v in tags.items() if k in ("k", "t", "n", "team", "a")}
models = client.search_logged_models([exp.experiment_id])
versions = sorted(client.search_model_versions("name = 'net'"), key=lambda v: int(v.version))
champion = client.get_model_version_by_alias("net", "champion")
local = mlflow.artifacts.download_artifacts("models:/net@champion")
result = {
    "experiment": mine(exp.tags),
    "runs": [[r.info.run_name, r.info.status, r.info.start_time, r.info.end_time, r.data.params, r.data.metrics,
              mine(r.data.tags)] for r in (parent, child)],
    "parent": child.data.tags["mlflow.parentRunId"] == parent.info.run_id,
    "history": [[m.step, m.value, m.timestamp] for m in client.get_metric_history(child.info.run_id, "loss")],
    "inputs": [[d.dataset.name, d.dataset.digest, [t.value for t in d.tags]] for d in child.inputs.dataset_inputs],
    "outputs": [[m.model_id == models[0].model_id, m.step] for m in child.outputs.model_outputs],
    "text": mlflow.artifacts.load_text(f"runs:/{child.info.run_id}/notes/a.txt"),
    "models": [[m.name, str(m.status), m.params, mine(m.tags), m.source_run_id == child.info.run_id,
                [[x.key, x.value, x.step] for x in m.metrics]] for m in models],
    "registered": [client.get_registered_model("net").description, mine(client.get_registered_model("net").tags)],
    "versions": [[str(v.version), v.current_stage, mine(v.tags), v.run_id == child.info.run_id] for v in versions],
    "champion": [str(champion.version), (pathlib.Path(local) / "weights").read_text()],
}
"""


@pytest.fixture
def old_server(full_python: Path, tmp_path: Path) -> Iterator[str]:
    """A server of its own: what other tests made on the shared one would be moved too."""
    (tmp_path / "old").mkdir()
    with serving_mlflow(full_python, tmp_path / "old") as url:
        yield url


def test_everything_is_moved_once(house: House, old_server: str, full_python: Path, tmp_path: Path) -> None:
    def copy() -> str:
        done = subprocess.run(
            [str(full_python), str(SCRIPT), old_server],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "MLFLOW_TRACKING_URI": house.url,
                "MLFLOW_TRACKING_TOKEN": house.token,
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def see(url: str, token: str) -> Any:
        place = {"MLFLOW_TRACKING_URI": url, "MLFLOW_TRACKING_TOKEN": token}
        return run_program(full_python, tmp_path, SEE, place)

    run_program(full_python, tmp_path, FILL, {"MLFLOW_TRACKING_URI": old_server})
    assert "moved: 2 runs copied" in copy()
    theirs, ours = see(old_server, ""), see(house.url, house.token)
    assert theirs["versions"][-1][0] == "4"
    assert len(theirs["history"]) == 1500
    assert ours == theirs
    assert "moved: 0 runs copied, 2 were there" in copy()
    assert see(house.url, house.token) == theirs


def test_a_dead_address_is_one_sentence(house: House, full_python: Path) -> None:
    done = subprocess.run(
        [str(full_python), str(SCRIPT), "http://127.0.0.1:9"],
        env={"PATH": os.environ["PATH"], "MLFLOW_TRACKING_URI": house.url, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert said.startswith("error: no MLflow server answers at http://127.0.0.1:9: ")
    assert "Traceback" not in done.stderr
