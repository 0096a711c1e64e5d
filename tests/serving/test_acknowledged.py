from __future__ import annotations

import threading

from penstock.serving.acknowledged import SILENCE_MS, Acknowledged


class Clock:
    now = 1_000_000

    def __call__(self) -> int:
        return self.now


def test_nobody_waits_for_a_gateway_that_was_never_heard() -> None:
    assert not Acknowledged(Clock()).wait(1, timeout_s=60)


def test_nobody_waits_for_a_gateway_that_fell_silent() -> None:
    clock = Clock()
    acknowledged = Acknowledged(clock)
    acknowledged.note(1)
    clock.now += SILENCE_MS
    assert not acknowledged.wait(2, timeout_s=60)


def test_what_is_applied_already_is_not_waited_for() -> None:
    acknowledged = Acknowledged(Clock())
    acknowledged.note(7)
    assert acknowledged.wait(7, timeout_s=60)


def test_the_wait_ends_when_the_gateway_asks_for_more() -> None:
    acknowledged = Acknowledged(Clock())
    acknowledged.note(1)
    results: list[bool] = []
    waiting = threading.Thread(target=lambda: results.append(acknowledged.wait(2, timeout_s=60)))
    waiting.start()
    acknowledged.note(2)
    waiting.join()
    assert results == [True]


def test_a_slow_gateway_is_waited_for_no_longer_than_asked() -> None:
    acknowledged = Acknowledged(Clock())
    acknowledged.note(1)
    assert not acknowledged.wait(2, timeout_s=0.01)
