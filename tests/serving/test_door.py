"""The gateway's way to a server whose record cannot be read for a while."""

from __future__ import annotations

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
