"""Search, show and change runs and experiments over REST, on a real server."""

from __future__ import annotations

import math
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from tests.server.harness import House

from penstock.entities.run import Metric, RunStatus
from penstock.stores.metadata import experiments, runs


def make_experiment(house: House, name: str) -> str:
    return house.services.store.write(lambda c: experiments.create_experiment(c, name, now=1)).experiment_id


def make_run(house: House, experiment_id: str, run_id: str, start: int = 1000, **logged: Any) -> str:
    """Create a run with metrics, params and tags; ``user_id`` is the name a token gives."""

    def operation(connection: Any) -> None:
        runs.create_run(
            connection,
            run_id=run_id,
            experiment_id=experiment_id,
            run_name=f"name of {run_id}",
            user_id="ann",
            status=RunStatus.RUNNING,
            start_time=start,
        )
        metrics = [Metric(key, value, 1, 1) for key, value in logged.get("metrics", {}).items()]
        runs.log_batch(connection, run_id, metrics=metrics, params=logged.get("params"), tags=logged.get("tags"))

    house.services.store.write(operation)
    return run_id


@pytest.fixture(scope="module")
def digits(house: House) -> str:
    """Ten runs with a metric, a parameter and a tag each; the last metric is NaN."""
    experiment_id = make_experiment(house, "digits")
    for number in range(10):
        make_run(
            house,
            experiment_id,
            f"digits{number:02d}",
            start=1000 + number,
            metrics={"accuracy": math.nan if number == 9 else number / 10, "loss": 1.0},
            params={"lr": str(number % 3)},
            tags={"best": "yes" if number == 4 else "no"},
        )
    return experiment_id


def search(house: House, **body: Any) -> Any:
    return house.ok("POST", "/api/v1/runs/search", body)


def ids(page: Any) -> list[str]:
    return [item["run_id"] for item in page["items"]]


def test_only_the_asked_columns_travel(house: House, digits: str) -> None:
    columns = {"attributes": ["status"], "metrics": ["accuracy"], "params": ["lr"]}
    page = search(house, experiments=["digits"], order_by=["metrics.accuracy desc"], columns=columns, limit=2)
    assert page["items"] == [
        {"run_id": "digits08", "status": "RUNNING", "metrics": {"accuracy": 0.8}, "params": {"lr": "2"}},
        {"run_id": "digits07", "status": "RUNNING", "metrics": {"accuracy": 0.7}, "params": {"lr": "1"}},
    ]


def test_without_columns_everything_travels(house: House, digits: str) -> None:
    page = search(house, experiments=[digits], filter="run_id = 'digits04'")
    assert page == {
        "items": [
            {
                "run_id": "digits04",
                "run_name": "name of digits04",
                "experiment_id": digits,
                "experiment_name": "digits",
                "status": "RUNNING",
                "user_id": "ann",
                "start_time": "1970-01-01T00:00:01.004Z",
                "lifecycle_stage": "active",
                "artifact_uri": f"mlflow-artifacts:/{digits}/digits04/artifacts",
                "metrics": {"accuracy": 0.4, "loss": 1.0},
                "params": {"lr": "1"},
                "tags": {"best": "yes", "mlflow.runName": "name of digits04"},
            }
        ]
    }


def test_or_and_parentheses_select(house: House, digits: str) -> None:
    text = "(metrics.accuracy > 0.7 or tags.best = 'yes') and not params.lr = '2'"
    page = search(house, experiments=["digits"], filter=text, order_by=["metrics.accuracy"])
    assert ids(page) == ["digits04"]


def test_pages_hold_every_run_once_while_others_come(house: House) -> None:
    experiment_id = make_experiment(house, "pages")
    expected = [make_run(house, experiment_id, f"pages{n:02d}", metrics={"a": n % 4}) for n in range(23)]
    body: dict[str, Any] = {"experiments": ["pages"], "order_by": ["metrics.a desc"], "limit": 5}
    found: list[str] = []
    for number in range(10):
        page = search(house, **body)
        found += ids(page)
        if "next" not in page:
            break
        make_run(house, experiment_id, f"late{number}", metrics={"a": 9})
        body["next"] = page["next"]
    assert sorted(found) == expected
    assert len(found) == len(set(found))


