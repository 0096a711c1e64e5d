from __future__ import annotations

import json
from typing import Any

import pytest
from tests.server.harness import House

from penstock.stores.metadata import runs


def report(**changes: Any) -> dict[str, Any]:
    return {"report": 1, "state": "running", "pid": 1, **changes}


def test_attempt_reports_and_finishes_with_its_own_token(house: House) -> None:
    job = house.submit()
    attempt, token = house.begin(job)
    url = f"/internal/attempts/{attempt.attempt_id}"
    line = '{"t": 5, "metric": ["loss", "NaN", 2]}'
    sent = report(
        log={"offset": 0, "text": "hi\n", "next": 3}, events={"offset": 0, "lines": [line], "next": len(line) + 1}
    )
    answer = house.ok("POST", f"{url}/report", sent, token=token)
    assert (answer["cancel"], answer["log_next"], answer["events_next"]) == (False, 3, len(line) + 1)
    assert house.ok("POST", f"{url}/report", sent, token=token) == answer
    with house.services.store.read() as connection:
        assert len(runs.metric_history(connection, job.name, "loss")) == 1
    done = {"exit_code": 0, "reason": "exited", "message": "", "artifacts": [], "outputs": {}}
    assert house.ok("POST", f"{url}/finish", done, token=token)["done"] is True
    assert house.services.jobs.get(job.name).status == "Completed"
    # The token ended with the attempt; the agent that did not hear it repeats itself and is heard.
    assert house.ask("GET", f"/api/v1/jobs/{job.name}", token=token).status == 401
    assert house.ok("POST", f"{url}/finish", done, token=token)["done"] is True


@pytest.mark.parametrize("verb", ["report", "finish"])
def test_nobody_else_speaks_for_an_attempt(house: House, verb: str) -> None:
    attempt, _ = house.begin(house.submit())
    _, other = house.begin(house.submit())
    url = f"/internal/attempts/{attempt.attempt_id}/{verb}"
    assert house.ask("POST", url, report(), token=other).status == 403
    assert house.ask("POST", url, report(), token=house.token).status == 403
    assert house.ask("POST", url, report(), token=house.internal_token).status == 403
    assert house.ask("POST", url, report(), token="pst_unknown").status == 401
    assert house.ask("POST", f"/internal/attempts/none/{verb}", report(), token="pst_unknown").status == 401


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"null"])
def test_what_is_no_report_is_refused(house: House, body: bytes) -> None:
    attempt, token = house.begin(house.submit())
    url = f"/internal/attempts/{attempt.attempt_id}/report"
    assert house.ask("POST", url, body=body, token=token).status == 400


def test_bytes_that_are_no_text_arrive_as_they_are(house: House) -> None:
    job = house.submit()
    attempt, token = house.begin(job)
    raw = b"caf\xc3\xa9 \xff\xfe \xed\xa0\x80 end"
    body = json.dumps(report(log={"offset": 0, "text": raw.decode("utf-8", "surrogateescape"), "next": len(raw)}))
    answer = house.ok("POST", f"/internal/attempts/{attempt.attempt_id}/report", body=body.encode(), token=token)
    assert answer["log_next"] == len(raw)
    assert house.services.jobs.read_log(job.name, 0) == (raw, len(raw))
