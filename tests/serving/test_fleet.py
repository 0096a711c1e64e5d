"""Processes of replicas that are stopped before they have one, and the look at their memory."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from penstock.agent.processes import descendants, parents
from penstock.home import Home
from penstock.serving.desired import DesiredDeployment
from penstock.serving.fleet import Fleet
from penstock.serving.materials import Materials
from penstock.serving.memory_watch import watch_memory

KEY = ("sums", "blue")


@pytest.fixture
def home(tmp_path):
    found = Home(tmp_path / "lab")
    for folder in (found.run, found.blobs, found.logs):
        folder.mkdir(parents=True)
    return found


async def stop_early(home, act):
    """Let ``act`` start and stop replicas of a fleet; return the processes that outlived that."""
    read_end, write_end = os.pipe()
    before = descendants({os.getpid()}, parents())
    fleet = Fleet(
        home,
        Materials(home.run / "serving", home.blobs),
        parent_fd=read_end,
        spares=1,
        on_change=lambda: None,
        on_free=lambda replica, link: None,
        on_link_lost=lambda replica, link: None,
        on_end=lambda replica, end: None,
    )
    try:
        await act(fleet)
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        return descendants({os.getpid()}, parents()) - before
    finally:
        os.close(write_end)
        os.close(read_end)


def test_a_replica_that_is_stopped_while_its_process_starts_leaves_none(home):
    async def act(fleet):
        fleet.keep_spares()
        await asyncio.sleep(0)  # a thread starts the process now, and only the loop can take it over
        fleet.end_spares()

    assert asyncio.run(stop_early(home, act)) == set()
    assert list(home.sockets.glob("replica-*.sock")) == []


def test_a_replica_that_is_stopped_while_its_files_are_copied_starts_no_process(home):
    script = DesiredDeployment("blue", 1, code=[], scoring_script="score.py", interpreter=sys.executable)

    async def act(fleet):
        fleet.start(KEY, script, 1)
        (replica,) = fleet.seen()
        await asyncio.sleep(0)
        fleet.stop(replica.replica_id)

    assert asyncio.run(stop_early(home, act)) == set()
    assert list(home.sockets.glob("replica-*.sock")) == []


def test_the_look_at_memory_goes_on_after_a_failure(home, caplog):
    async def act(fleet):
        again = asyncio.Event()
        looks: list[int] = []

        def deployments():
            looks.append(len(looks))
            if len(looks) == 1:
                raise OSError("no luck")
            again.set()
            return {}

        watch = asyncio.create_task(watch_memory(fleet, deployments, asyncio.Event()))
        await asyncio.wait([watch, seen := asyncio.create_task(again.wait())], return_when=asyncio.FIRST_COMPLETED)
        assert not watch.done()
        assert seen.done()
        watch.cancel()

    asyncio.run(stop_early(home, act))
    assert "a look at the replicas' memory failed" in caplog.text
