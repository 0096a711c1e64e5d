"""``ws.runs``, ``ws.experiments`` and permanent deletion, on a real workspace with runs made over MLflow's protocol."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from penstock import Workspace
from penstock.entities.errors import ConflictError, NotFoundError, SpecError, UsageError

MLFLOW = "/api/2.0/mlflow"


def make_run(ws: Workspace, experiment: str, name: str, **logged: Any) -> str:
    """Make a run as MLflow's client does and return its id."""
    run = ws.rest.http.post(
        f"{MLFLOW}/runs/create",
        {"experiment_id": ws.experiments.get(experiment).id, "run_name": name, "start_time": 1_700_000_000_123},
    )
    run_id = str(run["run"]["info"]["run_id"])
    metrics = [
        {"key": key, "value": value, "timestamp": step, "step": step}
        for key, values in logged.get("metrics", {}).items()
        for step, value in enumerate(values)
    ]
    params = [{"key": key, "value": value} for key, value in logged.get("params", {}).items()]
    ws.rest.http.post(f"{MLFLOW}/runs/log-batch", {"run_id": run_id, "metrics": metrics, "params": params})
    return run_id


@pytest.fixture
def grid(ws: Workspace, request: pytest.FixtureRequest) -> str:
    """An experiment with three runs: a to c, accuracy 0.1 to 0.3; b lacks the loss."""
    name = str(request.node.name)
    ws.experiments.create(name)
    for number, letter in enumerate("abc", start=1):
        metrics = {"accuracy": [0.0, number / 10]} | ({} if letter == "b" else {"loss": [float(number)]})
        make_run(ws, name, letter, metrics=metrics, params={"lr": str(number)})
    return name


def test_a_search_is_a_data_frame(ws: Workspace, grid: str) -> None:
    columns = ["metrics.loss", "metrics.accuracy", "params.lr", "start_time", "end_time", "metrics.absent_so_far"]
    frame = ws.runs.search("", order_by="metrics.accuracy desc", experiments=grid, columns=columns)
    assert list(frame.columns) == [
        "run_id",
        "start_time",
        "end_time",
        "metrics.loss",
        "metrics.accuracy",
        "metrics.absent_so_far",
        "params.lr",
    ]
    assert str(frame["start_time"].dtype) == str(frame["end_time"].dtype) == "datetime64[ms, UTC]"
    assert frame["start_time"][0] == pd.Timestamp("2023-11-14T22:13:20.123Z")
    assert frame["metrics.accuracy"].to_list() == [0.3, 0.2, 0.1]
    assert math.isnan(frame["metrics.loss"][1])
    assert frame["metrics.loss"].dtype == "float64"
    assert frame["params.lr"].to_list() == ["3", "2", "1"]


def test_a_search_may_find_nothing(ws: Workspace, grid: str) -> None:
    frame = ws.runs.search("params.lr = '9'", experiments=grid, columns=["metrics.loss", "start_time"])
    assert (len(frame), list(frame.columns)) == (0, ["run_id", "start_time", "metrics.loss"])
    assert [str(kind) for kind in frame.dtypes] == ["object", "datetime64[ms, UTC]", "float64"]
    frame = ws.runs.search("params.lr = '9'", experiments=grid)
    assert (len(frame), list(frame.columns)[:2]) == (0, ["run_id", "experiment_id"])
    assert str(frame["end_time"].dtype) == "datetime64[ms, UTC]"
    assert str(frame["duration"].dtype) == "Int64"


def test_dictionaries_and_iteration_need_no_pandas(ws: Workspace, grid: str) -> None:
    rows = ws.runs.search("metrics.loss > 2 or params.lr = '1'", experiments=grid, columns=["params.lr"], as_dicts=True)
    assert sorted(row["params.lr"] for row in rows) == ["1", "3"]
    assert len(list(ws.runs.iterate(experiments=[grid], limit=2))) == 2


def test_a_name_that_no_run_has_finds_nothing_with_a_warning(ws: Workspace, grid: str) -> None:
    with pytest.warns(UserWarning, match='no run here has a metric "acuracy". Did you mean "accuracy"?'):
        assert ws.runs.search("metrics.acuracy > 0", experiments=grid, as_dicts=True) == []
    with pytest.raises(UsageError, match="is no column"):
        ws.runs.search(columns=["metrix.loss"])


def test_a_run_is_a_record(ws: Workspace, grid: str) -> None:
    (row,) = ws.runs.search("run_name = 'a'", experiments=grid, as_dicts=True)
    run = ws.runs.get(row["run_id"][:12])
    assert (run.run_name, run.experiment_name, run.status, run.is_job) == ("a", grid, "RUNNING", False)
    assert (run.metrics, run.params) == ({"accuracy": 0.1, "loss": 1.0}, {"lr": "1"})
    assert run.end_time is None
    assert run.get_file_names() == []
    with pytest.raises(NotFoundError, match="no job") as caught:
        run.job()
    assert caught.value.hint == f"It is a run: penstock run show {run.run_id}"


