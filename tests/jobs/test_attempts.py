from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.jobs.conftest import Shop

from penstock.entities.errors import InvalidPathError, UsageError
from penstock.entities.job import JobStatus
from penstock.entities.run import RunStatus
from penstock.stores.metadata import artifacts, events, runs


def lines_of(*values: float, key: str = "loss", start: int = 0) -> list[str]:
    return [json.dumps({"t": 1000 + n, "metric": [key, v, n]}) for n, v in enumerate(values, start)]


def events_slice(offset: int, lines: list[str]) -> dict[str, Any]:
    return {"offset": offset, "next": offset + sum(len(line) + 1 for line in lines), "lines": lines}


def log_slice(offset: int, text: str) -> dict[str, Any]:
    return {"offset": offset, "next": offset + len(text.encode("utf-8", "surrogateescape")), "text": text}


def history(shop: Shop, name: str, key: str = "loss") -> list[float]:
    with shop.store.read() as connection:
        return [m.value for m in runs.metric_history(connection, name, key)]


def finish(shop: Shop, attempt_id: str, **body: Any) -> dict[str, Any]:
    return shop.reports.finish(attempt_id, {"exit_code": 0, "reason": "exited", "artifacts": [], **body})


def bring(shop: Shop, attempt_id: str, content: bytes) -> tuple[str, int]:
    """Store a content as the door does that takes it from an attempt."""
    digest, size = shop.blobs.put(content)
    shop.reports.brought.note(attempt_id, digest)
    return digest, size


def test_progress_moves_the_job_forward_only(shop: Shop) -> None:
    job = shop.submit()
    attempt = shop.begin(job)
    for state, status in [
        ("preparing", JobStatus.PREPARING),
        ("running", JobStatus.RUNNING),
        ("preparing", JobStatus.RUNNING),
        ("finalizing", JobStatus.FINALIZING),
    ]:
        shop.reports.report(attempt.attempt_id, {"state": state})
        assert shop.jobs.get(job.name).status is status
    assert shop.jobs.get(job.name).started_at is not None


def test_same_events_sent_twice_are_stored_once(shop: Shop) -> None:
    job = shop.submit()
    attempt = shop.begin(job)
    first = events_slice(0, lines_of(1.0, 2.0))
    answer = shop.reports.report(attempt.attempt_id, {"state": "running", "events": first})
    assert answer["events_next"] == first["next"]
    answer = shop.reports.report(attempt.attempt_id, {"state": "running", "events": first})
    assert answer["events_next"] == first["next"]
    assert history(shop, job.name) == [1.0, 2.0]


def test_events_from_the_future_are_asked_for_again(shop: Shop) -> None:
    job = shop.submit()
    attempt = shop.begin(job)
    answer = shop.reports.report(attempt.attempt_id, {"state": "running", "events": events_slice(99, lines_of(1.0))})
    assert answer["events_next"] == 0
    assert history(shop, job.name) == []


def test_a_damaged_line_harms_no_other(shop: Shop) -> None:
    job = shop.submit()
    attempt = shop.begin(job)
    lines = [lines_of(1.0)[0], "{torn", json.dumps({"t": 1, "metric": ["loss", "x", 1]}), lines_of(2.0, start=5)[0]]
    shop.reports.report(attempt.attempt_id, {"state": "running", "events": events_slice(0, lines)})
    assert history(shop, job.name) == [1.0, 2.0]


