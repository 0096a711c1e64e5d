"""The gateway's way to a server whose record cannot be read for a while."""

from __future__ import annotations

import json
import threading

import pytest
from tests.serving.conftest import Bench

from penstock.entities.errors import UnavailableError
from penstock.serving.desired import Desired
from penstock.serving.door import ServerDoor


def test_a_record_that_cannot_be_read_is_asked_for_again(bench: Bench) -> None:
    record = bench.home.server_record
    aside = record.with_name("aside")
    record.rename(aside)
    record.mkdir()  # reading it is an error, for root as well
    door = ServerDoor(bench.home)
    with pytest.raises(UnavailableError):
        door.report({})
    seen: list[Desired] = []
    is_seen = threading.Event()

    def take(desired: Desired) -> None:
        seen.append(desired)
        is_seen.set()

    door.follow(0, take)
    record.rmdir()
    aside.rename(record)
    assert is_seen.wait(60)
    assert seen[0].revision == 0


def test_a_token_that_cannot_be_read_does_not_end_the_following(bench: Bench) -> None:
    token = bench.home.internal_token_file.read_bytes()
    bench.home.internal_token_file.write_bytes(b"\xff")
    is_seen = threading.Event()
    ServerDoor(bench.home).follow(0, lambda _: is_seen.set())
    bench.home.internal_token_file.write_bytes(token)
    assert is_seen.wait(60)


def test_a_report_the_server_never_takes_is_dropped_and_holds_up_no_other(bench: Bench) -> None:
    bench.door.refusals["blue"] = 422
    bench.start_gateway()
    bench.deploy("sums", bench.adding(1.0))
    bench.deploy("sums", bench.adding(2.0, name="green"))
    sent = [json.dumps(report) for report in bench.door.reports]
    assert len(sent) == len(set(sent))  # none was sent again
    assert "a report of sums/blue is dropped: the server answers 422" in bench.log()


def test_a_report_the_server_does_not_take_now_waits_behind_the_others(bench: Bench) -> None:
    bench.door.refusals["blue"] = 503
    bench.start_gateway()
    bench.deploy("sums", bench.adding(1.0))
    bench.deploy("sums", bench.adding(2.0, name="green"))
    count = len(bench.door.reports)
    bench.door.wait_report("blue", 1, count)  # it is sent again