def test_a_place_of_another_search_is_refused(house: House, digits: str) -> None:
    following = search(house, experiments=["digits"], limit=1)["next"]
    for body in ({"experiments": ["digits"], "order_by": ["metrics.loss"]}, {"experiments": ["0"]}):
        answer = house.ask("POST", "/api/v1/runs/search", {**body, "next": following})
        assert (answer.status, answer.json["code"]) == (400, "usage")
    assert house.ask("POST", "/api/v1/runs/search", {"next": "!!"}).status == 400


@pytest.mark.parametrize(
    ("body", "pointer", "hint"),
    [
        ({"filter": "params.lr = "}, "/filter", None),
        ({"experiments": ["digit"]}, "/experiments/0", 'Did you mean "digits"?'),
        ({"columns": {"attributes": ["statos"]}}, "/columns/attributes/0", 'Did you mean "status"?'),
        ({"limit": 0}, "/limit", None),
        ({"colums": {}}, "/colums", None),
        ({"order_by": ["metrics.loss", "metrics.loss desc"]}, "/order_by/1", None),
    ],
)
def test_a_mistake_is_shown_where_it_is(
    house: House, digits: str, body: dict[str, Any], pointer: str, hint: str | None
) -> None:
    answer = house.ask("POST", "/api/v1/runs/search", {"experiments": ["digits"], **body})
    assert (answer.status, answer.json["pointer"]) == (422, pointer)
    if hint:
        assert answer.json["errors"][0]["hint"] == hint


def test_a_name_that_is_not_there_yet_finds_nothing(house: House, digits: str) -> None:
    page = search(house, experiments=["digits"], filter="metrics.f1_on_holdout > 0")
    assert page == {"items": [], "warnings": ['no run here has a metric "f1_on_holdout"']}


def test_the_list_takes_the_same_as_a_query(house: House, digits: str) -> None:
    query = "experiment=digits&filter=metrics.accuracy+%3E+0.65&order_by=metrics.accuracy&columns=metrics.accuracy"
    page = house.ok("GET", f"/api/v1/runs?{query}")
    assert page["items"] == [
        {"run_id": "digits07", "metrics": {"accuracy": 0.7}},
        {"run_id": "digits08", "metrics": {"accuracy": 0.8}},
    ]
    assert house.ask("GET", "/api/v1/runs?columns=metric.a,banana.b").status == 400


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("params.lr MATCHES '(open'", "RE2"),
        ("status = 'FINISHD'", 'Did you mean "FINISHED"?'),
        ("lifecycle_stage IN ('active', 'gone')", "It is one of active, deleted."),
        ("colour = 'red'", "They have run_id, run_name, user_id, status, start_time, end_time"),
        ("metric5.a = 1", 'Did you mean "metric" or "metrics"?'),
    ],
)
def test_a_mistake_in_a_filter_is_a_problem_of_the_filter(house: House, digits: str, wrong: str, hint: str) -> None:
    answer = house.ask("POST", "/api/v1/runs/search", {"filter": wrong})
    assert (answer.status, answer.json["pointer"]) == (422, "/filter")
    assert hint in answer.json["errors"][0]["hint"]
    assert "Created" not in answer.body.decode()


def test_every_experiments_names_become_columns(fresh_house: House) -> None:
    house = fresh_house
    first = make_experiment(house, "first")
    make_run(house, first, "first00001", params={"only_here": "1"})
    house.services.store.write(
        lambda c: [experiments.create_experiment(c, f"e{number}", now=1) for number in range(1001)]
    )
    line = house.ask("POST", "/api/v1/runs:export", {"format": "csv"}).body.decode().splitlines()[0]
    assert "params.only_here" in line


def test_nan_sorts_last_and_travels_as_text(house: House, digits: str) -> None:
    for order in ("metrics.accuracy", "metrics.accuracy desc"):
        page = search(house, experiments=["digits"], order_by=[order], columns={"metrics": ["accuracy"]})
        shown = [item["metrics"]["accuracy"] for item in page["items"] if item["metrics"]]
        assert (shown.index("NaN"), shown.count("NaN")) == (len(shown) - 1, 1)
        lacking = [not item["metrics"] for item in page["items"]]
        assert lacking == sorted(lacking)


