"""A run's files and relations on the command line, for runs that are no jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Cli

from penstock import Workspace

MLFLOW = "/api/2.0/mlflow"
FILES = {"model/MLmodel": b"flavors: {}", "model/data/w.bin": b"w" * 17_600, "notes.txt": b"hello"}


@pytest.fixture
def ws(workspace_folder: Path) -> Workspace:
    return Workspace(workspace_folder, create=True)


def make(ws: Workspace, experiment: str, name: str, **tags: str) -> str:
    body: dict[str, Any] = {
        "experiment_id": experiment,
        "run_name": name,
        "start_time": 1_700_000_000_000,
        "tags": [{"key": key.replace("__", "."), "value": value} for key, value in tags.items()],
    }
    return str(ws.rest.http.post(f"{MLFLOW}/runs/create", body)["run"]["info"]["run_id"])


@pytest.fixture
def run_id(ws: Workspace, request: pytest.FixtureRequest) -> str:
    """Make a run with files as MLflow's client does; its experiment is called after the test."""
    experiment = ws.experiments.create(str(request.node.name)).id
    made = make(ws, experiment, "with files")
    put(ws, experiment, made, FILES)
    return made


def put(ws: Workspace, experiment: str, run: str, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        place = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/{path}"
        ws.rest.http.request("PUT", place, body=content).read()


def test_files_are_listed_with_their_sizes(lab: Cli, run_id: str) -> None:
    lines = [line.split(None, 1) for line in lab("run", "files", run_id[:8]).out.splitlines()]
    assert lines == [
        ["PATH", "SIZE"],
        ["model/MLmodel", "11 bytes"],
        ["model/data/w.bin", "17.6 KB"],
        ["notes.txt", "5 bytes"],
    ]
    listed = lab("run", "files", run_id, "model", "-o", "json").data
    assert listed == [{"path": "model/MLmodel", "size": 11}, {"path": "model/data/w.bin", "size": 17_600}]
    wrong = lab("run", "files", run_id, "nope")
    assert wrong.status == 3
    assert f"penstock run files {run_id}" in wrong.err


def test_files_are_downloaded_whole_in_part_and_alone(lab: Cli, run_id: str, tmp_path: Path) -> None:
    def below(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    assert "3 files in" in lab("run", "download", run_id, "-d", tmp_path / "all").err
    assert below(tmp_path / "all") == FILES
    lab("run", "download", run_id, "model/", "-d", tmp_path / "model")
    assert below(tmp_path / "model") == {"MLmodel": FILES["model/MLmodel"], "data/w.bin": FILES["model/data/w.bin"]}
    lab("run", "download", run_id, "model/data/w.bin", "-d", tmp_path / "one")
    assert below(tmp_path / "one") == {"w.bin": FILES["model/data/w.bin"]}
    assert lab("run", "download", run_id, "nope", "-d", tmp_path / "none").status == 3


def test_a_download_goes_on_where_it_was_cut_off(lab: Cli, run_id: str, tmp_path: Path) -> None:
    lab("run", "download", run_id, "-d", tmp_path)
    there = tmp_path / "notes.txt"
    before = there.stat()
    (tmp_path / "model" / "MLmodel").unlink()
    (tmp_path / "model" / "data" / "w.bin").write_bytes(b"x" * 17_600)
    assert "3 files" in lab("run", "download", run_id, "-d", tmp_path).err
    assert (there.stat().st_ino, there.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (tmp_path / "model" / "MLmodel").read_bytes() == FILES["model/MLmodel"]
    assert (tmp_path / "model" / "data" / "w.bin").read_bytes() == FILES["model/data/w.bin"]


def test_show_names_what_is_around_a_run(lab: Cli, ws: Workspace, request: pytest.FixtureRequest) -> None:
    experiment = ws.experiments.create(str(request.node.name)).id
    parent = make(ws, experiment, "the parent", mlflow__note__content="Why I did it.")
    child = make(ws, experiment, "the child", mlflow__parentRunId=parent)
    make(ws, experiment, "the other child", mlflow__parentRunId=parent)
    put(ws, experiment, parent, FILES)
    shown = lab("run", "show", parent).out
    assert "Why I did it." in shown
    assert f"the child ({child[:8]}, RUNNING)" in shown
    assert "the other child" in shown
    assert "model/, notes.txt (5 bytes)" in shown
    assert f"the parent ({parent[:8]}, RUNNING)" in lab("run", "show", child).out


def test_a_model_of_a_path_that_is_not_there_says_how_to_list_files(lab: Cli, run_id: str) -> None:
    done = lab("model", "create", "-n", "nope", "-p", f"runs:/{run_id}/zzz")
    assert done.status == 2
    assert f"penstock run files {run_id}" in done.err