def test_what_is_left_out_is_answered_with_the_reason(shop: Shop) -> None:
    job = shop.submit()
    attempt = shop.begin(job)
    entries: list[dict[str, Any]] = [
        {"t": 1, "param": ["lr", "0.1"]},
        {"t": 2, "param": ["lr", "0.2"]},
        *({"t": n, "metric": ["a//b", 1.0, n]} for n in range(3)),
        {"t": 3, "tag": ["../x", "a"]},
        {"t": 5, "metric": ["loss", 1.0, 0]},
    ]
    lines = [json.dumps(entry) for entry in entries]
    first, last = events_slice(0, lines[:-1]), events_slice(0, lines)
    answer = shop.reports.report(attempt.attempt_id, {"state": "running", "events": first})
    reasons = answer["left_out"]
    assert [word in reason for word, reason in zip(("0.2", "a//b", "../x"), reasons, strict=True)] == [True] * 3
    assert "left_out" not in shop.reports.report(attempt.attempt_id, {"state": "running", "events": first})
    last = {"offset": first["next"], "next": last["next"], "lines": [lines[-1]]}
    assert finish(shop, attempt.attempt_id, events=last)["done"]
    assert history(shop, job.name) == [1.0]


def test_what_is_left_out_at_the_end_is_said_before_it(shop: Shop) -> None:
    job = shop.submit()
    attempt = shop.begin(job)
    events = events_slice(0, lines_of(1.0, key="a//b"))
    answer = finish(shop, attempt.attempt_id, events=events)
    assert (answer["done"], len(answer["left_out"])) == (False, 1)
    assert finish(shop, attempt.attempt_id, log=log_slice(0, "why\n"))["done"]


