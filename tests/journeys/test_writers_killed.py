"""``kill -9`` of the server while eight clients log: every acknowledged point is there afterwards, none twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

API = "/api/2.0/mlflow"
WRITERS = 8
BATCH = 5

# A client as a training script has it: one connection, and again until it is answered. Half of them send batches.
# What is acknowledged is written down at once, by one write of one line.
WRITER = f"""
import http.client, json, os, pathlib, sys, urllib.parse

url, token, run, is_batch, acknowledged, stop = sys.argv[1:]
host, port = urllib.parse.urlsplit(url).netloc.split(":")
headers = {{"Authorization": f"Bearer {{token}}", "Content-Type": "application/json"}}
lines = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
connection = None
step = 0
while not pathlib.Path(stop).exists():
    point = {{"timestamp": step, "step": step, "value": step / 4}}
    if is_batch == "batch":
        path = "{API}/runs/log-batch"
        sent = {{
            "metrics": [{{"key": f"m{{number}}", **point}} for number in range({BATCH})],
            "params": [{{"key": f"p{{step}}", "value": str(step)}}],
            "tags": [{{"key": "last", "value": str(step)}}],
        }}
    else:
        path, sent = "{API}/runs/log-metric", {{"key": "m0", **point}}
    body = json.dumps({{"run_id": run, **sent}})
    while True:
        try:
            connection = connection or http.client.HTTPConnection(host, int(port), timeout=60)
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 200:
                break
            assert answer.status == 503, text
        except (OSError, http.client.HTTPException):
            connection.close()
            connection = None
    os.write(lines, f"{{step}}\\n".encode())
    step += 1
"""


@pytest.mark.parametrize(
    ("backend", "kills"),
    [
        ("sqlite", 2),
        pytest.param("sqlite", 8, marks=[pytest.mark.long, pytest.mark.timeout(600)]),
        pytest.param("postgres", 5, marks=[pytest.mark.long, pytest.mark.postgres, pytest.mark.timeout(600)]),
    ],
)
def test_kill_9_of_the_server_during_8_writers_loses_nothing(
    lab, tmp_path, wait_until, request, monkeypatch, backend, kills
):
    if backend == "postgres":
        server = request.getfixturevalue("postgres_server")
        monkeypatch.setenv("PENSTOCK_STORES__METADATA", server.url())
    lab.run("up", "--background")
    assert (backend == "postgres") is lab.read("status")["metadata"].startswith("PostgreSQL")
    url, token = lab.record().url, lab.run("token").strip()
    client = Client(url, token)
    draw = random.Random(kills)
    stop = tmp_path / "stop"
    writers: list[tuple[str, str, Path, subprocess.Popen[bytes]]] = []
    for number in range(WRITERS):
        run = client.post("runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
        kind, told = ("batch", "metric")[number % 2], tmp_path / f"{number}.txt"
        words = [sys.executable, "-c", WRITER, url, token, run, kind, told, stop]
        writers.append((run, kind, told, subprocess.Popen(words)))

    def acknowledged() -> int:
        return sum(told.read_bytes().count(b"\n") for _, _, told, _ in writers if told.exists())

    try:
        for _ in range(kills):
            wanted = acknowledged() + draw.randrange(100, 800)
            wait_until(lambda wanted=wanted: acknowledged() >= wanted, f"{wanted} acknowledgements")
            os.kill(lab.server_pid(), signal.SIGKILL)
        wanted = acknowledged() + 200
        wait_until(lambda: acknowledged() >= wanted, "acknowledgements after the last kill")
    finally:
        stop.touch()
        ends = [process.wait(60) for *_, process in writers]
    assert ends == [0] * WRITERS

    for run, kind, told, _ in writers:
        steps = [int(line) for line in told.read_text().splitlines()]
        assert steps == list(range(len(steps)))
        for key in [f"m{number}" for number in range(BATCH)] if kind == "batch" else ["m0"]:
            points = client.history(run, key)
            assert [point["step"] for point in points] == steps, (kind, key)
            assert all(point["value"] == point["step"] / 4 for point in points)
        if kind == "batch":
            data = client.get(f"runs/get?run_id={run}")["run"]["data"]
            assert {param["key"]: param["value"] for param in data["params"]} == {f"p{n}": str(n) for n in steps}
            assert {"key": "last", "value": str(steps[-1])} in data["tags"]
            assert {metric["key"]: metric["step"] for metric in data["metrics"]} == {
                f"m{number}": steps[-1] for number in range(BATCH)
            }


class Client:
    """Plain HTTP to the server, after its supervisor has started it again."""

    def __init__(self, url: str, token: str) -> None:
        self._base = f"{url}{API}/"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def post(self, path: str, sent: Any) -> Any:
        request = urllib.request.Request(self._base + path, json.dumps(sent).encode(), self._headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def get(self, path: str) -> Any:
        request = urllib.request.Request(self._base + path, headers=self._headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def history(self, run: str, key: str) -> list[Any]:
        """Return all points of a metric, page after page."""
        points: list[Any] = []
        page = ""
        while True:
            found = self.get(f"metrics/get-history?run_id={run}&metric_key={key}&max_results=1000&page_token={page}")
            points += found.get("metrics", [])
            page = found.get("next_page_token", "")
            if not page:
                return points
