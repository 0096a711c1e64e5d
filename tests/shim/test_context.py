"""``Run.get_context()``: a script for Azure ML v1 logs as it did."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

import penstock
from penstock.compute.environments.base import SHIM_FOLDER
from penstock.shim import context


@pytest.fixture
def run(job, monkeypatch):
    monkeypatch.setenv("AZUREML_RUN_ID", "calm-river")
    monkeypatch.setenv("AZUREML_EXPERIMENT_NAME", "digits")
    return context.Run.get_context()


def test_a_job_knows_its_run_and_experiment(run, monkeypatch):
    assert (run.id, run.experiment.name, run.parent, run.is_offline) == ("calm-river", "digits", None, False)
    assert context.Run.get_context() is run
    assert penstock.Run.get_context() is run
    monkeypatch.setattr(context, "_contexts", {})
    monkeypatch.setenv("AZUREML_ROOT_RUN_ID", "the-sweep")
    assert context.Run.get_context().parent.id == "the-sweep"  # type: ignore[union-attr] # it has one


def test_the_calls_of_azures_run_are_kept(run, job, tmp_path):
    run.log("loss", np.float32(0.5))
    run.log("loss", 0.25, description="of the second epoch", step=7)
    run.log("note", "ready")
    run.log_list("list", [1, 2], description="two")
    run.log_row("row", x=1, y=2)
    run.log_table("table", {"x": [1, 2], "y": [3, 4]})
    run.log_image("picture", plot=np.zeros((2, 2)))
    run.log_confusion_matrix("cm", {"data": {"class_labels": ["0", "1"], "matrix": [[1, 0], [0, 1]]}})
    run.tag("stage", "one")
    run.tag("bare")
    run.set_tags({"stage": "two"})
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "inner" / "a.txt").write_text("a")
    run.upload_file("outputs/a.txt", tmp_path / "folder" / "inner" / "a.txt")
    run.upload_file("stream.bin", io.BytesIO(b"bytes"))
    run.upload_files(["one.txt"], [tmp_path / "folder" / "inner" / "a.txt"])
    run.upload_folder("whole", tmp_path / "folder")
    run.flush()
    run.complete()
    assert run.get_metrics() == {"loss": [0.5, 0.25], "list": [1.0, 2.0], "row.x": 1.0, "row.y": 2.0}
    assert run.get_metrics("row.x") == {"row.x": 1.0}
    assert run.get_tags() == {"note": "ready", "stage": "two", "bare": ""}
    assert job.artifact("outputs/a.txt") == job.artifact("whole/inner/a.txt") == job.artifact("one.txt") == b"a"
    assert job.artifact("stream.bin") == b"bytes"
    assert {"tables/table.json", "images/picture.png", "confusion_matrix/cm.png"} <= set(job.values("artifact"))


def test_mistakes_are_raised_where_that_is_wanted(strict, run):
    with pytest.raises(ValueError, match="one of them"):
        run.log_image("x")
    with pytest.raises(FileNotFoundError):
        run.upload_file("x", "nowhere")
    with pytest.raises(ValueError, match="names"):
        run.upload_files(["x"], [])
    with pytest.raises(ValueError, match="relative"):
        run.upload_file("../x", io.BytesIO())


def test_damaged_lines_hide_no_metric(run, job):
    run.log("a", 1)
    with (job.folder / "events.jsonl").open("ab") as file:
        file.write(b'{"metric": ["torn\n[]\n')
    run.log("a", float("nan"))
    assert [str(value) for value in run.get_metrics()["a"]] == ["1.0", "nan"]


def test_outside_a_job_it_warns_once_and_keeps_nothing(job, monkeypatch, caplog, tmp_path):
    monkeypatch.delenv("PENSTOCK_SPOOL")
    with caplog.at_level(logging.WARNING):
        run = context.Run.get_context()
        run.log("a", 1)
        run.log_list("b", [1])
        run.upload_file("x", io.BytesIO(b""))
        run.complete()
    assert len(caplog.records) == 1
    assert run.id.startswith("OfflineRun_")
    assert run.is_offline
    assert (run.get_metrics(), run.get_tags()) == ({}, {})
    with pytest.raises(RuntimeError, match="no Penstock job"):
        context.Run.get_context(allow_offline=False)


def test_forks_and_threads_log_side_by_side(run, job):
    program = (
        f"import sys; sys.path.insert(0, {str(SHIM_FOLDER)!r})\n"
        "import os, threading\nfrom penstock import Run\nrun = Run.get_context()\n"
        "def work(name):\n    for step in range(200): run.log(name, step, step=step)\n"
        "threads = [threading.Thread(target=work, args=(f't{n}',)) for n in range(3)]\n"
        "for thread in threads: thread.start()\n"
        "children = []\n"
        "for n in range(3):\n    pid = os.fork()\n"
        "    if not pid:\n        work(f'p{n}')\n        os._exit(0)\n    children.append(pid)\n"
        "for pid in children: assert os.waitpid(pid, 0)[1] == 0\n"
        "for thread in threads: thread.join()\n"
    )
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run([sys.executable, "-W", "ignore", "-S", "-c", program], env=environment, check=True)
    found = run.get_metrics()
    assert all(found[name] == list(range(200)) for name in ("t0", "t1", "t2", "p0", "p1", "p2"))


def test_what_scripts_ask_of_their_run_is_there(run, job, monkeypatch):
    monkeypatch.setenv("AZUREML_ARM_WORKSPACE_NAME", "lab")
    monkeypatch.setenv("PENSTOCK_DISPLAY_NAME", "Calm river")
    monkeypatch.setenv("PENSTOCK_RUN_URL", "http://127.0.0.1:1/#/experiments/1/runs/calm-river")
    assert context.Experiment("digits").workspace.name == "lab"
    assert (run.display_name, run.get_portal_url()[-10:]) == ("Calm river", "calm-river")
    run.tag("stage", "one")
    run.add_properties({"author": "me"})
    run.display_name = "Swift river"
    run.upload_file("outputs/a.bin", io.BytesIO(b"a"))
    assert run.tags == {"stage": "one", "mlflow.runName": "Swift river"}
    assert run.properties == run.get_properties() == {"author": "me"}
    assert (run.status, run.get_details()["displayName"]) == ("Running", "Swift river")
    assert run.get_file_names() == ["outputs/a.bin"]


def test_a_child_logs_to_the_run_under_its_name(run, job):
    with run.child_run("fold1") as child:
        child.log("acc", 0.5)
        child.tag("kind", "fold")
        child.upload_file("a.bin", io.BytesIO(b"a"))
        child.child_run("inner").log("acc", 1)
    assert child.parent is run
    assert child.get_metrics() == {"acc": 0.5, "inner/acc": 1.0}
    assert run.get_metrics() == {"fold1/acc": 0.5, "fold1/inner/acc": 1.0}
    assert run.get_tags() == {"fold1/kind": "fold"}
    assert job.artifact("fold1/a.bin") == b"a"
    for part in run.create_children(2):
        part.log("x", 1)
    assert {"child_1/x", "child_2/x"} <= set(run.get_metrics())


def test_what_is_not_there_is_said_and_goes_on(run, caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            model = run.register_model(model_name="m", model_path="outputs/m.onnx")
        assert model.name.lower() is not None
        assert list(run.input_datasets["digits"].to_path()) == []
        run.experiment.workspace.get_default_datastore()
        run.no_such_thing()
        run.fail("it diverged")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 5
    assert said[0].startswith("tests/shim/test_context.py:")
    assert "mlflow.register_model" in said[0]
    assert "sys.exit" in said[-1]
    assert run.get_tags()["error"] == "it diverged"
    assert not hasattr(run, "_repr_html_")


def test_a_wrong_call_of_the_run_is_said_and_goes_on(run, caplog):
    with caplog.at_level(logging.WARNING):
        run.log_image("x")
        run.upload_file("x", "nowhere")
        run.log("loss", None)
        run.log_row("row", x="none")
    said = [record.getMessage() for record in caplog.records]
    for words, line in zip(("one of them", "no file nowhere", "is None", "'row.x'"), said, strict=True):
        assert words in line


def test_what_is_not_there_is_an_error_where_that_is_wanted(strict, run):
    with pytest.raises(AttributeError, match=r"mlflow\.register_model"):
        run.register_model("m")
