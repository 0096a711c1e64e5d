"""One release as the gateway steers it, without requests: its limits, its messages, its state on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.rules.rollout import Counts
from penstock.serving.desired import DesiredRollout
from penstock.serving.rollout_guard import RolloutGuard
from penstock.serving.tally import Tally

OLD = Counts(1_000, 10)


class Desk:
    """A guard on a folder, opened again as a restarted gateway does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 1_000_000
        self.old = OLD
        self.changes = 0

    def open(self, number: int = 1, **fields) -> RolloutGuard:
        wanted = DesiredRollout(number, "green", {"blue": 100}, fields.pop("steps", [10, 50, 100]), **fields)
        tally = Tally(self.folder / "rollout", f"{number}")
        return RolloutGuard(
            wanted,
            tally,
            old=lambda: self.old,
            path=self.folder / "rollout.json",
            on_decision=self.changed,
            clock=lambda: self.now,
        )

    def changed(self) -> None:
        self.changes += 1


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def serve(guard, count, *, failures=0):
    for number in range(count):
        assert guard.may_send()
        guard.note(0.001, is_failure=number < failures)


def test_an_undecided_version_never_gets_more_than_the_deciding_look(desk):
    guard = desk.open()
    sent = sum(guard.may_send() for _ in range(1_000))
    assert sent == 200
    guard.take_back()  # its queue was full: it says nothing of the version
    assert [guard.may_send(), guard.may_send()] == [True, False]


def test_requests_beyond_that_go_to_the_version_before(desk):
    guard = desk.open(steps=[50, 100])
    picker = guard.picker()
    picks = [picker.pick() for _ in range(1_000)]
    assert picks.count("green") == 200
    assert set(picks[-500:]) == {"blue"}


def test_steps_and_counts_go_on_after_a_restart(desk):
    guard = desk.open(requests=50)
    serve(guard, 199)
    assert (guard.traffic, desk.changes) == ({"blue": 90, "green": 10}, 0)
    guard.tally.close()
    guard = desk.open(requests=50)
    serve(guard, 1)
    assert (guard.traffic, desk.changes) == ({"blue": 50, "green": 50}, 1)
    guard.tally.close()
    guard = desk.open(requests=50)
    assert guard.traffic == {"blue": 50, "green": 50}
    serve(guard, 100)
    assert [(one["action"], one["percent"]) for one in guard.news()["decisions"]] == [
        ("advance", 50),
        ("advance", 100),
        ("finish", 100),
    ]
    assert guard.is_over


def test_a_condemned_version_stays_condemned(desk):
    guard = desk.open()
    serve(guard, 5, failures=5)
    assert guard.traffic == {"blue": 100, "green": 0}
    guard.tally.close()
    again = desk.open()
    assert again.is_over
    assert again.traffic == {"blue": 100, "green": 0}
    again.look()
    assert len(again.news()["decisions"]) == 1
    again.tally.close()
    other = desk.open(number=2)  # a person began another release
    assert (other.is_over, other.traffic["green"], other.news()["requests"]) == (False, 10, 0)


def test_a_verdict_that_was_not_written_down_is_found_again(desk):
    guard = desk.open()
    serve(guard, 4, failures=4)
    guard.tally.note(0.001, is_failure=True)  # counted, and killed before it was looked at
    guard.tally.close()
    guard = desk.open()
    guard.look()
    assert guard.traffic["green"] == 0


def test_a_lost_state_begins_again_where_the_server_knows_it(desk):
    guard = desk.open(step=1)
    assert guard.traffic["green"] == 50


@pytest.mark.parametrize("damage", [b"", b"{", b'{"number": "x"}'])
def test_a_damaged_state_is_none(desk, damage):
    (desk.folder / "rollout.json").write_bytes(damage)
    (desk.folder / "rollout").write_bytes(b"torn")
    assert desk.open().news()["requests"] == 0


def test_it_says_why_nothing_happens(desk):
    guard = desk.open()
    assert guard.news()["message"] == ""
    desk.now += 180_000
    assert guard.news()["message"] == "stalled: no request for the new version in 3 min"
    serve(guard, 1)
    assert guard.news()["message"] == ""
    desk.old = Counts(17, 0)
    serve(guard, 199)
    assert "has answered 17 of 200" in guard.news()["message"]
    assert guard.traffic["green"] == 10
    desk.old = OLD
    guard.look()  # as the gateway does every second
    assert guard.traffic["green"] == 50
    guard.follow(DesiredRollout(1, "green", {"blue": 100}, [10, 50, 100], is_paused=True))
    assert guard.news()["message"].startswith("paused")
    serve(guard, 300)
    assert guard.traffic["green"] == 50


def test_steps_may_end_by_time(desk):
    guard = desk.open(time=60.0)
    serve(guard, 200)
    assert guard.traffic["green"] == 10
    desk.now += 60_000
    guard.look()
    assert guard.traffic["green"] == 50


def test_counts_without_a_place_live_in_memory(tmp_path):
    (tmp_path / "file").touch()
    tally = Tally(tmp_path / "file" / "counts", "x")
    tally.note(0.001, is_failure=True)
    assert (tally.requests, tally.counts().failures) == (1, 1)


def test_a_history_keeps_about_the_last_ten_thousand(tmp_path):
    tally = Tally(tmp_path / "history", "blue:1", blocks=21)
    for number in range(30_000):
        tally.note(0.001, is_failure=number < 15_000)
    counts = tally.counts()
    assert 10_000 <= counts.requests <= 10_500
    assert counts.failures == 0
    assert sum(counts.latencies) == counts.requests
    tally.close()
    assert Tally(tmp_path / "history", "blue:1", blocks=21).requests == counts.requests
    assert Tally(tmp_path / "history", "blue:2", blocks=21).requests == 0
