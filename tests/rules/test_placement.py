from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.placement import Waiting, place


def test_the_oldest_go_first():
    waiting = [Waiting("c", 3), Waiting("a", 1), Waiting("b", 2)]
    assert place(waiting, free=2, total=4) == ["a", "b"]


def test_a_small_job_does_not_overtake_a_large_one():
    assert place([Waiting("large", 1, slots=3), Waiting("small", 2)], free=2, total=4) == []


def test_a_job_that_wants_more_than_there_is_gets_everything():
    assert place([Waiting("huge", 1, slots=99)], free=4, total=4) == ["huge"]
    assert place([Waiting("huge", 1, slots=99)], free=3, total=4) == []


JOBS = st.lists(
    st.builds(Waiting, st.text(max_size=3), st.integers(0, 5), st.integers(0, 6)), unique_by=lambda j: j.name
)


@given(JOBS, st.integers(0, 6), st.integers(1, 6))
def test_never_more_than_fits_and_always_a_prefix_of_the_queue(jobs, free, total):
    free = min(free, total)
    chosen = place(jobs, free=free, total=total)
    order = [job.name for job in sorted(jobs, key=lambda job: (job.created_at, job.name))]
    assert chosen == order[: len(chosen)]
    assert sum(min(max(job.slots, 1), total) for job in jobs if job.name in chosen) <= free


@given(JOBS, st.integers(1, 6))
def test_an_idle_compute_always_starts_somebody(jobs, total):
    assert bool(place(jobs, free=total, total=total)) == bool(jobs)
