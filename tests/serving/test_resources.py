"""Cores and memory of deployments, enforced by a real gateway on real replicas."""

from __future__ import annotations

import json
import os
import re

import pytest

_TELLING = """
import json, os
def init(): pass
def run(data):
    import threading
    found = []
    threads = [threading.Thread(target=lambda: found.append(sorted(os.sched_getaffinity(0)))) for _ in range(4)]
    for one in threads: one.start()
    for one in threads: one.join()
    return {"own": sorted(os.sched_getaffinity(0)), "threads": found, "omp": os.environ.get("OMP_NUM_THREADS"),
            "blas": os.environ.get("OPENBLAS_NUM_THREADS"), "gpus": os.environ.get("CUDA_VISIBLE_DEVICES")}
"""
_EATING = """
import json, time
kept = []
def init(): pass
def run(data):
    kept.append(bytearray(json.loads(data)["mib"] * 2**20))
    time.sleep(json.loads(data).get("then", 0))
    return len(kept)
"""
_EATING_AT_ONCE = """
import time
def init():
    global kept
    kept = bytearray(400 * 2**20)
    time.sleep(60)
def run(data): return 1
"""
_EATING_BY_ANOTHER = """
import subprocess, sys
def init():
    code = "import time; kept = bytearray(400 * 2**20); time.sleep(600)"
    print("another:", subprocess.Popen([sys.executable, "-c", code], start_new_session=True).pid, flush=True)
def run(data): return 1
"""
LIMIT = {"limits": {"cpu": "1", "memory": "200Mi"}}


def test_a_replica_runs_on_as_many_cores_as_it_may(bench):
    bench.start_gateway()
    resources = {"limits": {"cpu": "500m", "nvidia.com/gpu": "0"}}
    assert bench.deploy("sums", bench.script(_TELLING, resources=resources))["state"] == "ready"
    told = bench.ask(body="{}").data
    assert len(told["own"]) == 1
    assert told["threads"] == [told["own"]] * 4
    assert (told["omp"], told["blas"], told["gpus"]) == ("1", "1", "")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core alone")
def test_instances_are_spread_over_the_cores(bench):
    bench.start_gateway()
    deployment = bench.script(_TELLING, resources={"limits": {"cpu": 1}}, instance_count=2)
    assert bench.deploy("sums", deployment)["state"] == "ready"
    cores = [os.sched_getaffinity(pid) for pid in bench.replicas()]
    assert len(cores) == 2
    assert not set.intersection(*cores)


def test_own_variables_win_over_those_of_the_limit(bench):
    bench.start_gateway()
    deployment = bench.script(
        _TELLING, resources={"limits": {"cpu": 1}}, environment_variables={"OMP_NUM_THREADS": "3"}
    )
    assert bench.deploy("sums", deployment)["state"] == "ready"
    assert bench.ask(body="{}").data["omp"] == "3"


def test_a_model_without_code_runs_on_its_cores(bench):
    bench.start_gateway(spares=1)
    for revision in (1, 2):  # the second takes a process that waits
        deployment = bench.adding(float(revision), revision=revision, resources={"limits": {"cpu": "1"}})
        assert bench.deploy("sums", deployment)["state"] == "ready"
        assert bench.ask(body={"data": [[1, 2]]}).status == 200
    assert 1 in [len(os.sched_getaffinity(pid)) for pid in bench.replicas()]


def test_a_replica_that_eats_memory_is_ended_and_replaced(bench, eventually):
    bench.start_gateway()
    assert bench.deploy("sums", bench.script(_EATING, resources=LIMIT))["state"] == "ready"
    assert bench.ask(body={"mib": 20}).data == 1
    first = bench.replicas()
    answer = bench.ask(body={"mib": 400, "then": 60})
    assert answer.status in (424, 503)
    report = bench.door.wait_report("blue", 1, count=2)
    assert report["state"] == "ready"
    assert report["message"].startswith("OutOfMemory: the replica was ended; it held ")
    assert "resources.limits.memory is 200 MiB (1 so far)" in report["message"]
    assert bench.ask(body={"mib": 1}).data == 1
    assert not set(first) & set(bench.replicas())
    log = (bench.home.logs / "endpoints" / "sums" / "blue.log").read_text()
    assert "OutOfMemory: the replica was ended" in log


def test_a_script_that_needs_more_than_it_may_fails_with_the_reason(bench):
    bench.start_gateway()
    report = bench.deploy("sums", bench.script(_EATING_AT_ONCE, resources=LIMIT))
    assert report["state"] == "failed"
    assert "OutOfMemory: the replica was ended" in report["message"]


def test_what_a_replica_started_ends_with_it(bench, eventually):
    bench.start_gateway()
    bench.door.change("sums", bench.script(_EATING_BY_ANOTHER, resources=LIMIT))
    log = bench.home.logs / "endpoints" / "sums" / "blue.log"
    eventually(lambda: log.exists() and "OutOfMemory" in log.read_text())
    (pid, *_) = map(int, re.findall(r"another: (\d+)", log.read_text()))
    eventually(lambda: bench.running([pid]) == [])


def test_another_gateway_keeps_the_limits(bench):
    first = bench.start_gateway()
    assert bench.deploy("sums", bench.script(_EATING, resources=LIMIT))["state"] == "ready"
    running = bench.replicas()
    bench.kill(first.pid)
    first.wait()
    bench.start_gateway()
    assert bench.ask(body={"mib": 1}).data == 1
    assert bench.replicas() == running
    assert bench.ask(body=json.dumps({"mib": 400, "then": 60})).status in (424, 503)
