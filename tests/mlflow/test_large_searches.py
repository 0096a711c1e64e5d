"""Searches that ask for very much: answered, or refused by name, never a defect."""

from __future__ import annotations

from typing import Any

import pytest
from tests.mlflow.test_registry import API, post, run_with
from tests.server.harness import House

MANY = 70_000
"""More than a statement takes as values of their own."""


@pytest.fixture(scope="module")
def run(house: House) -> str:
    return run_with(house)


def statuses(house: House, path: str, **sent: Any) -> tuple[int, str]:
    answer = house.ask("POST", path, sent)
    return answer.status, answer.body.decode()


@pytest.mark.parametrize("kind", ["params", "metrics", "tags"])
def test_an_order_has_at_most_twenty_keys(house: House, run: str, kind: str) -> None:
    doors = [(f"{API}/runs/search", "experiment_ids"), ("/api/v1/runs/search", "experiments")]
    for path, experiments in doors:
        if kind != "params" and experiments == "experiments":
            continue  # our own door refuses names that no run here has, before it counts
        name = "0" if experiments == "experiment_ids" else "Default"
        for count, status in ((20, 200), (21, 400), (100, 400)):
            keys = [f"{kind}.k{index} DESC" for index in range(count)]
            found, text = statuses(house, path, **{experiments: [name]}, order_by=keys)
            assert found == (422 if status == 400 and path.startswith("/api/v1") else status), (path, text)
            assert found == 200 or f"`order_by` has {count} keys; it can have at most 20." in text


def test_every_page_of_an_order_of_twenty_keys_is_found(house: House, run: str) -> None:
    run_with(house)
    keys = [f"params.k{index}" for index in range(20)]
    seen, sent = [], {"experiment_ids": ["0"], "max_results": 1, "order_by": keys}
    while True:
        page = house.ok("POST", f"{API}/runs/search", sent)
        seen += [one["info"]["run_id"] for one in page["runs"]]
        if "next_page_token" not in page:
            break
        sent["page_token"] = page["next_page_token"]
    assert len(seen) == len(set(seen))
    assert run in seen


def test_other_searches_bound_their_order_too(house: House) -> None:
    message: dict[str, Any] = {"max_results": 10, "order_by": ["name"] * 21}
    assert "has 21 keys" in statuses(house, f"{API}/experiments/search", **message)[1]
    for path in ("registered-models/search", "model-versions/search"):
        query = "&".join(["max_results=10", *["order_by=name"] * 21])
        answer = house.ask("GET", f"{API}/{path}?{query}")
        assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), path
        assert "has 21 keys" in answer.json["message"], path
    keys = [{"field_name": f"metrics.k{index}"} for index in range(21)]
    message = {"experiment_ids": ["0"], "order_by": keys}
    assert statuses(house, f"{API}/logged-models/search", **message)[0] == 400
    message["order_by"] = keys[:20]
    assert statuses(house, f"{API}/logged-models/search", **message)[0] == 200


def test_a_filter_of_two_hundred_comparisons_is_answered_and_a_longer_one_refused(house: House, run: str) -> None:
    for kind, value in (("params", "!= 'x'"), ("metrics", "> 1"), ("tags", "LIKE 'x%'")):
        for count, status in ((200, 200), (201, 400), (5000, 400)):
            text = " AND ".join(f"{kind}.k{index} {value}" for index in range(count))
            found, answer = statuses(house, f"{API}/runs/search", experiment_ids=["0"], filter=text)
            assert found == status, answer
            found, answer = statuses(house, f"{API}/logged-models/search", experiment_ids=["0"], filter=text)
            assert found in {status, 400}, answer
            found, answer = statuses(house, "/api/v1/runs/search", experiments=["Default"], filter=text)
            assert found == (status if status == 200 else 422), answer
    deep = "NOT (" * 1000 + "metrics.a > 1" + ")" * 1000
    assert statuses(house, "/api/v1/runs/search", experiments=["Default"], filter=deep)[0] == 422


def test_many_datasets_are_one_list(house: House) -> None:
    experiment = house.ok("POST", f"{API}/experiments/create", {"name": "many-datasets"})["experiment_id"]
    run = house.ok("POST", f"{API}/runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
    sent = {"experiment_id": experiment, "source_run_id": run}
    models = {
        name: post(house, "logged-models", name=name, **sent)["model"]["info"]["model_id"] for name in ("a", "b", "c")
    }
    for name, dataset, digest in (("a", "x:1", "d"), ("b", "d69999", "2"), ("c", "x", "1d")):
        point = {"key": "m", "value": 1, "timestamp": 1, "model_id": models[name]}
        message = {**point, "run_id": run, "dataset_name": dataset, "dataset_digest": digest}
        house.ok("POST", f"{API}/runs/log-metric", message)

    def found(datasets: list[dict[str, str]], **more: Any) -> set[str]:
        answer = post(house, "logged-models/search", experiment_ids=[experiment], datasets=datasets, **more)
        return {model["info"]["name"] for model in answer.get("models", [])}

    named = [{"dataset_name": f"d{index}"} for index in range(MANY)]
    assert found(named) == {"b"}
    exact = [{**one, "dataset_digest": "2"} for one in named]
    assert found(exact, filter="metrics.m > 0 AND metrics.m < 2") == {"b"}
    assert found([{**one, "dataset_digest": "3"} for one in named]) == set()
    assert found([*exact, {"dataset_name": "x:1"}]) == {"a", "b"}
    assert found([{"dataset_name": "x", "dataset_digest": ":1d"}]) == set()
    assert found([{"dataset_name": "x", "dataset_digest": "1d"}]) == {"c"}
