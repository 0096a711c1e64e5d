"""Releases and mirrors in a real gateway: what they decide, what it costs nobody, what survives a kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter

import pytest

from penstock.rules.traffic import SECOND_STEP, LowDiscrepancyPicker
from penstock.serving.backend import Backend
from penstock.serving.codes import NotReadyError
from penstock.serving.desired import DesiredDeployment, DesiredEndpoint, DesiredRollout
from penstock.serving.steering import Steering

BODY = {"data": [[0, 0]]}
SETTINGS = {"max_concurrent_requests_per_instance": 8}
GOOD = "def init(): pass\ndef run(raw): return 'good'"
BAD = "def init(): pass\ndef run(raw): raise ValueError('bad')"
SLOW = "import time\ndef init(): pass\ndef run(raw):\n    time.sleep(0.05)\n    return 'slow'"
COUNTING = """
import os, itertools
count = itertools.count(1)
def init(): pass
def run(raw):
    number = next(count)
    with open({path!r}, "a") as file:
        file.write("x")
    if number % {every} == 0:
        raise ValueError("every now and then")
    return "green"
"""
"""Fails every so many requests, and writes down that it had one."""


@pytest.fixture
def lab(bench):
    bench.gateway = bench.start_gateway()
    bench.deploy("sums", bench.adding(1.0, request_settings=SETTINGS))
    return bench


def rollout(number=1, **fields):
    return {"number": number, "to": "green", "base": {"blue": 100}, "steps": [10, 50, 100], **fields}


def ask_many(bench, count, **headers):
    """Ask one after the other; return how often which deployment answered with which status."""
    seen: Counter[tuple[str, int]] = Counter()
    with contextlib.closing(bench.connect()) as connection:
        for _ in range(count):
            answer = bench.ask(body=BODY, connection=connection, **headers)
            seen[answer.headers["azureml-model-deployment"], answer.status] += 1
    return seen


def has(action):
    return lambda news: any(one["action"] == action for one in news.get("rollout", {}).get("decisions", ()))


def test_a_version_that_always_fails_is_at_zero_after_a_handful(lab):
    lab.deploy_quietly(lab.script(BAD, name="green", request_settings=SETTINGS))
    ask_many(lab, 300)
    lab.door.change("sums", rollout=rollout())
    lab.deploy_quietly(lab.script(BAD, name="red", request_settings=SETTINGS))
    seen = ask_many(lab, 400)
    assert 0 < seen["green", 424] <= 10
    assert seen["blue", 200] == 400 - seen["green", 424]
    news = lab.door.wait_news(has("roll-back"))["rollout"]
    (decision,) = news["decisions"]
    assert decision["percent"] == 0
    assert decision["requests"] == decision["failures"] == seen["green", 424]
    assert decision["old_requests"] >= 300
    assert decision["p_value"] < 1e-5
    assert "requests failed" in news["message"]


def test_a_good_version_gets_all_step_by_step(lab):
    lab.deploy_quietly(lab.adding(2.0, name="green", request_settings=SETTINGS))
    ask_many(lab, 200)
    lab.door.change("sums", rollout=rollout(requests=20))
    lab.deploy_quietly(lab.adding(1.0, name="red", request_settings=SETTINGS))
    first = ask_many(lab, 2000)
    assert first["green", 200] == pytest.approx(200, abs=12)
    lab.door.wait_news(has("advance"))
    seen: Counter[tuple[str, int]] = Counter()
    while not any(has("finish")(news) for news in lab.door.news):
        seen += ask_many(lab, 50)
    assert {status for _, status in seen} == {200}
    decisions = lab.door.wait_news(has("finish"))["rollout"]["decisions"]
    assert [(one["action"], one["percent"]) for one in decisions] == [
        ("advance", 50),
        ("advance", 100),
        ("finish", 100),
    ]
    assert [one["requests"] for one in decisions] == [200, 220, 240]
    assert ask_many(lab, 50) == {("green", 200): 50}


def test_a_version_that_is_much_slower_goes_back(lab):
    lab.deploy_quietly(lab.script(SLOW, name="green", request_settings=SETTINGS))
    ask_many(lab, 200)
    lab.door.change("sums", rollout=rollout(steps=[50, 100]))
    lab.deploy_quietly(lab.adding(1.0, name="red", request_settings=SETTINGS))
    seen = ask_many(lab, 400)
    assert seen["green", 200] <= 200
    news = lab.door.wait_news(has("roll-back"))["rollout"]
    assert "answers took more than" in news["message"]


def test_requests_with_the_header_are_not_counted(lab):
    lab.deploy_quietly(lab.script(BAD, name="green", request_settings=SETTINGS))
    lab.door.change("sums", rollout=rollout())
    lab.deploy_quietly(lab.adding(1.0, name="red", request_settings=SETTINGS))
    assert ask_many(lab, 50, azureml_model_deployment="green") == {("green", 424): 50}
    news = lab.door.wait_news(lambda news: "rollout" in news)["rollout"]
    assert (news["requests"], news["decisions"]) == (0, [])


def test_counts_and_verdicts_survive_the_kill_of_the_gateway(lab, tmp_path):
    path = tmp_path / "asked"
    code = COUNTING.format(path=str(path), every=4)
    lab.deploy_quietly(lab.script(code, name="green", request_settings={"max_concurrent_requests_per_instance": 1}))
    ask_many(lab, 1000)
    lab.door.change("sums", rollout=rollout(steps=[50, 100]))
    lab.deploy_quietly(lab.adding(1.0, name="red", request_settings=SETTINGS))
    seen: Counter[tuple[str, int]] = Counter()
    for _ in range(40):
        seen += ask_many(lab, 10)
        lab.gateway.kill()
        lab.gateway.wait()
        lab.gateway = lab.start_gateway()
        if seen["green", 424] and not any(has("roll-back")(news) for news in lab.door.news):
            continue
        if any(has("roll-back")(news) for news in lab.door.news):
            break
    asked = len(path.read_text())
    assert asked == seen["green", 200] + seen["green", 424] <= 200
    decision = lab.door.wait_news(has("roll-back"))["rollout"]["decisions"][0]
    assert decision["requests"] == asked
    assert decision["old_requests"] >= 1000
    lab.gateway.kill()
    lab.gateway.wait()
    lab.door.news.clear()
    lab.gateway = lab.start_gateway()  # the server never said that it took the verdict
    assert ask_many(lab, 100) == {("blue", 200): 100}
    assert lab.door.wait_news(has("roll-back"))["rollout"]["decisions"] == [decision]


def test_a_gateway_alone_decides_and_tells_when_the_server_is_back(lab):
    lab.deploy_quietly(lab.script(BAD, name="green", request_settings=SETTINGS))
    ask_many(lab, 300)
    lab.door.change("sums", rollout=rollout())
    lab.deploy_quietly(lab.adding(1.0, name="red", request_settings=SETTINGS))
    record = lab.home.server_record.read_bytes()
    lab.home.server_record.unlink()
    seen = ask_many(lab, 200)
    assert seen["green", 424] <= 10
    assert ask_many(lab, 50) == {("blue", 200): 50}
    lab.home.server_record.write_bytes(record)
    lab.door.wait_news(has("roll-back"))


def test_an_aborted_release_leaves_the_split_of_the_server(lab):
    lab.deploy_quietly(lab.adding(2.0, name="green", request_settings=SETTINGS))
    lab.door.change("sums", rollout=rollout())
    lab.deploy_quietly(lab.adding(1.0, name="red", request_settings=SETTINGS))
    assert ask_many(lab, 100)["green", 200] == pytest.approx(10, abs=4)
    lab.door.change("sums", rollout=None)
    lab.deploy_quietly(lab.adding(1.0, name="red", revision=2, request_settings=SETTINGS))
    assert ask_many(lab, 100) == {("blue", 200): 100}
    assert not list((lab.home.run / "traffic").glob("sums.rollout*"))


def test_copies_are_made_of_their_share_counted_and_discarded(lab, tmp_path):
    path = tmp_path / "asked"
    code = COUNTING.format(path=str(path), every=2)
    lab.deploy_quietly(lab.script(code, name="green", request_settings={"max_concurrent_requests_per_instance": 1}))
    lab.door.change("sums", mirror={"green": 20})
    lab.deploy_quietly(lab.adding(1.0, name="red", request_settings=SETTINGS))
    assert ask_many(lab, 500) == {("blue", 200): 500}
    assert ask_many(lab, 50, azureml_model_deployment="blue") == {("blue", 200): 50}
    picker = LowDiscrepancyPicker({"yes": 20, "no": 80}, step=SECOND_STEP)
    chosen = sum(picker.pick() == "yes" for _ in range(500))
    assert chosen == pytest.approx(100, abs=6)

    def is_all(one):
        return "mirrored" in one and one["mirrored"]["copies"] + one["mirrored"]["dropped"] == chosen

    news = lab.door.wait_news(is_all)["mirrored"]
    assert news["to"] == "green"
    assert len(path.read_text()) == news["copies"]
    assert news["failures"] == news["copies"] // 2
    assert news["p50_ms"] > 0


def test_what_a_mirror_does_not_speak_is_not_copied_to_it(lab):
    lab.deploy_quietly(lab.script(GOOD, name="green", request_settings=SETTINGS))
    lab.door.change("sums", mirror={"green": 50})
    lab.deploy_quietly(lab.adding(1.0, name="red", request_settings=SETTINGS))
    with contextlib.closing(lab.connect()) as connection:
        for _ in range(40):
            answer = lab.ask("/endpoints/sums/invocations", {"inputs": [[0, 0]]}, connection=connection)
            assert answer.data == {"predictions": {"y": [[1.0, 1.0]]}}
    ask_many(lab, 40)
    picker = LowDiscrepancyPicker({"yes": 50, "no": 50}, step=SECOND_STEP)
    chosen = sum(picker.pick() == "yes" for _ in range(40))
    news = lab.door.wait_news(lambda one: one.get("mirrored", {}).get("copies", 0) >= chosen)["mirrored"]
    assert (news["copies"], news["failures"]) == (chosen, 0)


def test_a_mirror_that_hangs_slows_nobody(lab):
    hanging = "import time\ndef init(): pass\ndef run(raw): time.sleep(600)"
    settings = {"max_concurrent_requests_per_instance": 1, "request_timeout_ms": 60_000}
    lab.deploy_quietly(lab.script(hanging, name="green", request_settings=settings))
    lab.door.change("sums", mirror={"green": 50})
    lab.deploy_quietly(lab.adding(1.0, name="red", request_settings=SETTINGS))
    with contextlib.closing(lab.connect()) as connection:
        for _ in range(200):
            answer = lab.ask(body=BODY, connection=connection)
            assert json.loads(answer.body)["outputs"]["y"] == [[1.0, 1.0]]
    news = lab.door.wait_news(lambda one: one.get("mirrored", {}).get("dropped", 0) >= 90)["mirrored"]
    assert news["copies"] == 0


def test_a_gateway_that_has_just_begun_condemns_nobody(tmp_path):
    backend = Backend("sums/green", on_hung=lambda link: None)
    backend.configure(is_script=False, timeout_s=5.0, max_concurrent=8, instances=1)
    endpoint = DesiredEndpoint(
        "sums",
        traffic={"blue": 100},
        rollout=DesiredRollout(1, "green", {"blue": 100}, [50, 100]),
        deployments=[DesiredDeployment("blue", 1), DesiredDeployment("green", 1)],
    )

    async def refused(steering):
        while steering.pick() != "green":
            steering.begin("blue")
        with pytest.raises(NotReadyError):
            await steering.score("green", steering.begin("green"), backend, b"", b"{}")

    async def run():
        steering = Steering("sums", tmp_path, lambda: None)
        steering.follow(endpoint, {("sums", "green"): backend})
        for _ in range(20):
            await refused(steering)
        guard = steering.guard
        assert guard is not None
        assert (guard.tally.requests, steering.traffic["green"]) == (0, 50)
        backend.was_ready = True  # and is away now, as one that ends again and again
        await refused(steering)
        assert guard.tally.requests == 1
        steering.close(is_forgotten=True)

    asyncio.run(run())
