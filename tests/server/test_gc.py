"""Permanent deletion over REST: a plan first, then lines as it happens; MLflow's protocol finds nothing afterwards."""

from __future__ import annotations

import gc
import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update
from tests.server.harness import House
from tests.server.test_run_search import make_experiment, make_run

from penstock.entities.asset import TreeEntry
from penstock.stores.metadata import artifacts
from penstock.stores.metadata.tables import asset_versions


def attach(house: House, run_id: str, content: bytes, age_s: float = 7200) -> str:
    """Give a run a file that was stored a while ago."""
    digest, size = house.services.blobs.put(content)
    path = house.services.blobs.local_path(digest)
    assert path is not None
    os.utime(path, (time.time() - age_s,) * 2)
    entry = TreeEntry(path="weights", digest=digest, size=size)
    house.services.store.write(lambda c: artifacts.put_artifacts(c, run_id, [entry], now=1))
    return digest


def collect(house: House, **body: Any) -> list[dict[str, Any]]:
    answer = house.ask("POST", "/api/v1/gc", {"older_than_s": 0, **body})
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


def test_what_is_planned_goes_and_is_gone_for_every_client(fresh_house: House) -> None:
    house = fresh_house
    experiment_id = make_experiment(house, "old")
    run_id = make_run(house, experiment_id, "old000001", metrics={"a": 1.0}, params={"p": "1"})
    digest = attach(house, run_id, b"weights of an old run")
    house.ok("POST", "/api/v1/experiments/old:delete")
    plan = house.ok("POST", "/api/v1/gc:plan", {"older_than_s": 0})
    assert (plan["counts"], plan["bytes"]) == ({"run": 1, "experiment": 1}, 21)
    assert [item["name"] for item in plan["items"]] == [run_id, "old"]
    assert house.ok("POST", "/api/v1/gc:plan", {})["kept"][0]["reason"] == "deleted lately"
    assert house.services.blobs.exists(digest)
    steps = collect(house)
    assert steps[-1] == {"step": "done", "removed": {"run": 1, "experiment": 1}, "bytes": 21}
    assert not house.services.blobs.exists(digest)
    assert house.ask("GET", f"/api/v1/runs/{run_id}").status == 404
    answer = house.ask("GET", f"/api/2.0/mlflow/runs/get?run_id={run_id}")
    assert (answer.status, answer.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    answer = house.ask("GET", f"/api/2.0/mlflow/experiments/get?experiment_id={experiment_id}")
    assert answer.status == 404
    made = house.ok("POST", "/api/2.0/mlflow/experiments/create", {"name": "old"})
    assert made["experiment_id"] != experiment_id
    events = house.ok("GET", "/api/v1/events?limit=1000")["items"]
    assert [event["ref"] for event in events if event["verb"] == "remove"] == [
        f"run:{run_id}",
        f"experiment:{experiment_id}",
    ]


def test_one_run_by_a_prefix(fresh_house: House) -> None:
    house = fresh_house
    for run_id in ("0123456789", "9876543210"):
        make_run(house, "0", run_id)
    answer = house.ask("POST", "/api/v1/gc", {"run": "012345", "older_than_s": 0})
    assert (answer.status, answer.json["hint"]) == (409, "Delete it first: penstock run delete 0123456789")
    for run_id in ("0123456789", "9876543210"):
        house.ok("POST", f"/api/v1/runs/{run_id}:delete")
    assert collect(house, run="012345")[-1]["removed"] == {"run": 1}
    assert house.ok("GET", "/api/v1/runs?view=all")["items"][0]["run_id"] == "9876543210"


def test_only_admins_may(fresh_house: House) -> None:
    _, token = fresh_house.begin(fresh_house.submit())
    for path in ("/api/v1/gc", "/api/v1/gc:plan"):
        assert fresh_house.ask("POST", path, {}, token=token).status == 403
    assert fresh_house.ask("POST", "/api/v1/gc", {"older_than_s": -1}).status == 422
    assert fresh_house.ask("POST", "/api/v1/gc", {"experiment": "nobody"}).status == 404


def test_a_run_of_many_points_goes_while_others_log(fresh_house: House) -> None:
    house = fresh_house
    run_id, other = make_run(house, "0", "many000001"), make_run(house, "0", "other00001")
    for start in range(0, 3000, 1000):
        points = [{"key": "loss", "value": 1, "timestamp": step, "step": step} for step in range(start, start + 1000)]
        house.ok("POST", "/api/2.0/mlflow/runs/log-batch", {"run_id": run_id, "metrics": points})
    house.ok("POST", f"/api/v1/runs/{run_id}:delete")
    assert collect(house)[-1]["removed"] == {"run": 1}
    house.ok("POST", "/api/2.0/mlflow/runs/log-metric", {"run_id": other, "key": "a", "value": 1, "timestamp": 1})
    assert [item["run_id"] for item in house.ok("GET", "/api/v1/runs?view=all")["items"]] == [other]


@pytest.fixture
def no_garbage_collector() -> Iterator[None]:
    """The server runs it seldom; what waits for it waits for minutes."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collector")
def test_the_next_collection_may_begin_when_the_client_of_one_hung_up(fresh_house: House) -> None:
    house = fresh_house
    for number in range(400):
        run_id = make_run(house, "0", f"gone{number:06d}", params={"p": "x" * 500})
        house.ok("POST", f"/api/v1/runs/{run_id}:delete")
    body = json.dumps({"older_than_s": 0})
    head = f"POST /api/v1/gc HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\nAuthorization: Bearer {house.token}\r\n"
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", house.port), timeout=30) as client:
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            assert client.recv(1000).startswith((b"HTTP/1.1 200", b"HTTP/1.1 409"))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # hangs up with a reset
    answers = (house.ask("POST", "/api/v1/gc", {"older_than_s": 0}) for _ in range(200))
    done = next(answer for answer in answers if answer.status != 409)
    assert json.loads(done.body.splitlines()[-1])["step"] == "done"


def test_the_store_gives_space_back_when_asked(fresh_house: House) -> None:
    house = fresh_house
    experiment_id = make_experiment(house, "roomy")
    for number in range(40):
        run_id = make_run(house, experiment_id, f"roomy{number:04d}", params={f"p{n}": "x" * 5000 for n in range(20)})
        house.ok("POST", f"/api/v1/runs/{run_id}:delete")
    assert "vacuum" not in {step["step"] for step in collect(house)}
    plan = house.ok("POST", "/api/v1/gc:plan", {"vacuum": True})
    assert plan["vacuum"]["obstacle"] == ""
    *steps, done = collect(house, vacuum=True)
    freed = [step["bytes"] for step in steps if step["step"] == "vacuum"]
    assert freed
    assert done["vacuumed_bytes"] == freed[-1]
    if not house.services.store.address[0]:  # PostgreSQL estimates, and mostly keeps the space for new rows
        assert plan["vacuum"]["bytes"] > 2_000_000
        assert done["vacuumed_bytes"] > 2_000_000


def test_a_deleted_version_waits_from_its_deletion_and_takes_its_files_along(fresh_house: House) -> None:
    house = fresh_house
    digest, size = house.services.blobs.put(b"weights of a model")
    entry = {"path": "model.onnx", "digest": digest, "size": size}
    tree = house.ok("POST", "/api/v1/trees", {"entries": [entry]})["digest"]
    house.ok("POST", "/api/v1/models", {"name": "digits", "path": f"tree:{tree}"})
    long_ago = int(time.time() * 1000) - 90 * 86_400_000
    old = update(asset_versions).values(created_at=long_ago, updated_at=long_ago)
    house.services.store.write(lambda c: c.execute(old) and None)
    house.ok("DELETE", "/api/v1/models/digits/versions/1")
    path = house.services.blobs.local_path(digest)
    assert path is not None
    os.utime(path, (time.time() - 7200,) * 2)
    plan = house.ok("POST", "/api/v1/gc:plan", {})
    assert (plan["counts"], plan["kept"][0]["reason"], plan["bytes"]) == ({}, "deleted lately", 0)
    assert house.ok("POST", "/api/v1/gc:plan", {"older_than_s": 0})["bytes"] == size
    assert collect(house)[-1] == {"step": "done", "removed": {"version": 1}, "bytes": size}
    assert house.ask("POST", "/api/v1/models/digits/versions/1:restore").status == 404
