"""An outage of the whole server in the middle of training: nothing that was logged is lost, no job fails.

An hour is shortened to as many calls as it would have brought; the scripts wait for the test, never for a time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow.venvs import CLIENT, FULL, make_venv

BEFORE, AWAY, AFTER = 20, 600, 20
STEPS = BEFORE + AWAY + AFTER

PRELUDE = f"""
import os, pathlib, sys, time
BEFORE, AWAY, AFTER = {BEFORE}, {AWAY}, {AFTER}
flags = pathlib.Path(sys.argv[1])

def tell(name):
    (flags / name).touch()

def wait(name):
    while not (flags / name).exists():
        time.sleep(0.02)
"""

MLFLOW_SCRIPT = (
    PRELUDE
    + """
import mlflow
from mlflow import MlflowClient

with mlflow.start_run() as run:
    me = run.info.run_id
    mlflow.log_param("before", "1")
    for step in range(BEFORE):
        mlflow.log_metric("loss", step / 2, step=step)
    mlflow.log_text("old", "notes/changed.txt")
    tell("before")
    wait("gone")
    for step in range(BEFORE, BEFORE + AWAY):
        mlflow.log_metric("loss", step / 2, step=step)
        if step % 100 == 0:
            mlflow.log_metrics({"a": step, "b": -step}, step=step)
            mlflow.set_tag("progress", str(step))
    mlflow.log_params({"away": "2", "also": "3"})
    mlflow.log_text("new", "notes/changed.txt")
    pathlib.Path("large.bin").write_bytes(b"0123456789abcdef" * 200_000)
    mlflow.log_artifact("large.bin", "files")
    seen = MlflowClient().get_run(me)
    assert seen.data.metrics["loss"] == (BEFORE + AWAY - 1) / 2, seen.data.metrics
    assert seen.data.params["away"] == "2"
    with mlflow.start_run(nested=True, run_name="inner") as inner:
        mlflow.log_metric("inside", 1.5)
        mlflow.log_text("of the child", "child.txt")
    (flags / "inner").write_text(inner.info.run_id)
    tell("logged")
    wait("back")
    for step in range(BEFORE + AWAY, BEFORE + AWAY + AFTER):
        mlflow.log_metric("loss", step / 2, step=step)
        if step == BEFORE + AWAY:
            history = MlflowClient().get_metric_history(me, "loss")
            assert [point.step for point in history] == list(range(step + 1)), len(history)
"""
)

SHIM_SCRIPT = (
    PRELUDE
    + """
import penstock
for step in range(BEFORE + AWAY + AFTER):
    if step == BEFORE:
        tell("before")
        wait("gone")
    if step == BEFORE + AWAY:
        penstock.log_param("away", 2)
        penstock.log_text("new", "notes/changed.txt")
        tell("logged")
        wait("back")
    penstock.log_metric("loss", step / 2, step=step)
"""
)

SILENT_SCRIPT = (
    PRELUDE
    + """
import mlflow
tell("before")
wait("gone")
with mlflow.start_run():
    for step in range(AWAY):
        mlflow.log_metric("loss", step / 2, step=step)
    mlflow.log_artifact(__file__)
tell("logged")
"""
)

MODEL_SCRIPT = (
    PRELUDE
    + """
import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

x, y = load_iris(return_X_y=True)
if not (flags / "check").exists():
    mlflow.autolog()
    with mlflow.start_run() as run:
        me = run.info.run_id
        mlflow.log_metric("before", 1.5)
        tell("before")
        wait("gone")
        model = LogisticRegression(max_iter=500).fit(x, y)
        tell("autologged")
        info = mlflow.sklearn.log_model(model, name="digits", params={"c": "1"}, tags={"kind": "linear"})
        tell("modelled")
        mlflow.log_text("hello", "o.txt")
        read = mlflow.artifacts.download_artifacts(run_id=me, artifact_path="o.txt")
        assert pathlib.Path(read).read_text() == "hello"
        for row in (1, 2):
            mlflow.log_table({"row": [row]}, "tables/rows.json")
        for uri in (info.model_uri, f"runs:/{me}/digits", f"models:/{info.model_id}"):
            assert (mlflow.sklearn.load_model(uri).predict(x) == model.predict(x)).all(), uri
        (flags / "model").write_text(info.model_id)
    tell("logged")
    wait("back")