def test_a_jobs_token_sees_its_own_experiment(house: House, digits: str) -> None:
    job = house.submit(experiment_name="own")
    _, token = house.begin(job)
    page = house.ok("POST", "/api/v1/runs/search", {}, token=token)
    assert ids(page) == [job.name]
    answer = house.ask("POST", "/api/v1/runs/search", {"experiments": ["digits"]}, token=token)
    assert answer.status == 403
    assert house.ask("GET", "/api/v1/runs/digits04", token=token).status == 403
    assert house.ask("POST", "/api/v1/runs/digits04:delete", token=token).status == 403


def test_a_run_is_shown_by_a_prefix(house: House, digits: str) -> None:
    make_run(house, digits, "0123456789abcdef")
    assert house.ok("GET", "/api/v1/runs/012345")["run_id"] == "0123456789abcdef"
    for name in ("01234", "nobody"):
        assert house.ask("GET", f"/api/v1/runs/{name}").status == 404
    assert house.ask("GET", "/api/v1/runs/digits").json["hint"].startswith("Such as digits00")


def test_a_history_comes_in_pages_between_steps_or_sampled(house: House) -> None:
    experiment_id = make_experiment(house, "history")
    run_id = make_run(house, experiment_id, "history1")
    points = [Metric("loss/train", step / 2 if step else math.nan, step, step) for step in range(50)]
    house.services.store.write(lambda c: runs.log_batch(c, run_id, metrics=points))
    path = f"/api/v1/runs/{run_id}/metrics/loss/train"
    found, query = [], "limit=7"
    while True:
        page = house.ok("GET", f"{path}?{query}")
        found += page["items"]
        if "next" not in page:
            break
        query = f"limit=7&next={page['next']}"
    assert [point["step"] for point in found] == list(range(50))
    assert found[0]["value"] == "NaN"
    between = house.ok("GET", f"{path}?from_step=10&to_step=12")["items"]
    assert [point["value"] for point in between] == [5.0, 5.5, 6.0]
    sampled = house.ok("GET", f"{path}?max_points=5")
    assert ([point["step"] for point in sampled["items"]], sampled["total"]) == ([0, 12, 24, 37, 49], 50)
    assert house.ask("GET", f"/api/v1/runs/{run_id}/metrics/loss").json["hint"] == 'Did you mean "loss/train"?'
    assert house.ask("GET", f"{path}?next=AAAA").status == 400


def test_what_two_attempts_logged_alike_comes_twice_however_it_is_paged(house: House) -> None:
    run_id = make_run(house, make_experiment(house, "twice"), "twice1")
    points = [Metric("loss", 1.0, 1, step) for step in range(3)]
    for attempt in (0, 1):
        house.services.store.write(partial(runs.log_batch, run_id=run_id, metrics=points, attempt=attempt))
    path, query, steps = f"/api/v1/runs/{run_id}/metrics/loss", "limit=1", []
    while query:
        page = house.ok("GET", f"{path}?{query}")
        steps += [point["step"] for point in page["items"]]
        query = f"limit=1&next={page['next']}" if "next" in page else ""
    assert steps == [0, 0, 1, 1, 2, 2]


def test_a_run_is_renamed_tagged_deleted_and_restored(house: House) -> None:
    run_id = make_run(house, make_experiment(house, "change"), "change1", tags={"old": "x"})
    shown = house.ok("PATCH", f"/api/v1/runs/{run_id}", {"run_name": "new", "tags": {"a": "b", "old": None}})
    assert (shown["run_name"], shown["tags"]) == ("new", {"a": "b", "mlflow.runName": "new"})
    assert house.ask("PATCH", f"/api/v1/runs/{run_id}", {"tags": {"mlflow.runName": None}}).status == 422
    assert house.ask("PATCH", f"/api/v1/runs/{run_id}", {"tags": {"missing": None}}).status == 404
    for _ in range(2):
        assert house.ok("POST", f"/api/v1/runs/{run_id}:delete")["lifecycle_stage"] == "deleted"
    assert ids(search(house, experiments=["change"])) == []
    assert ids(search(house, experiments=["change"], view="deleted")) == [run_id]
    assert house.ask("PATCH", f"/api/v1/runs/{run_id}", {"run_name": "x"}).status == 409
    for _ in range(2):
        assert house.ok("POST", f"/api/v1/runs/{run_id}:restore")["lifecycle_stage"] == "active"
    verbs = [event["verb"] for event in house.ok("GET", "/api/v1/events?limit=1000")["items"] if run_id in event["ref"]]
    assert verbs == ["update", "delete", "restore"]


