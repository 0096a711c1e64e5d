from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.server.harness import House

from penstock.entities.job import CommandJobSpec
from penstock.entities.run import Metric
from penstock.stores.metadata import runs

SPEC = {"command": "python train.py", "inputs": {"lr": 0.1, "name": {"type": "string", "value": "x"}}}


def test_submitted_job_is_shown_with_rfc3339_times(house: House) -> None:
    answer = house.ask("POST", "/api/v1/jobs", {**SPEC, "name": "first-job", "tags": {"a_at": "b"}})
    assert answer.status == 201
    job = answer.json
    assert (job["name"], job["status"], job["created_by"]) == ("first-job", "Queued", "ann")
    assert job["created_at"].endswith("Z")
    assert len(job["created_at"]) == 24
    assert "ended_at" not in job
    assert job["spec"]["inputs"] == SPEC["inputs"]
    for reference in ("first-job", "first-"):
        assert house.ok("GET", f"/api/v1/jobs/{reference}") == job


def test_same_name_again_is_a_conflict(house: House) -> None:
    house.ok("POST", "/api/v1/jobs", {**SPEC, "name": "twice"})
    answer = house.ask("POST", "/api/v1/jobs", {**SPEC, "name": "twice"})
    assert (answer.status, answer.json["code"], answer.json["ref"]) == (409, "conflict", "job:twice")
    assert answer.headers["content-type"] == "application/problem+json"


def test_spec_problems_have_pointers_and_hints(house: House) -> None:
    spec = {"comand": "true", "inputs": {"a/b": {"type": "uri_folder", "pth": "x"}}, "limits": {"timeout": 0}}
    answer = house.ask("POST", "/api/v1/jobs", spec)
    assert (answer.status, answer.json["code"], answer.json["title"]) == (422, "invalid_spec", "Unprocessable Entity")
    errors = {(error["pointer"], error["message"]): error.get("hint", "") for error in answer.json["errors"]}
    assert '"command"' in errors["/comand", 'unknown key "comand"']
    assert '"path"' in errors["/inputs/a~1b/pth", 'unknown key "pth"']
    assert any(pointer == "/limits/timeout" for pointer, _ in errors)


def test_unknown_input_points_at_its_path(house: House) -> None:
    spec = {"command": "true", "inputs": {"data": {"type": "uri_folder", "path": "azureml:nothing:1"}}}
    answer = house.ask("POST", "/api/v1/jobs", spec)
    assert answer.status == 422
    assert answer.json["errors"][0]["pointer"] == "/inputs/data/path"


def test_what_has_no_effect_is_said(house: House) -> None:
    spec = {
        "command": "true",
        "environment": "azureml:AzureML-sklearn-1.5@latest",
        "compute": "azureml:cpu-cluster",
        "distribution": {"type": "mpi"},
        "identity": {"type": "managed"},
    }
    job = house.ok("POST", "/api/v1/jobs", spec)
    environment, compute, process, others = job["warnings"]
    assert "AzureML-sklearn-1.5" in environment
    assert "cpu-cluster" in compute
    assert process == "ignored here: distribution; the command runs as one process"
    assert others == "ignored here: identity"
    assert house.ok("GET", f"/api/v1/jobs/{job['name']}")["warnings"] == job["warnings"]


DEEP = b'{"tags": ' + b"[" * 200_000
HUGE = b'{"command": "true", "limits": {"timeout": ' + b"9" * 5000 + b"}}"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"command": "true"} x', b"1" * 5000, DEEP, HUGE])
def test_what_is_no_spec_is_refused(house: House, body: bytes) -> None:
    answer = house.ask("POST", "/api/v1/jobs", body=body)
    assert answer.status in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