else:
    model_id = (flags / "model").read_text()
    for uri in (f"models:/{model_id}", f"runs:/{os.environ['CHECKED']}/digits", f"runs:/{os.environ['CHECKED']}/model"):
        assert mlflow.pyfunc.load_model(uri).predict(x[:3]).tolist() == [0, 0, 0], uri
    found = mlflow.MlflowClient().get_logged_model(model_id)
    assert (found.status, found.name, found.tags["kind"]) == ("READY", "digits", "linear"), found
    assert (found.params["c"], found.params["max_iter"]) == ("1", "500"), found.params
    outputs = mlflow.get_run(os.environ["CHECKED"]).outputs.model_outputs
    assert model_id in [output.model_id for output in outputs] and len(outputs) == 2, outputs
    mlflow.set_experiment("outage")
    rows = mlflow.load_table("tables/rows.json", run_ids=[os.environ["CHECKED"]])
    assert rows["row"].tolist() == [1, 2], rows
"""
)


@pytest.fixture(scope="session")
def mlflow_python() -> Path:
    return make_venv(*CLIENT)


@pytest.fixture(scope="session")
def sklearn_python() -> Path:
    return make_venv(*FULL)


class Outage:
    """Jobs that share one outage."""

    def __init__(self, lab, folder: Path, wait_until) -> None:
        self.lab = lab
        self.folder = folder
        self.wait_until = wait_until

    def submit(self, name: str, python: str, script: str, **more: object) -> str:
        flags = self.folder / name
        flags.mkdir()
        (flags / "train.py").write_text(script)
        spec = flags / "job.yml"
        environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
        command = f"{python} {flags}/train.py {flags}"
        spec.write_text(
            json.dumps(
                {"command": command, "experiment_name": "outage", "environment_variables": environment, "name": name}
                | more
            )
        )
        return str(self.lab.run("job", "create", "-f", spec, "--query", "name", "-o", "tsv")).strip()

    def wait_for(self, flag: str, *names: str) -> None:
        for name in names:
            self.wait_until((self.folder / name / flag).exists, f"{flag} of {name}")

    def tell(self, flag: str, *names: str) -> None:
        for name in names:
            (self.folder / name / flag).touch()

    def kill_server(self) -> None:
        supervisor, server = self.lab.record().pid, self.lab.server_pid()
        for pid in (supervisor, server):
            os.kill(pid, signal.SIGKILL)
            self.wait_until(lambda pid=pid: not is_running(pid), "the end of the server")

    def steps(self, name: str, key: str = "loss") -> list[int]:
        return [int(point["step"]) for point in self.lab.read("job", "metrics", "-n", name)["metrics"].get(key, [])]

    def mlflow_run(self, run_id: str) -> dict[str, Any]:
        token = self.lab.run("token").strip()
        url = f"{self.lab.record().url}/api/2.0/mlflow/runs/get?run_id={run_id}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            run: dict[str, Any] = json.load(answer)["run"]
        return run

    def files(self, name: str) -> dict[str, bytes]:
        target = self.folder / f"{name}-files"
        self.lab.run("job", "download", "-n", name, "-p", target)
        return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in {b"Z", b"X"}
    except OSError:
        return False


@pytest.fixture
def outage(lab, tmp_path, wait_until, monkeypatch) -> Outage:
    monkeypatch.setitem(os.environ, "PENSTOCK_COMPUTE__SLOTS", "4")
    folder = tmp_path / "jobs"
    folder.mkdir()
    return Outage(lab, folder, wait_until)


@pytest.mark.long
def test_an_hour_without_the_server_loses_nothing_and_fails_no_job(outage, mlflow_python):
    names = ("tracked", "logged", "silent")
    outage.submit("tracked", str(mlflow_python), MLFLOW_SCRIPT)
    outage.submit("logged", "python", SHIM_SCRIPT)
    outage.submit("silent", str(mlflow_python), SILENT_SCRIPT)
    outage.wait_for("before", *names)
    outage.kill_server()
    outage.tell("gone", *names)
    outage.wait_for("logged", *names)
    outage.lab.run("up", "--background")
    outage.tell("back", *names)
    for name in names:
        outage.lab.run("job", "stream", "-n", name)
        assert outage.lab.read("job", "show", "-n", name)["status"] == "Completed"
    assert outage.steps("tracked") == list(range(STEPS))
    assert outage.steps("tracked", "a") == list(range(100, BEFORE + AWAY, 100))
    assert outage.steps("logged") == list(range(STEPS))
    assert outage.steps("silent") == list(range(AWAY))
    files = outage.files("tracked")
    assert files["notes/changed.txt"] == b"new"
    assert files["files/large.bin"] == b"0123456789abcdef" * 200_000
    assert outage.files("logged")["notes/changed.txt"] == b"new"
    assert outage.files("silent")["train.py"] == SILENT_SCRIPT.encode()
    inner = outage.mlflow_run((outage.folder / "tracked" / "inner").read_text())
    assert (inner["info"]["run_name"], inner["info"]["status"]) == ("inner", "FINISHED")
    assert [(m["key"], m["value"]) for m in inner["data"]["metrics"]] == [("inside", 1.5)]
    tracked = outage.mlflow_run("tracked")["data"]
    assert {p["key"]: p["value"] for p in tracked["params"]} == {"before": "1", "away": "2", "also": "3"}
    assert {t["key"]: t["value"] for t in tracked["tags"]}["progress"] == "600"
    logs = outage.lab.run("job", "stream", "-n", "tracked")
    assert "refused" not in logs


@pytest.mark.long
def test_models_are_logged_and_read_without_the_server(outage, sklearn_python):
    outage.submit("fitted", str(sklearn_python), MODEL_SCRIPT)
    outage.wait_for("before", "fitted")
    outage.kill_server()
    outage.tell("gone", "fitted")
    for flag in ("autologged", "modelled", "logged"):
        outage.wait_for(flag, "fitted")
    outage.lab.run("up", "--background")
    outage.tell("back", "fitted")
    logs = outage.lab.run("job", "stream", "-n", "fitted")
    assert outage.lab.read("job", "show", "-n", "fitted")["status"] == "Completed"
    assert "refused" not in logs
    files = outage.files("fitted")
    assert files["o.txt"] == b"hello"
    assert json.loads(files["tables/rows.json"])["data"] == [[1], [2]]
    outage.tell("check", "fitted")
    flags = outage.folder / "fitted"
    environment = {
        **os.environ,
        "CHECKED": "fitted",
        "MLFLOW_TRACKING_URI": outage.lab.record().url,
        "MLFLOW_TRACKING_TOKEN": outage.lab.run("token").strip(),
    }
    checked = [str(sklearn_python), str(flags / "train.py"), str(flags)]
    subprocess.run(checked, env=environment, check=True, timeout=300)


LOST_SCRIPT = (
    PRELUDE
    + """
import mlflow
if (flags / "back").exists():
    sys.exit()
tell("before")
wait("gone")
with mlflow.start_run():
    for step in range(AWAY):
        mlflow.log_metric("loss", step / 2, step=step)
    mlflow.log_text("kept", "kept.txt")
    tell("logged")
    os.kill(os.getppid(), 9)  # the agent: bash runs a single command in its own place
    wait("never")
"""
)


@pytest.mark.long
def test_what_a_killed_agents_relay_acknowledged_is_there(outage, mlflow_python, monkeypatch):
    monkeypatch.setitem(os.environ, "PENSTOCK_JOBS__MAX_ATTEMPTS", "1")
    outage.submit("lost", str(mlflow_python), LOST_SCRIPT)
    outage.wait_for("before", "lost")
    outage.kill_server()
    outage.tell("gone", "lost")
    outage.wait_for("logged", "lost")
    outage.lab.run("up", "--background")
    outage.lab.run("job", "stream", "-n", "lost", status=1)
    shown = outage.lab.read("job", "show", "-n", "lost")
    assert (shown["status"], shown["error"]["code"]) == ("Failed", "AttemptsExhausted")
    assert outage.steps("lost") == list(range(AWAY))
    assert outage.files("lost")["kept.txt"] == b"kept"
