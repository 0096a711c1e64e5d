"""``penstock run``, ``experiment`` and ``gc`` on a real workspace with runs made over MLflow's protocol."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Cli

from penstock import Workspace

MLFLOW = "/api/2.0/mlflow"
Make = Callable[..., str]


@pytest.fixture
def make(workspace_folder: Path, request: pytest.FixtureRequest) -> Make:
    """Make a run as MLflow's client does; its experiment is called after the test."""
    ws = Workspace(workspace_folder, create=True)
    experiment = ws.experiments.create(str(request.node.name)).id

    def run(name: str, metrics: dict[str, list[float]] | None = None, **params: Any) -> str:
        post = ws.rest.http.post
        body = {"experiment_id": experiment, "run_name": name, "start_time": 1_700_000_000_000}
        run_id = str(post(f"{MLFLOW}/runs/create", body)["run"]["info"]["run_id"])
        points = [
            {"key": key, "value": value, "timestamp": step, "step": step}
            for key, values in (metrics or {}).items()
            for step, value in enumerate(values)
        ]
        pairs = [{"key": key, "value": str(value)} for key, value in params.items()]
        post(f"{MLFLOW}/runs/log-batch", {"run_id": run_id, "metrics": points, "params": pairs})
        return run_id

    return run


def test_list_filters_orders_and_selects(lab: Cli, make: Make, request: pytest.FixtureRequest) -> None:
    for number in range(4):
        make(f"r{number}", {"accuracy": [number / 3]}, lr=number)
    done = lab(
        "run",
        "list",
        "-e",
        request.node.name,
        "--filter",
        "metrics.accuracy > 0.5 or params.lr = '0'",
        "--order-by",
        "metrics.accuracy desc",
        "--columns",
        "metrics.accuracy,params.lr",
    )
    assert done.status == 0, done.err
    head, *rows = [line.split() for line in done.out.splitlines()]
    assert head == ["RUN", "NAME", "metrics.accuracy", "params.lr"]
    assert [row[1:] for row in rows] == [["r3", "1", "3"], ["r2", "0.666667", "2"], ["r0", "0", "0"]]
    tsv = lab("run", "search", "params.lr = '3'", "-e", request.node.name, "-c", "metrics.accuracy", "-o", "tsv")
    assert tsv.out.rstrip("\n").split("\t")[1:] == ["r3", "1.0"]
    found = lab("run", "list", "-e", request.node.name, "-o", "json", "--query", "[].params.lr")
    assert sorted(found.data) == ["0", "1", "2", "3"]


def test_a_list_without_runs_is_its_header(lab: Cli, make: Make, request: pytest.FixtureRequest) -> None:
    make("r", {"loss": [1.0]}, lr=1)
    done = lab("run", "list", "-e", request.node.name, "--filter", "metrics.loss > 2", "-c", "params.lr")
    assert done.out.split() == ["RUN", "NAME", "params.lr"]
    assert "No runs match." in done.err
    assert "params.lr" not in done.err
    assert lab("run", "list", "--filter", "metrics.loss > 1e300", "-o", "json").data == []


def test_a_column_that_no_run_has_is_said(lab: Cli, make: Make, request: pytest.FixtureRequest) -> None:
    make("r", {"loss": [1.0]})
    done = lab("run", "list", "-e", request.node.name, "-c", "metrics.loss,metrics.nope")
    assert done.status == 0
    assert "none of these runs has metrics.nope." in done.err
    assert "metrics.loss" not in done.err