def test_a_history_is_a_data_frame(ws: Workspace, grid: str) -> None:
    run_id = make_run(ws, grid, "long", metrics={"loss": [1.0 / (step + 1) for step in range(900)]})
    frame = ws.runs.metric_history(run_id, "loss")
    assert (len(frame), list(frame.columns)) == (900, ["step", "timestamp", "value"])
    assert len(ws.runs.metric_history(run_id, "loss", from_step=10, to_step=19)) == 10
    assert ws.runs.metric_history(run_id, "loss", max_points=3)["step"].to_list() == [0, 450, 899]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl", "arrow"])
def test_an_export_is_a_whole_file(ws: Workspace, grid: str, tmp_path: Path, ending: str) -> None:
    path = ws.runs.export(tmp_path / f"runs.{ending}", experiments=grid, columns=["metrics.accuracy"])
    assert [one.name for one in tmp_path.iterdir()] == [f"runs.{ending}"]
    if ending == "parquet":
        assert sorted(pd.read_parquet(path)["metrics.accuracy"]) == [0.1, 0.2, 0.3]
    elif ending == "jsonl":
        assert sorted(json.loads(line)["metrics.accuracy"] for line in path.read_text().splitlines()) == [0.1, 0.2, 0.3]
    with pytest.raises(UsageError, match="names no format"):
        ws.runs.export(tmp_path / "runs.xlsx")


def test_a_failed_export_leaves_no_file(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        ws.runs.export(tmp_path / "runs.csv", "metrics.")
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_changed_deleted_restored_and_removed_for_good(ws: Workspace, grid: str) -> None:
    run_id = make_run(ws, grid, "temporary")
    assert ws.runs.rename(run_id, "better").run_name == "better"
    assert ws.runs.set_tags(run_id, {"best": "yes"}).tags["best"] == "yes"
    assert ws.runs.delete(run_id).is_deleted
    assert not ws.runs.restore(run_id).is_deleted
    with pytest.raises(ConflictError, match="is not deleted"):
        ws.collect_garbage(run=run_id)
    ws.runs.delete(run_id)
    plan = ws.collect_garbage(run=run_id, older_than_days=0)
    assert (plan.is_applied, plan.counts) == (False, {"run": 1})
    done = ws.collect_garbage(run=run_id, older_than_days=0, apply=True)
    assert (done.is_applied, done.counts) == (True, {"run": 1})
    with pytest.raises(NotFoundError):
        ws.runs.get(run_id)


def test_an_experiment_is_renamed_and_tagged(ws: Workspace, grid: str) -> None:
    made = ws.experiments.create(f"{grid}-2", tags={"team": "vision"})
    assert ws.experiments.rename(made.name, f"{grid}-3").id == made.id
    assert ws.experiments.set_tags(made.id, {"team": None}).tags == {}
    assert ws.experiments.delete(made.id).lifecycle_stage == "deleted"
    assert made.id in [one.id for one in ws.experiments.list(view="deleted")]
    assert ws.experiments.restore(made.id).name == f"{grid}-3"


def test_columns_may_be_one_text(ws: Workspace, grid: str) -> None:
    rows = ws.runs.search(experiments=grid, columns="metrics.loss, params.lr", as_dicts=True)
    assert {key for row in rows for key in row} == {"run_id", "metrics.loss", "params.lr"}
    assert ws.runs.search(experiments=grid, columns="metrics.loss", limit=0, as_dicts=True) == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda ws: ws.runs.search(limit=-1), "limit"),
        (lambda ws: ws.runs.search(limit="x"), "limit"),
        (lambda ws: ws.runs.search(limit=True), "limit"),
        (lambda ws: ws.runs.iterate(limit=-1), "limit"),
        (lambda ws: ws.runs.search(order_by=3), "order_by"),
        (lambda ws: ws.runs.search(order_by=[3]), "order_by"),
        (lambda ws: ws.runs.search(columns=3), "columns"),
        (lambda ws: ws.runs.search(experiments=[None]), "experiments"),
        (lambda ws: ws.runs.search(3), "filter"),
        (lambda ws: ws.runs.get(None), "run_id"),
        (lambda ws: ws.runs.get(""), "run_id"),
        (lambda ws: ws.runs.delete(7), "run_id"),
        (lambda ws: ws.runs.set_tags("0123456789", "x"), "tags"),
        (lambda ws: ws.runs.set_tags("0123456789", {"": "x"}), "key"),
        (lambda ws: ws.collect_garbage(older_than_days="x"), "older_than_days"),
        (lambda ws: ws.collect_garbage(older_than_days=float("nan")), "older_than_days"),
        (lambda ws: ws.collect_garbage(older_than_days=-1), "older_than_days"),
    ],
)
def test_an_argument_of_the_wrong_type_is_named(ws: Workspace, call: Callable[[Workspace], Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call(ws)


def test_a_column_that_is_none_is_named_with_a_way_out(ws: Workspace) -> None:
    with pytest.raises(UsageError, match='"metric" is no column of a run') as caught:
        ws.runs.search(columns=["metric"])
    assert caught.value.hint == "Write metrics.NAME."
    with pytest.raises(UsageError, match='"statos"') as caught:
        ws.runs.search(columns="statos")
    assert caught.value.hint == 'Did you mean "status"?'
