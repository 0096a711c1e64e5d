"""What the gateway does again and again goes on after a failure; and how many requests an instance takes at once."""

from __future__ import annotations

import asyncio
import os

import pytest

from penstock.serving.autoscaler import Autoscaler, scale_limits
from penstock.serving.backend import Backend
from penstock.serving.desired import DesiredDeployment, Limits, Scaling
from penstock.serving.rounds import go_round

SCALING = Scaling(max_instances=4, polling_interval=0.01, scale_down_delay=0.0)


def test_a_round_that_fails_is_logged_and_the_next_one_begins(caplog):
    async def go():
        again = asyncio.Event()
        rounds: list[int] = []

        async def one_round():
            rounds.append(len(rounds))
            if len(rounds) == 1:
                raise OSError("no luck")
            again.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(go_round(one_round, "a look"))
        await again.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return rounds

    assert asyncio.run(go()) == [0, 1]
    assert "a look failed" in caplog.text
    assert "no luck" in caplog.text


def test_scaling_goes_on_after_a_failure(caplog):
    keys = [("sums", "blue"), ("sums", "green")]

    async def go():
        again = asyncio.Event()
        calls: list[int] = []

        def on_change():
            calls.append(len(calls))
            if len(calls) == 1:
                raise OSError("no luck")
            again.set()

        scaler = Autoscaler(on_change)
        deployments = {key: DesiredDeployment(key[1], 1, scaling=SCALING) for key in keys}
        scaler.follow(deployments, {key: Backend("/".join(key), print) for key in keys}, lambda key: 4)
        tasks = [asyncio.create_task(scaler.run()), asyncio.create_task(again.wait())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert not tasks[0].done()
        tasks[0].cancel()
        return [scaler.instances(key, deployments[key]) for key in keys]

    assert asyncio.run(go()) == [1, 1]
    assert "a look at what is scaled failed" in caplog.text


@pytest.mark.parametrize(
    ("fields", "slots"),
    [
        ({}, os.cpu_count()),
        ({"resources": {"limits": {"cpu": "1"}}}, 1),
        ({"resources": {"limits": {"cpu": "4096"}}}, len(os.sched_getaffinity(0))),
        ({"runtime": "mlflow"}, 5000),
        ({"scoring_script": "score.py", "resources": {"limits": {"cpu": "1"}}}, 5000),
    ],
)
def test_an_instance_takes_as_many_requests_as_its_replica_has_workers(fields, slots):
    settings = Limits(max_concurrent_requests_per_instance=5000)
    assert scale_limits(DesiredDeployment("blue", 1, request_settings=settings, **fields), SCALING).slots == slots