def test_params_keep_their_first_value_and_tags_their_last(shop: Shop) -> None:
    job = shop.submit()
    attempt = shop.begin(job)
    entries: list[dict[str, Any]] = [
        {"t": 1, "param": ["lr", "0.1"]},
        {"t": 2, "param": ["lr", "0.2"]},
        {"t": 3, "tag": ["phase", "a"]},
        {"t": 4, "tag": ["phase", "b"]},
        {"t": 5, "metric": ["loss", 1.0, 0]},
    ]
    lines = [json.dumps(entry) for entry in entries]
    shop.reports.report(attempt.attempt_id, {"state": "running", "events": events_slice(0, lines)})
    with shop.store.read() as connection:
        run = runs.get_run(connection, job.name)
    assert run.params == {"lr": "0.1"}
    assert run.tags["phase"] == "b"
    assert history(shop, job.name) == [1.0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(data=st.data())
def test_any_resending_of_logs_and_events_delivers_once_in_order(shop: Shop, data: st.DataObject) -> None:
    job = shop.submit()
    attempt = shop.begin(job)
    values = [float(n) for n in range(data.draw(st.integers(1, 8)))]
    lines = lines_of(*values)
    ends = [0]
    for line in lines:
        ends.append(ends[-1] + len(line) + 1)
    held = 0
    while held < len(lines):
        start = data.draw(st.integers(0, held))
        end = data.draw(st.integers(start + 1, len(lines)))
        part = {"offset": ends[start], "next": ends[end], "lines": lines[start:end]}
        answer = shop.reports.report(attempt.attempt_id, {"state": "running", "events": part})
        held = ends.index(answer["events_next"])
    assert history(shop, job.name) == values


def test_log_bytes_arrive_exactly_even_if_they_are_no_text(shop: Shop) -> None:
    job = shop.submit()
    attempt = shop.begin(job)
    raw = b"ok \xff\xfe \xc3"
    text = raw.decode("utf-8", "surrogateescape")
    shop.reports.report(attempt.attempt_id, {"state": "running", "log": log_slice(0, text)})
    assert shop.jobs.read_log(job.name, 0) == (raw, len(raw))


def test_log_begins_after_what_penstock_said(shop: Shop) -> None:
    job = shop.submit()
    shop.logs.say(job.name, "building")
    preamble = shop.logs.size(job.name)
    attempt = shop.begin(job, preamble=preamble)
    answer = shop.reports.report(attempt.attempt_id, {"state": "running", "log": log_slice(0, "hello\n")})
    assert answer["log_next"] == 6
    before = shop.jobs.read_log(job.name, 0)
    assert before[0] == b"building\nhello\n"
    digest, size = bring(shop, attempt.attempt_id, b"hello\n")
    finish(shop, attempt.attempt_id, artifacts=[{"path": "user_logs/std_log.txt", "digest": digest, "size": size}])
    assert not shop.logs.path(job.name).exists()
    assert shop.jobs.read_log(job.name, 0) == before
    assert shop.jobs.read_log(job.name, 4) == (before[0][4:], before[1])
    assert shop.jobs.read_log(job.name, 10)[0] == before[0][10:]
    assert shop.jobs.read_log(job.name, 5, 7)[0] == before[0][5:12]


def test_finish_asks_for_missing_blobs_first(shop: Shop) -> None:
    job = shop.submit(outputs={"model": None})
    attempt = shop.begin(job)
    content = b"weights"
    digest, size = "ab" * 32, len(content)
    answer = finish(shop, attempt.attempt_id, outputs={"model": [{"path": "m.bin", "digest": digest, "size": size}]})
    assert (answer["done"], answer["missing"]) == (False, [digest])
    digest, size = bring(shop, attempt.attempt_id, content)
    body = {"outputs": {"model": [{"path": "m.bin", "digest": digest, "size": size}]}}
    assert finish(shop, attempt.attempt_id, **body)["done"]
    job = shop.jobs.get(job.name)
    assert job.status is JobStatus.COMPLETED
    assert job.outputs["model"].path == "named/model"
    with shop.store.read() as connection:
        assert artifacts.find_artifact(connection, job.name, "named/model/m.bin") is not None
        assert runs.get_run(connection, job.name).status is RunStatus.FINISHED
        assert events.verify_chain(connection) == []


def test_only_content_that_an_attempt_sent_or_its_run_names_can_be_named(shop: Shop) -> None:
    job = shop.submit(outputs={"model": None})
    attempt = shop.begin(job)
    foreign, size = shop.blobs.put(b"of somebody else")
    entry = {"path": "m.bin", "digest": foreign, "size": size}
    assert shop.reports.keep_artifacts(attempt.attempt_id, {"artifacts": [entry]}) == {"missing": [foreign]}
    assert finish(shop, attempt.attempt_id, artifacts=[entry])["missing"] == [foreign]
    assert finish(shop, attempt.attempt_id, outputs={"model": [entry]})["missing"] == [foreign]
    bring(shop, attempt.attempt_id, b"of somebody else")
    assert shop.reports.keep_artifacts(attempt.attempt_id, {"artifacts": [entry]}) == {"missing": []}
    # As after a restart: what the run names already is not asked for again, anything else is.
    shop.reports.brought.forget(attempt.attempt_id)
    assert finish(shop, attempt.attempt_id, artifacts=[{**entry, "path": "again.bin"}])["done"]


def test_sizes_are_those_of_the_contents(shop: Shop) -> None:
    job = shop.submit(outputs={"model": None})
    attempt = shop.begin(job)
    digest, _ = bring(shop, attempt.attempt_id, b"12345")
    entry = {"path": "m.bin", "digest": digest, "size": 7}
    for size in (10**30, -1, "5", None, True, 5.0):
        with pytest.raises(UsageError):
            finish(shop, attempt.attempt_id, artifacts=[{**entry, "size": size}])
    for nonsense in ({**entry, "digest": "x"}, {**entry, "digest": 3}, {"path": "m.bin"}, {**entry, "path": 3}, 3):
        with pytest.raises(UsageError):
            shop.reports.keep_artifacts(attempt.attempt_id, {"artifacts": [nonsense]})
    bodies: list[dict[str, Any]] = [{"artifacts": 3}, {"outputs": []}, {"outputs": {"model": 3}}]
    for body in bodies:
        with pytest.raises(UsageError):
            finish(shop, attempt.attempt_id, **body)
    assert finish(shop, attempt.attempt_id, artifacts=[entry], outputs={"model": [entry]})["done"]
    with shop.store.read() as connection:
        for path in ("m.bin", "named/model/m.bin"):
            found = artifacts.find_artifact(connection, job.name, path)
            assert found is not None
            assert found.size == 5


def test_finish_twice_is_one_end(shop: Shop) -> None:
    job = shop.submit()
    attempt = shop.begin(job)
    finish(shop, attempt.attempt_id)
    ended = shop.jobs.get(job.name)
    answer = finish(shop, attempt.attempt_id, exit_code=1)
    assert answer["done"]
    assert shop.jobs.get(job.name) == ended


def test_an_output_cannot_escape_its_run(shop: Shop) -> None:
    job = shop.submit()
    attempt = shop.begin(job)
    digest, size = shop.blobs.put(b"x")
    with pytest.raises(InvalidPathError):
        finish(shop, attempt.attempt_id, artifacts=[{"path": "../../etc/passwd", "digest": digest, "size": size}])


def test_failure_says_code_exit_and_last_lines(shop: Shop) -> None:
    job = shop.submit()
    attempt = shop.begin(job)
    text = "".join(f"line {n}\n" for n in range(100))
    finish(shop, attempt.attempt_id, exit_code=3, log=log_slice(0, text))
    error = shop.jobs.get(job.name).error
    assert error is not None
    assert (error.code, error.exit_code) == ("CommandFailed", 3)
    assert error.log_tail.splitlines()[-1] == "line 99"
    assert len(error.log_tail.splitlines()) == 20


def test_lost_attempts_are_retried_three_times_in_all(shop: Shop) -> None:
    job = shop.submit()
    for number in (1, 2):
        attempt = shop.begin(job)
        assert attempt.number == number
        shop.reports.conclude(attempt.attempt_id, reason="lost")
        assert shop.jobs.get(job.name).status is JobStatus.QUEUED
    attempt = shop.begin(job)
    shop.reports.conclude(attempt.attempt_id, reason="lost")
    ended = shop.jobs.get(job.name)
    assert ended.status is JobStatus.FAILED
    assert ended.error is not None
    assert ended.error.code == "AttemptsExhausted"


def test_only_the_last_attempts_points_count(shop: Shop) -> None:
    job = shop.submit()
    first = shop.begin(job)
    shop.reports.report(first.attempt_id, {"state": "running", "events": events_slice(0, lines_of(9.0, 8.0, 7.0))})
    shop.reports.conclude(first.attempt_id, reason="lost")
    second = shop.begin(job)
    shop.reports.report(second.attempt_id, {"state": "running", "events": events_slice(0, lines_of(1.0))})
    assert history(shop, job.name) == [1.0]


def test_a_lost_agent_that_comes_back_is_told_to_stop(shop: Shop) -> None:
    job = shop.submit()
    attempt = shop.begin(job)
    shop.reports.conclude(attempt.attempt_id, reason="lost")
    answer = shop.reports.report(attempt.attempt_id, {"state": "running", "events": events_slice(0, lines_of(1.0))})
    assert answer["cancel"]
    assert history(shop, job.name) == []


def test_canceling_is_answered_to_the_agent_and_ends_the_job(shop: Shop) -> None:
    job = shop.submit()
    attempt = shop.begin(job)
    assert not shop.reports.report(attempt.attempt_id, {"state": "running"})["cancel"]
    assert shop.jobs.cancel(job.name, actor="ann").status is JobStatus.CANCEL_REQUESTED
    assert shop.reports.report(attempt.attempt_id, {"state": "running"})["cancel"]
    finish(shop, attempt.attempt_id, reason="canceled", exit_code=None)
    assert shop.jobs.get(job.name).status is JobStatus.CANCELED


def test_agent_of_an_unrecorded_start_names_itself(shop: Shop) -> None:
    job = shop.submit()
    attempt = shop.begin(job)
    agent = {"pid": 42, "process_start": 7, "boot_id": "b"}
    shop.reports.report(attempt.attempt_id, {"state": "preparing", "agent": agent})
    from penstock.stores.metadata import attempts

    with shop.store.read() as connection:
        stored = attempts.get_attempt(connection, attempt.attempt_id)
    assert (stored.pid, stored.process_start, stored.boot_id) == (42, 7, "b")