def test_a_renamed_job_is_renamed_as_run_and_as_job(house: House) -> None:
    job = house.submit()
    house.ok("PATCH", f"/api/v1/runs/{job.name}", {"run_name": "better"})
    assert house.ok("GET", f"/api/v1/jobs/{job.name}")["display_name"] == "better"
    assert house.ok("GET", f"/api/v1/runs/{job.name}")["is_job"] is True


def test_an_experiment_lives(house: House) -> None:
    made = house.ok(
        "POST", "/api/v1/experiments", {"name": "life", "tags": {"a": "b"}}, headers={"Idempotency-Key": "k"}
    )
    again = house.ok(
        "POST", "/api/v1/experiments", {"name": "life", "tags": {"a": "b"}}, headers={"Idempotency-Key": "k"}
    )
    assert made == again
    assert house.ask("POST", "/api/v1/experiments", {"name": "life"}).status == 409
    changed = house.ok("PATCH", "/api/v1/experiments/life", {"name": "second life", "tags": {"a": None, "c": "d"}})
    assert (changed["id"], changed["tags"]) == (made["id"], {"c": "d"})
    run_id = make_run(house, made["id"], "life1")
    assert house.ok("POST", "/api/v1/experiments/second%20life:delete")["lifecycle_stage"] == "deleted"
    assert house.ok("GET", f"/api/v1/runs/{run_id}")["lifecycle_stage"] == "deleted"
    listed = house.ok("GET", "/api/v1/experiments?view=deleted")["items"]
    assert made["id"] in [one["id"] for one in listed]
    assert house.ok("POST", f"/api/v1/experiments/{made['id']}:restore")["lifecycle_stage"] == "active"
    assert house.ok("GET", f"/api/v1/runs/{run_id}")["lifecycle_stage"] == "active"
    assert house.ask("POST", "/api/v1/experiments/Default:delete").status == 409
    assert house.ask("GET", "/api/v1/experiments/second_life").json["hint"] == 'Did you mean "second life"?'


def test_an_experiment_may_be_called_like_a_path(house: House) -> None:
    name = "/Users/ann/pictures: 100 %"
    made = house.ok("POST", "/api/v1/experiments", {"name": name})
    path = f"/api/v1/experiments/{quote(name, safe='')}"
    assert house.ok("GET", path)["id"] == made["id"]
    assert house.ok("POST", f"{path}:delete")["lifecycle_stage"] == "deleted"
    assert house.ok("POST", f"{path}:restore")["lifecycle_stage"] == "active"
    assert house.ok("PATCH", path, {"tags": {"a": "b"}})["tags"] == {"a": "b"}
    assert search(house, experiments=[name])["items"] == []


def test_what_no_text_can_hold_is_a_mistake_of_the_caller(house: House, digits: str) -> None:
    for body in ({"filter": "params.lr = '\x00'"}, {"experiments": ["\x00"]}, {"columns": {"params": ["\x00"]}}):
        assert house.ask("POST", "/api/v1/runs/search", {"experiments": ["digits"], **body}).status in {200, 400, 422}
    raw = b'{"filter": "params.lr = \'\\ud800\'"}'
    assert house.ask("POST", "/api/v1/runs/search", body=raw).status == 400


def test_a_name_that_no_run_has_is_remarked_on_with_the_nearest(house: House) -> None:
    experiment = make_experiment(house, "renamed")
    make_run(house, experiment, "renamed01", metrics={"accuracy": 0.9})
    wanted = {"experiments": ["renamed"], "filter": "metrics.accuracyy > 0.5", "order_by": ["metrics.acuracy desc"]}
    page = house.ok("POST", "/api/v1/runs/search", wanted)
    assert page["items"] == []
    assert page["warnings"] == [
        'no run here has a metric "accuracyy". Did you mean "accuracy"?',
        'no run here has a metric "acuracy". Did you mean "accuracy"?',
    ]


def test_a_short_id_says_how_many_characters_are_needed(house: House) -> None:
    for noun in ("runs", "jobs"):
        answer = house.ask("GET", f"/api/v1/{noun}/8a3dd")
        assert (answer.status, "6 characters" in answer.json["hint"]) == (404, True)
