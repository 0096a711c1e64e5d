"""``kill -9`` of replicas and of the gateway under load: no wrong answer, nothing hangs, few errors."""

from __future__ import annotations

import pytest
from benchmarks.chaos_serving import problems, run

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def test_kills_lose_what_was_in_hand_and_nothing_else():
    rounds = run(2)
    assert len(rounds) == 12
    assert list(problems(rounds)) == []
