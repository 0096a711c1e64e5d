from __future__ import annotations

import pytest

from penstock.app.child import Luck

KILLED, REFUSED = -9, 4


def ends(luck: Luck, status: int, lives: list[float]) -> list[float | None]:
    return [luck.after_end(status, lived_s) for lived_s in lives]


def test_a_server_that_never_answered_is_given_up_after_five_quick_ends():
    assert ends(Luck(is_vital=True), KILLED, [1.0] * 5) == [0.2, 1.0, 3.0, 5.0, None]
    assert ends(Luck(is_vital=True), REFUSED, [1.0]) == [None]


@pytest.mark.parametrize("luck", [Luck(is_vital=False), Luck(is_vital=True, was_ready=True)])
def test_what_has_worked_or_is_not_vital_is_started_for_ever(luck):
    assert ends(luck, KILLED, [1.0] * 8) == [0.2, 1.0, 3.0, 5.0, 5.0, 5.0, 5.0, 5.0]
    assert ends(luck, REFUSED, [1.0] * 8) == [5.0] * 8


def test_a_server_that_answers_each_time_is_back_at_once_however_often_it_is_killed():
    luck = Luck(is_vital=True)
    delays = []
    for _ in range(8):
        luck.note_ready()
        delays.append(luck.after_end(KILLED, 1.0))
    assert delays == [0.2] * 8
    assert ends(luck, KILLED, [1.0]) == [5.0]  # the next one did not answer


def test_a_long_life_makes_up_for_quick_ends():
    luck = Luck(is_vital=True)
    assert ends(luck, KILLED, [1.0, 1.0, 60.0, 1.0]) == [0.2, 1.0, 0.0, 0.2]


@pytest.mark.parametrize(("status", "row"), [(KILLED, 5), (REFUSED, 1)])
def test_a_row_of_ends_is_said_once(status, row):
    luck = Luck(is_vital=False)
    said = []
    for number in range(1, 9):
        luck.after_end(status, 1.0)
        said += [number] if luck.is_news(status) else []
    assert said == [row]