def test_jobs_are_paged_newest_first(fresh_house: House) -> None:
    house = fresh_house
    names = [house.submit(name=f"job-{number}", experiment_name=f"exp{number % 2}").name for number in range(5)]
    seen, following = [], None
    while True:
        page = house.ok("GET", "/api/v1/jobs?limit=2" + (f"&next={following}" if following else ""))
        assert len(page["items"]) <= 2
        seen += [job["name"] for job in page["items"]]
        following = page.get("next")
        if following is None:
            break
    assert seen == names[::-1]
    house.ok("POST", "/api/v1/jobs/job-0:cancel")
    by = {
        "status=Canceled": ["job-0"],
        "status=Queued,Canceled&limit=9": names[::-1],
        "status=Queued&status=Canceled&limit=9": names[::-1],
        "experiment_name=exp1": ["job-3", "job-1"],
        "unknown_key=1&limit=1": ["job-4"],
    }
    for query, expected in by.items():
        assert [job["name"] for job in house.ok("GET", f"/api/v1/jobs?{query}")["items"]] == expected


@pytest.mark.parametrize(
    "query", ["next=!!!", "next=e30", "limit=0", "limit=1001", "limit=x", "status=Runing", "next=Im5vIHN1Y2gi"]
)
def test_bad_list_queries_are_refused(house: House, query: str) -> None:
    answer = house.ask("GET", f"/api/v1/jobs?{query}")
    assert answer.status in {400, 404}
    assert answer.json["detail"]


def test_unknown_state_names_the_nearest(house: House) -> None:
    assert "Running" in house.ask("GET", "/api/v1/jobs?status=Runing").json["hint"]


def test_cancel_is_accepted_once_and_refused_after_the_end(house: House) -> None:
    house.submit(name="to-cancel")
    answer = house.ask("POST", "/api/v1/jobs/to-cancel:cancel")
    assert (answer.status, answer.json["status"]) == (202, "Canceled")
    assert house.ask("POST", "/api/v1/jobs/to-cancel:cancel").status == 409
    assert house.ask("POST", "/api/v1/jobs/no-such-job:cancel").status == 404


@pytest.mark.parametrize("path", ["", "/log", "/metrics", "/attempts", ":stream"])
def test_unknown_job_is_404(house: House, path: str) -> None:
    answer = house.ask("GET", f"/api/v1/jobs/no-such-job{path}")
    assert (answer.status, answer.json["code"]) == (404, "not_found")


def test_metrics_show_history_latest_and_params(house: House) -> None:
    job = house.submit(name="metrics-job")
    nan, inf = float("nan"), float("inf")
    points = [Metric("loss", 2.0, 1000, 0), Metric("loss", nan, 2000, 1), Metric("acc", inf, 1500, 0)]
    house.services.store.write(lambda c: runs.log_batch(c, job.name, metrics=points, params={"lr": "0.1"}, attempt=0))
    shown = house.ok("GET", "/api/v1/jobs/metrics-job/metrics")
    assert shown["params"] == {"lr": "0.1"}
    assert shown["latest"] == {"acc": "Infinity", "loss": "NaN"}
    assert shown["metrics"]["loss"] == [
        {"step": 0, "timestamp": "1970-01-01T00:00:01.000Z", "value": 2.0},
        {"step": 1, "timestamp": "1970-01-01T00:00:02.000Z", "value": "NaN"},
    ]


def test_attempts_hide_their_token(house: House) -> None:
    job = house.submit(name="attempted")
    attempt, token = house.begin(job)
    answer = house.ask("GET", "/api/v1/jobs/attempted/attempts")
    (shown,) = answer.json["items"]
    assert (shown["number"], shown["state"]) == (1, "starting")
    assert attempt.token_hash not in answer.body.decode()
    assert token not in answer.body.decode()


def test_repeated_request_gives_the_first_ones_job(house: House) -> None:
    headers = {"Idempotency-Key": "key-1"}
    first = house.ask("POST", "/api/v1/jobs", SPEC, headers=headers)
    again = house.ask("POST", "/api/v1/jobs", SPEC, headers=headers)
    assert (first.status, again.status) == (201, 201)
    assert first.json == again.json
    other = house.ask("POST", "/api/v1/jobs", {**SPEC, "command": "false"}, headers=headers)
    assert other.status == 409
    assert house.ok("POST", "/api/v1/jobs", SPEC, headers={"Idempotency-Key": "key-2"})["name"] != first.json["name"]


