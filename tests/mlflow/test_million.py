"""A million points of one metric: every one comes back, page after page, in order, and a sample of them at once."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from typing import Any

import pytest
from tests.server.harness import House

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
API = "/api/2.0/mlflow"
BATCHES, SIZE, PAGE = 1000, 1000, 25_000


def test_history_of_a_million_points_comes_in_pages(house: House) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=60)
    headers = {"Authorization": f"Bearer {house.token}", "Content-Type": "application/json"}

    def ask(method: str, path: str, content: Any = None) -> Any:
        connection.request(method, f"{API}/{path}", None if content is None else json.dumps(content), headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return json.loads(body)

    run = ask("POST", "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
    for batch in range(BATCHES):
        steps = range(batch * SIZE, (batch + 1) * SIZE)
        points = [{"key": "loss", "value": step / 2, "timestamp": step, "step": step} for step in steps]
        ask("POST", "runs/log-batch", {"run_id": run, "metrics": points})
    assert ask("GET", f"runs/get?run_id={run}")["run"]["data"]["metrics"][0]["step"] == BATCHES * SIZE - 1
    query = {"run_id": run, "metric_key": "loss", "max_results": str(PAGE)}
    steps_seen, pages = 0, 0
    while True:
        page = ask("GET", "metrics/get-history?" + urllib.parse.urlencode(query))
        assert [point["step"] for point in page["metrics"]] == list(
            range(steps_seen, steps_seen + len(page["metrics"]))
        )
        steps_seen, pages = steps_seen + len(page["metrics"]), pages + 1
        if "next_page_token" not in page:
            break
        query["page_token"] = page["next_page_token"]
    assert (steps_seen, pages) == (BATCHES * SIZE, BATCHES * SIZE // PAGE)
    interval = {"run_ids": run, "metric_key": "loss", "max_results": 100}
    sample = ask("GET", "metrics/get-history-bulk-interval?" + urllib.parse.urlencode(interval))["metrics"]
    assert (sample[0]["step"], sample[-1]["step"]) == (0, BATCHES * SIZE - 1)
    assert 100 <= len(sample) <= 101
    connection.close()
