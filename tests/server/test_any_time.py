"""MLflow's protocol takes any 64-bit number as a time: it returns it as it was, and every door of ours shows a date."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.server.harness import House
from tests.server.test_streams import end, follow

from penstock.rules.instants import EARLIEST_MS, LATEST_MS, nearest, rfc3339
from penstock.sdk.run_frames import frame_of_points, frame_of_runs

LEAST, GREATEST = -(2**63), 2**63 - 1
EDGES = (LEAST, -(10**17), EARLIEST_MS - 1, EARLIEST_MS, -1, 0, LATEST_MS, LATEST_MS + 1, 10**17, 2**62, GREATEST)
TIMES = st.sampled_from(EDGES) | st.integers(LEAST, GREATEST)


def mlflow(house: House, method: str, path: str, content: Any = None) -> Any:
    return house.ok(method, f"/api/2.0/mlflow/{path}", content)


def shown_everywhere(house: House, experiment: str, run_id: str, start: int, finish: int, stamp: int) -> None:
    body = {"experiments": [experiment], "order_by": ["duration desc"], "filter": "duration != 7"}
    (found,) = house.ok("POST", "/api/v1/runs/search", body)["items"]
    times = (rfc3339(start), rfc3339(finish), nearest(finish) - nearest(start))
    one = house.ok("GET", f"/api/v1/runs/{run_id}")
    for item in (found, one):
        assert (item["start_time"], item["end_time"], item["duration"]) == times
    assert run_id in {item["run_id"] for item in house.ok("GET", "/api/v1/runs?limit=1000")["items"]}
    points = house.ok("GET", f"/api/v1/runs/{run_id}/metrics/loss")["items"]
    assert points == [{"step": 0, "timestamp": rfc3339(stamp), "value": 1.0}]
    frame = frame_of_runs([found], None)
    assert frame["start_time"][0] == datetime.fromisoformat(times[0])
    assert str(frame["end_time"][0])
    assert frame_of_points(points)["timestamp"][0] == datetime.fromisoformat(rfc3339(stamp))


# An end of 0 is none, as for MLflow.
@given(
    start=TIMES,
    finish=TIMES.filter(bool),
    stamp=st.integers(0, GREATEST) | st.sampled_from([e for e in EDGES if e >= 0]),
)
@settings(max_examples=25, deadline=None)
def test_any_number_is_kept_exactly_and_shown_as_a_date(house: House, start: int, finish: int, stamp: int) -> None:
    experiment = mlflow(house, "POST", "experiments/create", {"name": f"any {start} {finish} {stamp} {id(object())}"})
    experiment_id = experiment["experiment_id"]
    created = mlflow(house, "POST", "runs/create", {"experiment_id": experiment_id, "start_time": start})
    run_id = created["run"]["info"]["run_id"]
    mlflow(house, "POST", "runs/update", {"run_id": run_id, "end_time": finish, "status": "FINISHED"})
    mlflow(house, "POST", "runs/log-metric", {"run_id": run_id, "key": "loss", "value": 1.0, "timestamp": stamp})
    run = mlflow(house, "GET", f"runs/get?run_id={run_id}")["run"]
    assert (run["info"]["start_time"], run["info"]["end_time"]) == (start, finish)
    assert run["data"]["metrics"][0]["timestamp"] == stamp
    (found,) = mlflow(house, "POST", "runs/search", {"experiment_ids": [experiment_id]})["runs"]
    assert (found["info"]["start_time"], found["info"]["end_time"]) == (start, finish)
    name = house.ok("GET", f"/api/v1/runs/{run_id}")["experiment_name"]
    shown_everywhere(house, name, run_id, start, finish, stamp)
    house.ok("POST", f"/api/v1/runs/{run_id}:delete")
    assert house.ok("POST", "/api/v1/gc:plan", {"run": run_id, "older_than_s": 0})["counts"] == {"run": 1}


@pytest.fixture(scope="module")
def odd(house: House) -> str:
    """An experiment of runs that begin and end at the edges, with a point at each."""
    experiment_id = mlflow(house, "POST", "experiments/create", {"name": "odd"})["experiment_id"]
    for time in EDGES:
        created = mlflow(house, "POST", "runs/create", {"experiment_id": experiment_id, "start_time": time})
        run_id = created["run"]["info"]["run_id"]
        mlflow(house, "POST", "runs/update", {"run_id": run_id, "end_time": -1 - time})
        point = {"run_id": run_id, "key": "loss", "value": 1.0, "timestamp": max(0, time)}
        mlflow(house, "POST", "runs/log-metric", point)
    return "odd"


@pytest.mark.parametrize("what", ["runs", "metrics", "points"])
def test_every_export_holds_dates(house: House, odd: str, what: str) -> None:
    body = {"experiments": [odd], "order_by": ["start_time"], "what": what}
    column, sent = ("start_time", EDGES) if what == "runs" else ("timestamp", [max(0, time) for time in EDGES])
    expected = [rfc3339(time) for time in sent]

    def export(form: str) -> bytes:
        answer = house.ask("POST", "/api/v1/runs:export", {**body, "format": form})
        assert answer.status == 200, answer.body
        return answer.body

    assert [json.loads(line)[column] for line in export("jsonl").splitlines()] == expected
    assert [row[column] for row in csv.DictReader(io.StringIO(export("csv").decode()))] == expected
    for table in (pa.ipc.open_stream(export("arrow")).read_all(), pq.read_table(io.BytesIO(export("parquet")))):
        moments = table[column].to_pylist()
        assert moments == [datetime.fromisoformat(text) for text in expected]


def test_pages_in_the_order_of_times_and_durations_are_whole(house: House, odd: str) -> None:
    for order in ("start_time", "end_time desc", "duration", "duration desc"):
        seen: list[str] = []
        following = None
        while True:
            body = {"experiments": [odd], "order_by": [order], "limit": 2, "next": following}
            page = house.ok("POST", "/api/v1/runs/search", body)
            seen += [item["run_id"] for item in page["items"]]
            if (following := page.get("next")) is None:
                break
        assert len(set(seen)) == len(seen) == len(EDGES), order


def test_a_job_that_logs_nanoseconds_can_be_watched(house: House) -> None:
    job = house.submit(name="nanoseconds")
    house.begin(job)
    for step, stamp in enumerate((1_700_000_000_000_000_000, GREATEST, 1)):
        point = {"run_id": job.name, "key": "loss", "value": 1.0, "timestamp": stamp, "step": step}
        mlflow(house, "POST", "runs/log-metric", point)
    assert house.ok("GET", f"/api/v1/jobs/{job.name}/metrics")["latest"]["loss"]
    end(house, job.name)
    events = list(follow(house, job.name))
    assert [data["timestamp"] for name, data in events if name == "metric"] == [
        *["9999-12-31T23:59:59.999Z"] * 2,
        "1970-01-01T00:00:00.001Z",
    ]
    assert events[-1][0] == "end"