def test_refused_request_may_be_repeated_with_its_key(house: House) -> None:
    headers = {"Idempotency-Key": "key-3"}
    spec = {"command": "true", "inputs": {"d": {"path": "azureml:none:1"}}}
    assert house.ask("POST", "/api/v1/jobs", spec, headers=headers).status == 422
    assert house.ask("POST", "/api/v1/jobs", SPEC, headers=headers).status == 201


def test_job_and_its_kept_answer_are_one_transaction(house: House) -> None:
    def fail(connection: Any, made: Any) -> None:
        raise InterruptedError

    spec = CommandJobSpec(command="true", name="half-done")
    with pytest.raises(InterruptedError):
        house.services.jobs.submit(spec, actor="ann", keep=fail)
    assert house.ask("GET", "/api/v1/jobs/half-done").status == 404
    kept = {"Idempotency-Key": "key-4"}
    first = house.ok("POST", "/api/v1/jobs", {**SPEC, "name": "half-done"}, headers=kept)
    assert house.ok("POST", "/api/v1/jobs", {**SPEC, "name": "half-done"}, headers=kept) == first


def test_same_key_at_the_same_time_is_one_job(house: House) -> None:
    names: list[str] = []

    def submit() -> None:
        names.append(house.ok("POST", "/api/v1/jobs", SPEC, headers={"Idempotency-Key": "key-5"})["name"])

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 8
    assert len(set(names)) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_bad_idempotency_key_is_refused(house: House, key: str) -> None:
    assert house.ask("POST", "/api/v1/jobs", SPEC, headers={"Idempotency-Key": key}).status == 400


def test_job_token_sees_its_experiment_only(house: House) -> None:
    own = house.submit(name="own-job", experiment_name="mine")
    sibling = house.submit(name="sibling-job", experiment_name="mine")
    foreign = house.submit(name="foreign-job", experiment_name="theirs")
    _, token = house.begin(own)
    for path in ("", "/log", "/metrics", "/attempts"):
        assert house.ask("GET", f"/api/v1/jobs/{own.name}{path}", token=token).status == 200
        assert house.ask("GET", f"/api/v1/jobs/{sibling.name}{path}", token=token).status == 200
        assert house.ask("GET", f"/api/v1/jobs/{foreign.name}{path}", token=token).status == 403
    assert house.ask("GET", f"/api/v1/jobs/{foreign.name}:stream", token=token).status == 403
    for method, path in (
        ("POST", "/api/v1/jobs"),
        ("GET", "/api/v1/jobs"),
        ("POST", f"/api/v1/jobs/{own.name}:cancel"),
        ("GET", "/api/v1/events"),
        ("GET", "/api/v1/experiments"),
        ("GET", "/api/v1/models"),
        ("POST", "/api/v1/models"),
        ("GET", "/api/v1/online-endpoints"),
        ("GET", "/api/v1/computes"),
        ("GET", "/internal/serving/desired"),
    ):
        answer = house.ask(method, path, SPEC if method == "POST" else None, token=token)
        assert (answer.status, answer.json["code"]) == (403, "forbidden"), path


def test_jobs_of_an_experiment_that_is_not_there_are_refused_with_the_nearest(house: House) -> None:
    house.submit(experiment_name="listed-digits")
    found = house.ok("GET", "/api/v1/jobs?experiment_name=listed-digits")["items"]
    experiment_id = house.ok("GET", "/api/v1/experiments/listed-digits")["id"]
    assert house.ok("GET", f"/api/v1/jobs?experiment_name={experiment_id}")["items"] == found != []
    answer = house.ask("GET", "/api/v1/jobs?experiment_name=listed-digit")
    assert (answer.status, answer.json["hint"]) == (400, 'Did you mean "listed-digits"?')
