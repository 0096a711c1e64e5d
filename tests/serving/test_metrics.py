"""``/metrics`` and the access log of a real gateway, and the page's text held against a strict reader of the format."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from penstock.entities.settings import GatewaySettings
from penstock.home import Home, write_private
from penstock.serving.access_log import AccessLog
from penstock.serving.codes import UnauthenticatedError
from penstock.serving.metrics import Gauges, Metrics
from penstock.serving.watch import Watch

TOKEN = "token-of-the-workspace"
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')


def read_page(content: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Read Prometheus' text format 0.0.4 strictly: families described once, in one piece, histograms whole."""
    assert content.endswith(b"\n")
    types: dict[str, str] = {}
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    family = ""
    for line in content.decode("utf-8").splitlines():
        if line.startswith("# HELP "):
            assert line.split(" ")[2] not in types
        elif line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert kind in {"counter", "gauge", "histogram"}
            assert family not in types
            types[family] = kind
        else:
            match = _SAMPLE.fullmatch(line)
            assert match is not None, line
            name, inside, value = match.groups()
            ends = ("_bucket", "_sum", "_count") if types[family] == "histogram" else ("",)
            assert name in {family + end for end in ends}, line
            labels = frozenset(_LABEL.findall(inside or ""))
            assert len(inside or "") == sum(len(n) + len(v) + 3 for n, v in labels) + max(0, len(labels) - 1), line
            assert (name, labels) not in found
            found[name, labels] = float(value)
    for (name, labels), count in found.items():
        if name.endswith("_count") and types.get(name.removesuffix("_count")) == "histogram":
            buckets = {
                float(dict(inner)["le"]): n
                for (other, inner), n in found.items()
                if other == name.removesuffix("_count") + "_bucket" and inner - {("le", dict(inner)["le"])} == labels
            }
            assert buckets[float("inf")] == count
            assert [buckets[bound] for bound in sorted(buckets)] == sorted(buckets.values())
    return found


def labels(**named: str) -> frozenset[tuple[str, str]]:
    return frozenset(named.items())


@pytest.fixture
def watched(bench):
    write_private(bench.home.token_file, TOKEN)
    bench.start_gateway()
    assert bench.deploy("sums", bench.adding(1.0))["state"] == "ready"
    return bench


def scrape(bench, key=TOKEN):
    return bench.ask("/metrics", method="GET", key=key)


def test_the_page_counts_requests_by_deployment_and_status(watched):
    for _ in range(3):
        assert watched.ask(body={"data": [[1, 2]]}).status == 200
    assert watched.ask(body="{").status == 400
    assert watched.ask(body={"data": [[1, 2]]}, key="wrong").status == 401
    assert watched.ask("/endpoints/absent-from-here/score", body="{}").status == 404
    answer = scrape(watched)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    page = read_page(answer.body)
    blue = {"endpoint": "sums", "deployment": "blue"}
    assert page["penstock_requests_total", labels(**blue, code="2xx")] == 3
    assert page["penstock_requests_total", labels(endpoint="sums", deployment="", code="4xx")] >= 1
    assert page["penstock_requests_total", labels(endpoint="", deployment="", code="4xx")] == 1
    assert b"absent-from-here" not in answer.body
    assert page["penstock_request_duration_seconds_count", labels(**blue)] >= 3
    assert page["penstock_replicas", labels(**blue, state="ready")] >= 1
    assert page["penstock_queue_length", labels(**blue)] == 0
    assert page["penstock_traffic_percent", labels(**blue)] == 100
    assert page["process_resident_memory_bytes", labels()] > 0


def test_the_page_wants_a_token_or_the_scrape_key(watched):
    for key in (None, "wrong", ""):
        answer = scrape(watched, key=key)
        assert answer.status == 401
        assert b"penstock_requests" not in answer.body
    assert watched.ask("/metrics", method="POST", body="{}", key=TOKEN).status == 405


