from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.entities.errors import NotFoundError, UnavailableError
from penstock.sdk import stream
from penstock.sdk.events import read_events
from penstock.sdk.http import HttpClient
from penstock.sdk.rest import Rest
from penstock.sdk.stream import JobEnd, LogText, MetricPoint, StatusChange, follow_job


@pytest.fixture
def rest(stub) -> Iterator[Rest]:
    it = Rest(HttpClient(stub.url))
    yield it
    it.http.close()


def event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def sending(*pieces: bytes, whole: bool = True):
    """Return an answer that streams pieces and then ends well, or breaks off."""

    def answer(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in pieces:
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            handler.wfile.flush()
        if whole:
            handler.wfile.write(b"0\r\n\r\n")
        else:
            handler.close_connection = True

    return answer


def test_events_are_read_whole_however_they_are_cut(stub, rest) -> None:
    text = b': hi\n\nevent: log\r\ndata: {"a":\ndata: 1}\r\n\r\ndata: "\xc3\xbc"\n\n'
    stub.answers = [sending(*(bytes([byte]) for byte in text))]
    with rest.http.request("GET", "/events") as response:
        assert list(read_events(response)) == [("log", {"a": 1}), ("message", "ü")]


def test_broken_stream_goes_on_where_it_was(stub, rest) -> None:
    status = event("status", {"status": "Running", "at": "…"})
    metric = event("metric", {"id": 7, "key": "loss", "value": "NaN", "step": 1, "timestamp": "…"})
    stub.answers = [
        sending(
            status, event("log", {"offset": 0, "next": 6, "text": "one\ntw"}), metric, b"event: log\nda", whole=False
        ),
        lambda h: h.break_off(),
        sending(status, event("log", {"offset": 6, "next": 8, "text": "o\n"}), event("end", {"status": "Completed"})),
    ]
    events = list(follow_job(rest, "job1"))
    assert "".join(e.text for e in events if isinstance(e, LogText)) == "one\ntwo\n"
    assert [e for e in events if isinstance(e, StatusChange)] == [StatusChange("Running")]
    assert [str(e.value) for e in events if isinstance(e, MetricPoint)] == ["nan"]
    assert events[-1] == JobEnd({"status": "Completed"})
    assert [path for _, path, _, _ in stub.requests][-1].endswith("/jobs/job1:stream?log_offset=6&metrics_after=7")


def test_stream_that_ends_early_is_opened_again(stub, rest) -> None:
    stub.answers = [sending(), sending(event("end", {"status": "Failed"}))]
    assert list(follow_job(rest, "job1")) == [JobEnd({"status": "Failed"})]


def test_stream_of_an_unknown_job_is_not_tried_again(stub, rest) -> None:
    stub.answers = [lambda h: h.reply(404, b'{"code": "not_found", "detail": "no job"}')]
    with pytest.raises(NotFoundError):
        list(follow_job(rest, "job1"))
    assert len(stub.requests) == 1


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_stream_that_ends_at_the_same_place_each_time_is_given_up(stub, rest, monkeypatch, is_whole) -> None:
    monkeypatch.setattr(stream, "RETRY_DELAYS_S", (0.001,))
    same = sending(event("status", {"status": "Running", "at": "…"}), whole=is_whole)
    stub.answers = [same] * 100
    with pytest.raises(UnavailableError, match="at the same place"):
        list(follow_job(rest, "job1"))
    assert len(stub.requests) == 1 + stream.MOST_IN_VAIN


def test_a_stream_that_says_a_little_each_time_is_never_given_up(stub, rest, monkeypatch) -> None:
    monkeypatch.setattr(stream, "RETRY_DELAYS_S", (0.001,))
    pieces = [event("log", {"offset": n, "next": n + 1, "text": "x"}) for n in range(50)]
    stub.answers = [sending(piece, whole=False) for piece in pieces] + [sending(event("end", {"status": "Failed"}))]
    events = list(follow_job(rest, "job1"))
    assert "".join(e.text for e in events if isinstance(e, LogText)) == "x" * 50
