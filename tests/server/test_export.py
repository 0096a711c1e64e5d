"""Exports of runs: every format holds the same, in the order asked, also when pages follow each other."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Connection
from tests.server.harness import House
from tests.server.test_run_search import make_experiment, make_run

from penstock.access.actors import Actor
from penstock.entities.run import Metric
from penstock.entities.run_query import RunExport
from penstock.entities.token import Role
from penstock.server import run_export
from penstock.server.run_selection import read_selection
from penstock.stores.metadata import runs

SELECTION: dict[str, Any] = {
    "experiments": ["export"],
    "order_by": ["metrics.a desc"],
    "columns": {"attributes": ["status", "start_time"], "metrics": ["a"], "params": "*", "tags": ["t"]},
}
HEADER = ["run_id", "status", "start_time", "metrics.a", "params.p", "params.q", "tags.t"]


@pytest.fixture(scope="module", autouse=True)
def exported(house: House) -> None:
    experiment_id = make_experiment(house, "export")
    for number in range(603):
        run_id = make_run(
            house,
            experiment_id,
            f"export{number:04d}",
            start=number,
            metrics={} if number == 7 else {"a": math.nan if number == 8 else float(number), "b": 1.0},
            params={"q" if number == 5 else "p": f"{number}, é"},
            tags={"t": "x"} if number % 2 else None,
        )
        if number == 3:
            points = [Metric("a", step, step, -step - 1) for step in range(20)]
            house.services.store.write(partial(runs.log_batch, run_id=run_id, metrics=points))


def export(house: House, **body: Any) -> bytes:
    answer = house.ask("POST", "/api/v1/runs:export", {**SELECTION, **body})
    assert answer.status == 200, answer.body
    return answer.body


def test_json_lines_leave_out_what_is_not_there(house: House) -> None:
    rows = [json.loads(line) for line in export(house, format="jsonl").splitlines()]
    assert len(rows) == 603
    assert rows[0] == {
        "run_id": "export0602",
        "status": "RUNNING",
        "start_time": "1970-01-01T00:00:00.602Z",
        "metrics.a": 602.0,
        "params.p": "602, é",
    }
    assert rows[-2]["metrics.a"] == "NaN"
    assert "metrics.a" not in rows[-1]


def test_csv_has_a_header_and_every_run(house: House) -> None:
    rows = list(csv.reader(io.StringIO(export(house, format="csv").decode())))
    assert rows[0] == HEADER
    assert len(rows) == 604
    assert rows[1] == ["export0602", "RUNNING", "1970-01-01T00:00:00.602Z", "602.0", "602, é", "", ""]


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_arrow_and_parquet_have_types(house: House, form: str) -> None:
    body = export(house, format=form)
    source = io.BytesIO(body)
    table = pq.read_table(source) if form == "parquet" else pa.ipc.open_stream(source).read_all()
    assert table.column_names == HEADER
    assert table.schema.field("start_time").type == pa.timestamp("ms", tz="UTC")
    assert table.num_rows == 603
    values = table.column("metrics.a").to_pylist()
    assert values[:2] == [602.0, 601.0]
    assert math.isnan(values[-2])
    assert values[-1] is None


def test_every_point_is_a_row(house: House) -> None:
    body = export(house, what="points", filter="run_id = 'export0003'", columns={"metrics": ["a"]}, format="csv")
    rows = list(csv.reader(io.StringIO(body.decode())))
    assert rows[0] == ["run_id", "metric", "step", "timestamp", "value"]
    assert rows[1] == ["export0003", "a", "-1", "1970-01-01T00:00:00.000Z", "0.0"]
    assert len(rows) == 22


def test_every_latest_value_is_a_row(house: House) -> None:
    body = export(house, what="metrics", columns={"metrics": "*"}, filter="run_id IN ('export0003', 'export0007')")
    rows = [json.loads(line) for line in body.splitlines()]
    assert [(row["run_id"], row["metric"], row["value"]) for row in rows] == [
        ("export0003", "a", 3.0),
        ("export0003", "b", 1.0),
    ]


def test_nothing_found_is_a_valid_file(house: House) -> None:
    body = export(house, format="parquet", filter="run_id = 'nobody'")
    assert pq.read_table(io.BytesIO(body)).num_rows == 0
    assert export(house, format="csv", filter="run_id = 'nobody'").decode().strip() == ",".join(HEADER)
    assert export(house, format="jsonl", filter="run_id = 'nobody'") == b""


def test_a_link_gives_the_same_file(house: House) -> None:
    query = "format=csv&experiment=export&order_by=metrics.a+desc&columns=status,start_time,metrics.a,params.*,tags.t"
    answer = house.ask("GET", f"/api/v1/runs:export?{query}")
    assert answer.headers["content-disposition"] == 'attachment; filename="runs.csv"'
    assert answer.body == export(house, format="csv")
    assert house.ask("POST", "/api/v1/runs/export", {}).status in {404, 405}  # one spelling


def test_a_mistake_is_a_problem_before_the_file_begins(house: House) -> None:
    answer = house.ask("POST", "/api/v1/runs:export", {**SELECTION, "filter": "metrics.a >"})
    assert (answer.status, answer.json["pointer"]) == (422, "/filter")
    assert house.ask("POST", "/api/v1/runs:export", {"format": "xlsx"}).status == 422


def test_neither_complaints_nor_the_current_folder_stop_the_process_beside(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyarrow.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONVERBOSE", "1")  # more on stderr than a pipe holds
    assert pq.read_table(io.BytesIO(export(house, format="parquet"))).num_rows == 603


@pytest.mark.parametrize("what", ["runs", "metrics", "points"])
def test_no_snapshot_is_held_while_a_slow_client_takes_a_piece(
    house: House, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_export, "RUNS_AT_ONCE", 20)
    monkeypatch.setattr(run_export, "AT_ONCE", 3)
    open_now: list[None] = []

    @contextmanager
    def read() -> Iterator[Connection]:
        with house.services.store.read() as connection:
            open_now.append(None)
            yield connection
            open_now.pop()

    selection = {**SELECTION, "order_by": ["run_id"], "columns": {"metrics": "*"}}
    asked = RunExport.model_validate({**selection, "what": what, "format": "jsonl"})
    with read() as connection:
        selected = read_selection(connection, asked, Actor("ann", Role.ADMIN))
    found = []
    for piece in run_export.export_runs(read, selected, asked):
        assert not open_now
        found += [json.loads(line) for line in piece.splitlines()]
    whole = export(house, **{**selection, "what": what, "format": "jsonl"})
    assert found == [json.loads(line) for line in whole.splitlines()]
    assert len(found) == {"runs": 603, "metrics": 1204, "points": 1224}[what]