def test_a_killed_replica_is_counted(watched, eventually):
    code = "def init(): pass\ndef run(data): return 1"
    assert watched.deploy("sums", watched.script(code, name="green"))["state"] == "ready"
    before = watched.replicas()
    for pid in before:
        watched.kill(pid)
    place = ("penstock_replicas_ended_total", labels(endpoint="sums", deployment="green", why="lost"))
    eventually(lambda: read_page(scrape(watched).body).get(place) == 1)


def test_each_request_has_a_line_in_the_access_log(watched, eventually):
    body = json.dumps({"data": [[1, 2]]})
    assert watched.ask(body=body, x_request_id="mine").status == 200
    assert watched.ask(body=body, key="wrong", x_request_id="theirs").status == 401
    file = watched.home.logs / "access.log"
    eventually(lambda: file.exists() and file.read_text().count("\n") >= 2)
    lines = {line["request_id"]: line for line in map(json.loads, file.read_text().splitlines())}
    mine = lines["mine"]
    assert (mine["endpoint"], mine["deployment"], mine["status"]) == ("sums", "blue", 200)
    assert (mine["path"], mine["method"], mine["client"]) == ("/endpoints/sums/score", "POST", "127.0.0.1")
    assert mine["bytes_in"] == len(body)
    assert mine["bytes_out"] > 0
    assert mine["ms"] >= 0
    assert mine["time"].endswith("Z")
    assert lines["theirs"]["status"] == 401
    assert "key-of-the-tests" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_waits_is_written_when_the_gateway_ends(watched):
    assert watched.ask(body={"data": [[1, 2]]}, x_request_id="last").status == 200
    watched.gateways[0].terminate()
    watched.gateways[0].wait(60)
    assert '"last"' in (watched.home.logs / "access.log").read_text()


def test_the_access_log_begins_anew_when_it_is_full(tmp_path):
    async def fill() -> None:
        for number in range(4):
            log = AccessLog(tmp_path / "access.log", max_bytes=10, files=3)
            log.add(b"%d" % number, "e", "d", "POST", "/p", 200, 0.001, 1, 2, "c")
            log.close()

    asyncio.run(fill())
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert sorted(texts) == ["access.log", "access.log.1", "access.log.2"]
    assert [json.loads(texts[name])["request_id"] for name in sorted(texts)] == ["3", "2", "1"]


def test_of_a_long_path_the_access_log_keeps_no_more_than_it_writes(tmp_path):
    async def fill() -> None:
        log = AccessLog(tmp_path / "access.log", max_bytes=1 << 20, files=1)
        for number in range(3):
            log.add(b"1", "e", "d", "POST", "/" + "x" * 60_000 + str(number), 404, 0.001, 1, 2, "c")
        assert [len(path) for _, _, _, path, _ in log._places] == [200]
        log.close()

    asyncio.run(fill())
    assert {len(json.loads(line)["path"]) for line in (tmp_path / "access.log").read_text().splitlines()} == {200}


def test_names_are_escaped_and_what_is_gone_is_forgotten():
    metrics = Metrics()
    metrics.note('a"\\\n', "blue", 200, 0.003)
    metrics.note("gone", "blue", 200, 0.003)
    metrics.keep([('a"\\\n', "blue")])
    gauges = Gauges('a"\\\n', "blue", 1, 2, 3, {"ready": 1}, {1: 4, 3: 2, 500: 1})
    page = read_page(metrics.render([gauges]))
    escaped = labels(endpoint='a\\"\\\\\\n', deployment="blue")
    assert page["penstock_batch_size_sum", escaped] == 4 + 6 + 500
    assert page["penstock_batch_size_bucket", escaped | {("le", "4.0")}] == 6
    assert not any(("endpoint", "gone") in found for _, found in page)


def test_the_scrape_key_of_the_settings_is_taken(tmp_path):
    watch = Watch(Home(tmp_path), GatewaySettings(metrics_key="scrape-key", access_log=False))
    assert b"penstock_requests_total" in asyncio.run(watch.show(b"Bearer scrape-key", list))
    for wrong in (b"Bearer scrape-kez", b"Basic scrape-key", None):
        with pytest.raises(UnauthenticatedError):
            asyncio.run(watch.show(wrong, list))
