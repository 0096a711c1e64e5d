"""Instances that come and go with the requests, in a real gateway."""

from __future__ import annotations

import threading

import pytest

ONE = {"max_concurrent_requests_per_instance": 1, "request_timeout_ms": 60_000}
SLEEPING = """
import os, time
def init(): pass
def run(raw):
    time.sleep(float(raw or 0))
    return str(os.getpid())
"""
SLOW_START = """
import time
def init(): time.sleep(1.5)
def run(raw): return raw
"""


def scaling(**fields):
    return {"polling_interval": 0.05, "scale_down_delay": 0.3, **fields}


@pytest.fixture
def lab(bench):
    bench.gateway = bench.start_gateway()
    return bench


def ask_at_once(lab, count, body):
    """Ask in so many threads; return their answers."""
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(lab.ask(body=body))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_it_goes_to_none_and_the_first_requests_are_held_not_failed(lab, eventually):
    bounds = scaling(min_instances=0, max_instances=2)
    settings = {**ONE, "request_timeout_ms": 1_000}
    report = lab.deploy("sums", lab.script(SLOW_START, scaling=bounds, request_settings=settings))
    assert report["state"] == "ready"
    eventually(lambda: lab.replicas() == [])
    answers = ask_at_once(lab, 3, "here")  # loading takes longer than a request may
    assert [(one.status, one.data) for one in answers] == [(200, "here")] * 3
    eventually(lambda: lab.replicas() == [])
    lab.gateway.kill()
    lab.gateway.wait()
    lab.gateway = lab.start_gateway()
    assert lab.ask(body="again").data == "again"


def test_no_more_are_held_than_the_queue_takes(lab, eventually):
    bounds = scaling(min_instances=0, max_instances=1)
    lab.deploy("sums", lab.script(SLOW_START, scaling=bounds, request_settings=ONE))
    eventually(lambda: lab.replicas() == [])
    statuses = sorted(one.status for one in ask_at_once(lab, 4, "x"))
    assert statuses == [200, 200, 429, 429]


def test_what_cannot_load_any_more_fails_instead_of_being_held(lab, eventually, tmp_path):
    code = f"""
import os
def init():
    if os.path.exists({str(tmp_path / "broken")!r}): raise RuntimeError("broken by now")
def run(raw): return raw
"""
    bounds = scaling(min_instances=0, max_instances=1)
    lab.deploy("sums", lab.script(code, scaling=bounds, request_settings=ONE))
    eventually(lambda: lab.replicas() == [])
    (tmp_path / "broken").touch()
    lab.gateway.kill()
    lab.gateway.wait()
    lab.gateway = lab.start_gateway()  # a new gateway does not know that it was ready once
    assert lab.ask(body="x").status == 503
    assert lab.door.wait_report("blue", 1, count=2)["state"] == "failed"


def test_more_instances_come_before_the_queue_overflows_and_go_again(lab, eventually):
    bounds = scaling(min_instances=1, max_instances=3)
    lab.deploy("sums", lab.script(SLEEPING, scaling=bounds, request_settings=ONE))
    assert len(lab.replicas()) == 1
    answers = ask_at_once(lab, 6, "1")
    assert {one.status for one in answers} == {200}
    assert len({one.data for one in answers}) > 1
    eventually(lambda: len(lab.replicas()) == 1)
    assert lab.ask(body="0").status == 200


def test_a_new_revision_is_loaded_also_where_none_runs(lab, eventually):
    bounds = scaling(min_instances=0, max_instances=2)
    lab.deploy("sums", lab.script(SLEEPING, scaling=bounds, request_settings=ONE))
    eventually(lambda: lab.replicas() == [])
    bad = lab.deploy_quietly(lab.script("import nothing_here", revision=2, scaling=bounds, request_settings=ONE))
    assert bad["state"] == "failed"
    good = lab.deploy_quietly(lab.adding(1.0, revision=3, scaling=bounds))
    assert good["state"] == "ready"
    eventually(lambda: lab.replicas() == [])
    assert lab.ask(body={"data": [[1, 1]]}).data == {"outputs": {"y": [[2.0, 2.0]]}}
