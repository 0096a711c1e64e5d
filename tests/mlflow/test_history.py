"""The history of metrics: in pages, of several runs, and sampled; rules against a plain model of them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.server.harness import House

API = "/api/2.0/mlflow"
PAGES = "/ajax-api/2.0/mlflow"


def make_run(house: House, points: list[dict[str, Any]]) -> str:
    run = str(house.ok("POST", f"{API}/runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"])
    for start in range(0, len(points), 1000):
        house.ok("POST", f"{API}/runs/log-batch", {"run_id": run, "metrics": points[start : start + 1000]})
    return run


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"key": "m", "value": n / 2, "timestamp": 1000 + n, "step": n} for n in range(count)]


def pages_of(house: House, run: str, size: int) -> list[list[dict[str, Any]]]:
    url = f"{API}/metrics/get-history?run_id={run}&metric_key=m&max_results={size}"
    found, token = [], ""
    while True:
        answer = house.ok("GET", f"{url}&page_token={token}" if token else url)
        found.append(answer.get("metrics", []))
        token = answer.get("next_page_token", "").replace("+", "%2B").replace("=", "%3D")
        if not token:
            return found


def samples(house: House, *runs: str, **wanted: Any) -> list[dict[str, Any]]:
    asked = "".join(f"&{name}={value}" for name, value in wanted.items())
    named = "&".join(f"run_ids={run}" for run in runs)
    url = f"{PAGES}/metrics/get-history-bulk-interval?{named}&metric_key=m{asked}"
    return list(house.ok("GET", url).get("metrics", []))


def test_pages_join_to_the_whole_history(house: House) -> None:
    values = [0.1, "NaN", "Infinity", 0.0, -1.5, "-Infinity", 1e-300]
    run = make_run(
        house,
        [{"key": "m", "value": value, "timestamp": 5, "step": step} for step in (3, 1, 2) for value in values],
    )
    whole = house.ok("GET", f"{API}/metrics/get-history?run_id={run}&metric_key=m")["metrics"]
    assert len(whole) == 21
    for size in (1, 4, 20, 21):
        pages = pages_of(house, run, size)
        assert [point for page in pages for point in page] == whole
        assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)


def test_token_of_the_real_server_is_understood(house: House) -> None:
    run = make_run(house, numbered(10))
    token = base64.b64encode(json.dumps({"offset": 7}).encode()).decode().replace("=", "%3D")
    found = house.ok("GET", f"{API}/metrics/get-history?run_id={run}&metric_key=m&max_results=2&page_token={token}")
    assert [point["step"] for point in found["metrics"]] == [7, 8]


def test_page_behind_a_point_does_not_count_those_before(house: House) -> None:
    run = make_run(house, numbered(30))
    url = f"{API}/metrics/get-history?run_id={run}&metric_key=m&max_results=10"
    token = house.ok("GET", url)["next_page_token"]
    house.ok("POST", f"{API}/runs/log-metric", {"run_id": run, "key": "m", "value": 9, "timestamp": 1, "step": 0})
    found = house.ok("GET", f"{url}&page_token={token.replace('=', '%3D').replace('+', '%2B')}")
    assert [point["step"] for point in found["metrics"]] == list(range(10, 20))


def test_bulk_history_goes_run_by_run(house: House) -> None:
    runs = sorted(make_run(house, numbered(3)) for _ in range(3))
    named = "&".join(f"run_id={run}" for run in reversed(runs))
    found = house.ok("GET", f"{PAGES}/metrics/get-history-bulk?{named}&run_id=unknown&metric_key=m")["metrics"]
    assert [(point["run_id"], point["step"]) for point in found] == [(run, step) for run in runs for step in range(3)]
    few = house.ok("GET", f"{PAGES}/metrics/get-history-bulk?{named}&metric_key=m&max_results=4")["metrics"]
    assert few == found[:4]


@pytest.mark.parametrize(
    "query",
    [
        "get-history-bulk?metric_key=m",
        "get-history-bulk?run_id=a",
        "get-history-bulk?metric_key=m&" + "&".join(["run_id=a"] * 101),
        "get-history-bulk-interval?metric_key=m",
        "get-history-bulk-interval?run_ids=a",
        "get-history-bulk-interval?run_ids=a&metric_key=m&max_results=0",
        "get-history-bulk-interval?run_ids=a&metric_key=m&max_results=2501",
        "get-history-bulk-interval?run_ids=a&metric_key=m&start_step=1",
        "get-history-bulk-interval?run_ids=a&metric_key=m&start_step=3&end_step=1",
        "get-history?run_id=a&metric_key=m&max_results=0",
        "get-history?run_id=a&metric_key=m&page_token=none",
    ],
)
def test_wrong_questions_are_refused(house: House, query: str) -> None:
    answer = house.ask("GET", f"{API}/metrics/{query}")
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def evenly(count: int, most: int) -> list[int]:
    """Cut into parts as SQL's NTILE does, keep the first of each, and the last of all."""
    short, longer = divmod(count, most)
    sizes = [short + 1] * longer + [short] * (most - longer)
    firsts = [sum(sizes[:index]) for index, size in enumerate(sizes) if size]
    if firsts and firsts[-1] != count - 1:
        firsts[-1:] = [count - 1] if len(firsts) == most else [firsts[-1], count - 1]
    return firsts


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 60), most=st.integers(1, 70))
def test_samples_are_spread_evenly(house: House, count: int, most: int) -> None:
    key = (house.port, count)
    run = _runs_of.get(key) or _runs_of.setdefault(key, make_run(house, numbered(count)))
    assert [point["step"] for point in samples(house, run, max_results=most)] == evenly(count, most)


_runs_of: dict[tuple[int, int], str] = {}


def test_samples_keep_to_the_steps_asked_for(house: House) -> None:
    first, second = make_run(house, numbered(50)), make_run(house, numbered(5))
    found = samples(house, first, second, "unknown", max_results=3, start_step=4, end_step=20)
    assert [(point["run_id"], point["step"]) for point in found] == [(first, 4), (first, 10), (first, 20), (second, 4)]
