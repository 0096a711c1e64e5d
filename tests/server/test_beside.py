"""Exports are made by processes beside the server: few at once, gone with their client, never half a success."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.server.harness import House, open_house
from tests.server.test_run_search import make_experiment, make_run

from penstock.access.audit import record_event
from penstock.entities.settings import ServerSettings, Settings
from penstock.server.beside import WORKER
from penstock.server.export_order import EventsExport, Order
from penstock.stores.metadata.events import EventQuery

RUNS = 300
LONG = "x" * 100_000


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[House]:
    """A server that makes one export at a time, with more in it than sockets and pipes hold."""
    with open_house(tmp_path, settings=Settings(server=ServerSettings(max_exports=1))) as house:
        experiment_id = make_experiment(house, "large")
        for number in range(RUNS):
            make_run(house, experiment_id, f"large{number:04d}", params={"p": LONG})
        yield house


@contextmanager
def half_read(house: House) -> Iterator[http.client.HTTPResponse]:
    """Begin an export and leave it at its first bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=60)
    try:
        connection.request("GET", "/api/v1/runs:export", headers={"Authorization": f"Bearer {house.token}"})
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.read(10) == b'{"run_id":'
        yield answer
    finally:
        connection.close()


def workers() -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == os.getpid() and WORKER in (folder / "cmdline").read_text():
                    found.append(int(folder.name))
            except OSError:  # it ended meanwhile
                continue
    return found


def test_one_more_than_may_be_is_told_to_come_back(narrow: House) -> None:
    with half_read(narrow):
        refused = narrow.ask("GET", "/api/v1/events:export")
        assert (refused.status, refused.json["code"]) == (429, "busy")
        assert int(refused.headers["retry-after"]) > 0
        assert "max_exports" in refused.json["hint"]
        assert narrow.ask("GET", "/api/v1/runs?limit=1&columns=status").status == 200  # all else goes on


def test_an_export_ends_with_its_client(narrow: House) -> None:
    with half_read(narrow):
        assert len(workers()) == 1
    while narrow.ask("GET", "/api/v1/events:export").status == 429:  # until the server saw it
        pass
    while workers():
        pass


def test_an_export_that_fails_is_a_broken_transfer(narrow: House) -> None:
    with half_read(narrow) as answer:
        (worker,) = workers()
        os.kill(worker, signal.SIGKILL)
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            answer.read()
    assert narrow.ask("GET", "/api/v1/events:export").status == 200


def test_an_export_ends_with_a_client_that_hangs_up_before_the_first_byte(narrow: House) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", narrow.port)
    connection.request("GET", "/api/v1/runs:export", headers={"Authorization": f"Bearer {narrow.token}"})
    while not (found := workers()):
        pass
    os.kill(found[0], signal.SIGSTOP)
    connection.close()
    deadline = time.monotonic() + 30
    while narrow.ask("GET", "/api/v1/events:export").status == 429:
        assert time.monotonic() < deadline, "the process was not ended"
    while workers():
        pass


def test_a_worker_that_fails_says_why_and_ends_with_its_status(house: House) -> None:
    url, file = house.services.store.address
    order = msgspec.json.encode(Order(url, str(file), EventsExport(EventQuery(), 0))) + b"\n"
    with Path("/dev/full").open("wb") as full:
        worker = subprocess.Popen(
            [sys.executable, "-m", WORKER], stdin=subprocess.PIPE, stdout=full, stderr=subprocess.PIPE
        )
        assert worker.stdin is not None
        assert worker.stderr is not None
        with worker:
            worker.stdin.write(order)
            worker.stdin.flush()  # and it stays open, as the server's does
            said = worker.stderr.read().decode()
    assert (worker.returncode, "Fatal Python error" in said) == (1, False)
    assert "an export or verification failed" in said
    assert "No space left on device" in said


def test_all_of_an_export_arrives_however_slowly_it_is_taken(narrow: House) -> None:
    with half_read(narrow) as answer:
        lines = (b'{"run_id":' + answer.read()).splitlines()
    assert len(lines) == RUNS
    assert all(json.loads(line)["params.p"] == LONG for line in lines)


def test_a_process_that_does_not_start_is_a_defect_not_an_empty_file(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    answer = house.ask("GET", "/api/v1/runs:export")
    assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")


def test_a_long_log_is_verified_beside_the_server(house: House) -> None:
    def record(connection: Any) -> None:
        for number in range(1500):
            record_event(connection, "ann", "create", f"job:{number}", now=number, detail={})

    house.services.store.write(record)
    page = house.ok("GET", "/api/v1/events:verify?limit=1200")
    assert (page["checked"], page["findings"]) == (1200, [])
    rest = house.ok("GET", f"/api/v1/events:verify?after={page['next']}")
    assert page["checked"] + rest["checked"] == page["total"]
    assert "next" not in rest
    lines = house.ask("GET", "/api/v1/events:export?ref=job:*").body.splitlines()
    assert [json.loads(line)["ref"] for line in lines] == [f"job:{number}" for number in range(1500)]
    house.services.store.write(partial(_forge))
    assert house.ok("GET", "/api/v1/events:verify?limit=1400")["findings"][0]["damage"] == "changed"


def _forge(connection: Any) -> None:
    connection.exec_driver_sql("UPDATE events SET actor = 'bob' WHERE ref = 'job:700'")