def test_a_misspelling_finds_nothing_and_says_so(
    lab: Cli, make: Make, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    make("r", {"accuracy": [1.0]})
    done = lab("run", "list", "-e", request.node.name, "--filter", "metrics.accurcy > 1")
    assert done.status == 0
    assert 'note: no run here has a metric "accurcy". Did you mean "accuracy"?' in done.err
    file = tmp_path / "none.jsonl"
    exported = lab("run", "export", "-e", request.node.name, "--filter", "metrics.accurcy > 1", "-f", file)
    assert (exported.status, file.read_text()) == (0, "")
    assert 'note: no run here has a metric "accurcy". Did you mean "accuracy"?' in exported.err
    wrong = lab("run", "list", "--columns", "metric")
    assert (wrong.status, "metrics.NAME" in wrong.err, "columns.attributes" in wrong.err) == (2, True, False)


def test_show_takes_a_prefix(lab: Cli, make: Make) -> None:
    run_id = make("shown", {"loss": [3.0, 0.25]}, lr=0.1)
    done = lab("run", "show", run_id[:12])
    assert [line.split(None, 1) for line in done.out.splitlines()][:2] == [["run:", run_id], ["name:", "shown"]]
    assert "loss=0.25" in done.out
    assert lab("run", "show", run_id, "--query", "params.lr", "-o", "tsv").out == "0.1\n"
    assert lab("run", "show", "nobody").status == 3


def test_compare_shows_what_differs(lab: Cli, make: Make) -> None:
    first = make("one", {"loss": [1.0]}, lr=1, seed=7)
    second = make("two", {"loss": [2.0]}, lr=2, seed=7)
    done = lab("run", "compare", first, second)
    assert [line.split() for line in done.out.splitlines()] == [
        ["one", "two"],
        ["params.lr", "1", "2"],
        ["metrics.loss", "1", "2"],
    ]
    assert "params.seed" in lab("run", "compare", first, second, "--all").out
    assert "the same" in lab("run", "compare", first, first).err
    alone = lab("run", "compare", first)
    assert (alone.status, alone.out) == (2, "")
    assert "two or more" in alone.err


def test_metrics_are_drawn(lab: Cli, make: Make) -> None:
    run_id = make("drawn", {"loss": [1 / (step + 1) for step in range(100)], "accuracy": [0.5]})
    short = lab("run", "metrics", run_id)
    assert "loss" in short.out
    assert "█" in short.out
    curve = lab("run", "metrics", run_id, "loss")
    assert curve.out.startswith("loss of drawn by step\n")
    assert curve.out.rstrip().endswith("99")
    values = lab("run", "metrics", run_id, "loss", "--from-step", "98", "-o", "json").data
    assert [value["step"] for value in values] == [98, 99]
    assert 'Did you mean "loss"?' in lab("run", "metrics", run_id, "los").err


def test_export_writes_a_file(lab: Cli, make: Make, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    make("exported", {"loss": [1.0]}, lr=1)
    file = tmp_path / "runs.csv"
    done = lab("run", "export", "-e", request.node.name, "-c", "metrics.loss,params.lr", "-f", file)
    assert (done.status, done.out) == (0, "")
    rows = list(csv.reader(io.StringIO(file.read_text())))
    assert rows[0] == ["run_id", "metrics.loss", "params.lr"]
    assert rows[1][1:] == ["1.0", "1"]
    assert lab("run", "export", "-f", tmp_path / "runs.txt").status == 2
    nowhere = lab("run", "export", "-f", tmp_path / "nowhere" / "runs.csv")
    assert nowhere.status == 2
    assert "there is no folder" in nowhere.err
    assert not (tmp_path / "nowhere").exists()
    assert "<runs|metrics|points>" in lab("run", "export", "-h").out
    assert lab("run", "export", "-f", file, "--what", "rows").status == 2


def test_tags_and_names_change(lab: Cli, make: Make) -> None:
    run_id = make("tagged")
    tags = lab("run", "tag", run_id, "best=yes", "note=a=b", "--rename", "better", "-o", "json").data
    assert tags == {"best": "yes", "mlflow.runName": "better", "note": "a=b"} | {
        key: value for key, value in tags.items() if key.startswith("mlflow.")
    }
    assert "best" not in lab("run", "tag", run_id, "--remove", "best", "-o", "json").data
    assert lab("run", "tag", run_id, "nonsense").status == 2
    keyless = lab("run", "tag", run_id, "=x")
    assert (keyless.status, '"=x" has no key before the "="' in keyless.err) == (2, True)
    assert lab("run", "tag", run_id, "--remove", "").status == 2
    assert 'no key before the "="' in lab("experiment", "create", "keyless", "--tag", "=x").err
    assert "Which experiments" in lab("experiment", "list", "--help").out


def test_a_change_that_changes_nothing_is_no_event(lab: Cli, make: Make, workspace_folder: Path) -> None:
    run_id = make("untagged")
    assert lab("run", "tag", run_id).status == 2
    Workspace(workspace_folder).runs.set_tags(run_id, {})
    assert lab("audit", "list", "--ref", f"run:{run_id}", "--verb", "update", "-o", "json").data == []


def test_a_deleted_run_is_removed_for_good(lab: Cli, make: Make) -> None:
    run_id = make("removed")
    assert lab("gc", "--run", run_id, "--older-than", "0").status == 4
    assert lab("run", "delete", run_id).err == f"Deleted {run_id}\n"
    assert lab("run", "restore", run_id).err == f"Restored {run_id}\n"
    lab("run", "delete", run_id)
    plan = lab("gc", "--run", run_id, "--older-than", "0")
    assert run_id in plan.out
    assert plan.err.startswith("1 run would go for good.\n")
    assert "dry run" in plan.err
    refused = lab("gc", "--run", run_id, "--older-than", "0", "--apply", stdin=b"n\n")
    assert refused.status != 0
    assert lab("run", "show", run_id).status == 0
    done = lab("gc", "--run", run_id, "--older-than", "0", "--apply", "-y")
    assert "Removed 1 run." in done.err
    shrunk = lab("gc", "--older-than", "9000d", "--vacuum", "--apply", "-y")
    assert "of rows gave " in shrunk.err
    assert lab("gc", "--vacuum", "--older-than", "9000d", "-o", "json").data["vacuum"]["obstacle"] == ""
    assert lab("run", "show", run_id).status == 3
    assert lab("gc", "--older-than", "soon").status == 2


def test_an_experiment_lives(lab: Cli) -> None:
    made = lab("experiment", "create", "cli-life", "--tag", "team=vision", "-o", "json").data
    assert made["tags"] == {"team": "vision"}
    assert (
        lab("experiment", "rename", "cli-life", "cli-second-life", "--query", "id", "-o", "tsv").out.strip()
        == made["id"]
    )
    assert lab("experiment", "delete", "cli-second-life").err == "Deleted cli-second-life\n"
    assert "cli-second-life" in lab("experiment", "list", "--view", "deleted").out
    assert "cli-second-life" not in lab("experiment", "list").out
    taken = lab("experiment", "create", "cli-second-life")
    assert taken.status == 4
    assert "penstock gc -e cli-second-life --older-than 0 --apply" in taken.err
    assert lab("experiment", "restore", made["id"]).status == 0
    assert lab("experiment", "show", "cli-second-life", "--query", "lifecycle_stage").data == "active"


def test_the_list_of_jobs_tells_of_other_runs(lab: Cli, make: Make, request: pytest.FixtureRequest) -> None:
    make("no job")
    done = lab("job", "list", "--experiment-name", request.node.name)
    assert f"`penstock run list -e {request.node.name}` shows them" in done.err
