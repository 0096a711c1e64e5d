from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.harness import House, open_house

from penstock.entities.job import Job, JobStatus
from penstock.entities.run import Metric
from penstock.server.api import streams
from penstock.stores.metadata import jobs, runs


def follow(house: House, name: str, query: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a stream's events; comments come as ``("", text)``."""
    connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=30)
    try:
        path = f"/api/v1/jobs/{name}:stream{query}"
        connection.request("GET", path, headers={"Authorization": f"Bearer {house.token}"})
        response = connection.getresponse()
        assert response.status == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        event = ""
        while line := response.readline().decode():
            if line.startswith(":"):
                yield "", line.strip()
            elif line.startswith("event: "):
                event = line[7:].strip()
            elif line.startswith("data: "):
                yield event, json.loads(line[6:])
    finally:
        connection.close()


def report(house: House, attempt: str, log: bytes, offset: int, state: str = "running") -> None:
    text = log.decode("utf-8", "surrogateescape")
    slice_ = {"offset": offset, "text": text, "next": offset + len(log)}
    house.services.attempts.report(attempt, {"report": 1, "state": state, "pid": 1, "log": slice_})


def log_metric(house: House, name: str, value: float, step: int) -> None:
    point = Metric("loss", value, 1000 + step, step)
    house.services.store.write(lambda c: runs.log_batch(c, name, metrics=[point], attempt=1))
    house.services.feed.notify(f"job:{name}")


def end(house: House, name: str, status: JobStatus = JobStatus.COMPLETED) -> None:
    house.services.store.write(lambda c: jobs.update_job(c, name, status=status, ended_at=2))
    house.services.feed.notify(f"job:{name}")


@pytest.fixture
def job(house: House, request: pytest.FixtureRequest) -> tuple[Job, str]:
    job = house.submit(name=request.node.name[:200].replace("[", "-").replace("]", ""))
    attempt, _ = house.begin(job)
    return job, attempt.attempt_id


def test_stream_follows_status_log_metrics_and_ends(house: House, job: tuple[Job, str]) -> None:
    name, attempt = job[0].name, job[1]
    events = follow(house, name)
    assert next(events)[1]["status"] == "Starting"
    report(house, attempt, b"hello\n", 0)
    seen = [next(events), next(events)]
    assert ("log", {"offset": 0, "next": 6, "text": "hello\n"}) in seen
    assert any(event == "status" and data["status"] == "Running" for event, data in seen)
    log_metric(house, name, 0.5, 3)
    event, data = next(events)
    assert event == "metric"
    assert {key: data[key] for key in ("key", "value", "step")} == {"key": "loss", "value": 0.5, "step": 3}
    assert data["timestamp"] == "1970-01-01T00:00:01.003Z"
    report(house, attempt, b"bye\n", 6)
    assert next(events) == ("log", {"offset": 6, "next": 10, "text": "bye\n"})
    end(house, name)
    assert next(events)[1]["status"] == "Completed"
    event, data = next(events)
    assert (event, data["name"], data["status"]) == ("end", name, "Completed")
    assert list(events) == []


def test_broken_stream_goes_on_where_it_stopped(house: House, job: tuple[Job, str]) -> None:
    name, attempt = job[0].name, job[1]
    report(house, attempt, b"one\ntwo\n", 0)
    for step in range(3):
        log_metric(house, name, float(step), step)
    end(house, name)
    whole = list(follow(house, name))
    logs = "".join(data["text"] for event, data in whole if event == "log")
    ids = [data["id"] for event, data in whole if event == "metric"]
    assert (logs, len(ids)) == ("one\ntwo\n", 3)
    assert ids == sorted(ids)
    rest = list(follow(house, name, f"?log_offset=4&metrics_after={ids[0]}"))
    assert "".join(data["text"] for event, data in rest if event == "log") == "two\n"
    assert [data["id"] for event, data in rest if event == "metric"] == ids[1:]
    assert rest[-1][0] == "end"


def test_characters_are_never_cut(house: House, job: tuple[Job, str]) -> None:
    name, attempt = job[0].name, job[1]
    log = "größe €\n".encode()
    events = follow(house, name)
    next(events)
    report(house, attempt, log[:3], 0)  # ends inside "ö"
    first = [next(events), next(events)]
    texts = [data for event, data in first if event == "log"]
    assert texts == [{"offset": 0, "next": 2, "text": "gr"}]
    report(house, attempt, log[3:], 3)
    assert next(events) == ("log", {"offset": 2, "next": len(log), "text": "öße €\n"})


def test_half_a_character_at_the_end_is_still_shown(house: House, job: tuple[Job, str]) -> None:
    name, attempt = job[0].name, job[1]
    report(house, attempt, b"x\xe2\x82", 0)
    end(house, name)
    logs = [data for event, data in follow(house, name) if event == "log"]
    assert "".join(entry["text"] for entry in logs) == "x�"
    assert logs[-1]["next"] == 3


def test_quiet_stream_is_kept_alive(house: House, job: tuple[Job, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE_S", 0.01)
    events = follow(house, job[0].name)
    assert [next(events)[0] for _ in range(3)] == ["status", "", ""]


def test_log_is_read_from_an_offset(house: House, job: tuple[Job, str]) -> None:
    name, attempt = job[0].name, job[1]
    report(house, attempt, b"0123456789", 0)
    answer = house.ask("GET", f"/api/v1/jobs/{name}/log?offset=4")
    assert answer.body == b"456789"
    assert answer.headers["content-type"].startswith("text/plain")
    assert house.ask("GET", f"/api/v1/jobs/{name}/log?offset=99").body == b""
    assert house.ask("GET", f"/api/v1/jobs/{name}/log?offset=-1").status == 400


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_text_of_pieces_is_the_text_of_the_whole(content: bytes, cuts: list[int]) -> None:
    text = streams._Text(7)
    places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    shown, following = "", 7
    for start, stop in itertools.pairwise(places):
        offset, decoded, following_now = text.add(content[start:stop], is_last=False)
        assert offset == following
        following = following_now
        shown += decoded
    _, decoded, following = text.add(b"", is_last=True)
    assert shown + decoded == content.decode("utf-8", "replace")
    assert following == 7 + len(content)


def test_stopping_server_does_not_wait_for_those_who_wait(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        job = house.submit(name="long-job")
        house.begin(job)
        events = follow(house, job.name)
        assert next(events)[0] == "status"
    # Leaving the block stopped the server: the stream ended without the job's end.
    assert [event for event, _ in events if event] == []


def test_a_point_that_cannot_be_shown_does_not_end_the_stream() -> None:
    points = [(1, Metric("a", 1.0, 1, 1)), (2, Metric("\udc80", 1.0, 1, 1)), (3, Metric("b", 1.0, 2**63 - 1, 1))]
    shown = [json.loads(line.split(b"data: ")[1]) for line in streams.metric_events("job", points)]
    assert [(item["id"], item["timestamp"]) for item in shown] == [
        (1, "1970-01-01T00:00:00.001Z"),
        (3, "9999-12-31T23:59:59.999Z"),
    ]


def test_more_points_than_one_look_takes_come_in_order(house: House, job: tuple[Job, str], monkeypatch) -> None:
    monkeypatch.setattr(streams, "METRICS_AT_ONCE", 3)
    for step in range(10):
        log_metric(house, job[0].name, 0.5, step)
    end(house, job[0].name)
    assert [data["step"] for event, data in follow(house, job[0].name) if event == "metric"] == list(range(10))
