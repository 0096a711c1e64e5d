"""Questions in a process beside the server: the same answers, whatever becomes of the process."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.postgresql import PostgresServer
from tests.server.harness import House, open_house

from penstock.app.reader import reader_starter
from penstock.home import Home
from penstock.server.readers.pool import Readers, usual_number
from penstock.server.readers.process import LOOK_S
from penstock.server.readers.worker import AT_ONCE
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.postgres import PostgresMetadataStore

PATIENCE_S = 60
MLFLOW = "/api/2.0/mlflow"
BROKEN = (
    ("POST", f"{MLFLOW}/runs/search", {"experiment_ids": ["0"], "filter": "metrics.loss >"}),
    ("POST", f"{MLFLOW}/runs/search", {"experiment_ids": ["0"], "order_by": ["colour"]}),
    ("POST", f"{MLFLOW}/runs/search", {"experiment_ids": ["0"], "max_results": 0}),
    ("POST", f"{MLFLOW}/runs/search", {"experiment_ids": [2**70]}),
    ("GET", f"{MLFLOW}/metrics/get-history?run_id=x&metric_key=loss&page_token=%2B", None),
    ("POST", "/api/v1/runs/search", {"filter": "metrics.loss >"}),
    ("POST", "/api/v1/runs/search", {"experiments": ["digts"]}),
    ("POST", "/api/v1/runs/search", {"columns": {"attributes": ["colour"]}}),
    ("POST", "/api/v1/runs/search", {"next": "abc"}),
    ("GET", "/api/v1/runs?filter=metrics.los%20%3E%201&experiment=digits", None),
)


def with_processes(
    folder: Path, *, url: str = "", idle_s: float = PATIENCE_S, look_s: float = LOOK_S
) -> Callable[[MetadataStore], Readers]:
    """Return what gives a store real reader processes."""
    environment = {**os.environ, "PENSTOCK_STORES__METADATA": url}
    return lambda store: Readers(store, reader_starter(Home(folder), environment), most=1, idle_s=idle_s, look_s=look_s)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """A server whose questions are answered by a process."""
    options: dict[str, Any] = {}
    url = ""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.url()
        options["store"] = PostgresMetadataStore(url)
    with open_house(tmp_path, readers=with_processes(tmp_path, url=url), **options) as house:
        yield house


def search(house: House, experiment: str, **options: Any) -> list[str]:
    found = house.ok("POST", f"{MLFLOW}/runs/search", {"experiment_ids": [experiment]}, **options)
    return [run["info"]["run_id"] for run in found.get("runs", ())]


def create(house: House, name: str) -> str:
    return str(house.ok("POST", f"{MLFLOW}/experiments/create", {"name": name})["experiment_id"])


def create_run(house: House, experiment: str) -> str:
    run = house.ok("POST", f"{MLFLOW}/runs/create", {"experiment_id": experiment})["run"]
    return str(run["info"]["run_id"])


def log(house: House, run_id: str, value: float) -> None:
    point = {"run_id": run_id, "key": "loss", "value": value, "timestamp": 1}
    house.ok("POST", f"{MLFLOW}/runs/log-metric", point)


def wait_reader(house: House) -> int:
    """Ask until a process answers, and return its pid."""
    deadline = time.monotonic() + PATIENCE_S
    while not house.services.readers.pids:
        assert time.monotonic() < deadline, "no reader process came up"
        search(house, "0")
    return house.services.readers.pids[0]


def wait_end(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    try:
        assert select.select([descriptor], [], [], PATIENCE_S)[0], f"process {pid} did not end"
    finally:
        os.close(descriptor)


def test_a_process_starts_with_the_first_question_and_sees_every_acknowledged_write(house: House) -> None:
    experiment = create(house, "digits")
    assert house.services.readers.pids == []
    pid = wait_reader(house)
    made: list[str] = []
    for value in range(20):
        made.insert(0, create_run(house, experiment))
        log(house, made[0], value)
        assert set(search(house, experiment)) == set(made)
        points = house.ok("GET", f"{MLFLOW}/metrics/get-history?run_id={made[0]}&metric_key=loss")["metrics"]
        assert [point["value"] for point in points] == [value]
        items = house.ok("GET", "/api/v1/runs?experiment=digits&columns=metrics.loss&order_by=metrics.loss%20desc")
        assert items["items"][0]["metrics"] == {"loss": value}
    assert house.services.readers.pids == [pid]


def test_answers_and_errors_are_those_of_a_server_without_processes(house: House) -> None:
    run_id = create_run(house, create(house, "digits"))
    log(house, run_id, 0.5)
    asked = [
        *BROKEN,
        ("POST", f"{MLFLOW}/runs/search", {"experiment_ids": ["1"]}),
        ("GET", f"{MLFLOW}/metrics/get-history-bulk?run_id={run_id}&metric_key=loss", None),
        ("GET", f"{MLFLOW}/metrics/get-history-bulk-interval?run_ids={run_id}&metric_key=loss", None),
        ("POST", "/api/v1/runs/search", {"filter": "metrics.loss < 1"}),
    ]
    before = [house.ask(*one) for one in asked]
    wait_reader(house)
    after = [house.ask(*one) for one in asked]
    assert [(one.status, one.json) for one in after] == [(one.status, one.json) for one in before]
    assert [one.status for one in after[: len(BROKEN)]] != [200] * len(BROKEN)
    assert house.services.readers.pids


def test_a_limited_token_sees_its_experiment_alone(house: House) -> None:
    job = house.submit(experiment_name="mine")
    _, token = house.begin(job)
    other = create(house, "others")
    run_id = create_run(house, other)
    log(house, run_id, 1.0)
    wait_reader(house)
    assert search(house, other) == [run_id]
    assert search(house, other, token=token) == []
    path = f"{MLFLOW}/metrics/get-history?run_id={run_id}&metric_key=loss"
    assert (house.ask("GET", path).status, house.ask("GET", path, token=token).status) == (200, 403)
    assert house.ask("POST", "/api/v1/runs/search", {"experiments": ["others"]}, token=token).status == 403
    listed = house.ok("POST", "/api/v1/runs/search", {}, token=token)["items"]
    assert [run["run_id"] for run in listed] == [job.name]


def test_a_process_that_is_killed_loses_no_question_and_is_replaced(house: House) -> None:
    experiment = create(house, "digits")
    made = {create_run(house, experiment) for _ in range(3)}
    pid = wait_reader(house)
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(partial(search, house, experiment)) for _ in range(6)]
        deadline = time.monotonic() + PATIENCE_S
        while house.services.readers.demand < len(asked):
            assert time.monotonic() < deadline
            house.ok("GET", "/api/v1")
        os.kill(pid, signal.SIGKILL)
        assert [set(one.result()) for one in asked] == [made] * 6
    assert wait_reader(house) != pid


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("POST", f"{MLFLOW}/runs/search", {"experiment_ids": ["0"]}),
        ("GET", f"{MLFLOW}/metrics/get-history?run_id=x&metric_key=loss", None),
        ("POST", "/api/v1/runs/search", {}),
        ("GET", "/api/v1/runs", None),
    ],
)
def test_what_clients_asked_who_hung_up_is_not_asked(tmp_path: Path, method: str, path: str, content: Any) -> None:
    readers = with_processes(tmp_path, look_s=PATIENCE_S)
    with open_house(tmp_path, readers=readers) as house:
        pid = wait_reader(house)
        os.kill(pid, signal.SIGSTOP)
        asked = [http.client.HTTPConnection("127.0.0.1", house.port) for _ in range(6)]
        for one in asked:
            headers = {"Authorization": f"Bearer {house.token}", "Content-Type": "application/json"}
            one.request(method, path, None if content is None else json.dumps(content), headers)
        wait_demand(house, lambda demand: demand == len(asked))
        for one in asked:
            one.close()
        wait_demand(house, lambda demand: demand <= AT_ONCE)  # what the process has already
        os.kill(pid, signal.SIGCONT)
        wait_demand(house, lambda demand: demand == 0)
        assert house.ask(method, path, content).status == 200
        assert house.services.readers.pids == [pid]


def wait_demand(house: House, is_so: Callable[[int], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so(house.services.readers.demand):
        assert time.monotonic() < deadline
        house.ok("GET", "/api/v1")


def test_a_process_that_nobody_asks_ends(tmp_path: Path) -> None:
    with open_house(tmp_path, readers=with_processes(tmp_path, idle_s=0.2)) as house:
        wait_end(wait_reader(house))
        assert search(house, "0") == []


def test_without_a_process_to_start_threads_answer(tmp_path: Path) -> None:
    def start(*_: object) -> Any:
        raise FileNotFoundError("no interpreter")

    with open_house(tmp_path, readers=lambda store: Readers(store, start)) as house:
        run_id = create_run(house, create(house, "digits"))
        assert search(house, "1") == [run_id]
        assert search(house, "1") == [run_id]
        assert house.services.readers.pids == []


def test_a_closed_server_leaves_no_process(tmp_path: Path) -> None:
    with open_house(tmp_path, readers=with_processes(tmp_path)) as house:
        pid = wait_reader(house)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(("cores", "processes"), [(1, 1), (4, 1), (8, 2), (64, 4)])
def test_larger_machines_get_more_processes(cores: int, processes: int) -> None:
    assert usual_number(cores) == processes
