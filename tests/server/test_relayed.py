"""The door for calls that a relay spooled: each once, in order, refused ones told, and nothing for strangers."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import pytest
from tests.server.harness import House

API = "/api/2.0/mlflow"


class Spooler:
    """An attempt's agent, as the server sees it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.job = house.submit().name
        attempt, self.token = house.begin(house.services.jobs.get(self.job))
        self.url = f"/internal/attempts/{attempt.attempt_id}"
        self.root = house.ok("GET", f"{API}/runs/get?run_id={self.job}")["run"]["info"]["artifact_uri"].partition(":/")[
            2
        ]

    def send(self, *calls: dict[str, Any]) -> Any:
        return self.house.ok("POST", f"{self.url}/relay", {"calls": list(calls)}, token=self.token)

    def call(self, seq: int, what: str, **message: Any) -> dict[str, Any]:
        return {"seq": seq, "path": f"{API}/runs/{what}", "body": json.dumps({"run_id": self.job, **message})}

    def point(self, seq: int, **changes: Any) -> dict[str, Any]:
        return self.call(seq, "log-metric", **{"key": "loss", "value": 1, "timestamp": seq, "step": seq, **changes})

    def file(self, seq: int, path: str, content: bytes) -> dict[str, Any]:
        place = f"{API}-artifacts/artifacts/{self.root}/{path}"
        return {"seq": seq, "path": place, "digest": hashlib.sha256(content).hexdigest(), "size": len(content)}

    @property
    def data(self) -> Any:
        return self.house.ok("GET", f"{API}/runs/get?run_id={self.job}")["run"]["data"]

    def steps(self) -> list[int]:
        path = f"{API}/metrics/get-history?run_id={self.job}&metric_key=loss"
        return [point["step"] for point in self.house.ok("GET", path).get("metrics", [])]


@pytest.fixture
def spooler(house: House) -> Spooler:
    return Spooler(house)


def test_calls_are_applied_in_order_and_what_comes_again_is_passed_over(spooler: Spooler) -> None:
    tags = [spooler.call(seq, "set-tag", key="t", value=str(seq)) for seq in (1, 2)]
    assert spooler.send(*tags) == {"relay_seq": 2, "refused": [], "missing": []}
    assert {tag["key"]: tag["value"] for tag in spooler.data["tags"]}["t"] == "2"
    again = spooler.call(1, "set-tag", key="t", value="1")
    assert spooler.send(again, spooler.point(7))["relay_seq"] == 7
    assert {tag["key"]: tag["value"] for tag in spooler.data["tags"]}["t"] == "2"
    assert spooler.send(again, spooler.point(7)) == {"relay_seq": 7, "refused": [], "missing": []}
    assert spooler.steps() == [7]
    assert spooler.send()["relay_seq"] == 7


def test_points_are_the_attempts_own(spooler: Spooler) -> None:
    spooler.send(spooler.point(1), spooler.call(2, "log-batch", metrics=[{"key": "b", "value": 2, "timestamp": 1}]))
    with spooler.house.services.store.read() as connection:
        rows = connection.exec_driver_sql("SELECT DISTINCT attempt FROM points").all()
    assert (1,) in [tuple(row) for row in rows]
    assert {metric["key"] for metric in spooler.data["metrics"]} == {"loss", "b"}


def test_a_refused_call_is_told_and_leaves_nothing(spooler: Spooler) -> None:
    refusals = [
        spooler.call(
            2, "log-batch", metrics=[{"key": "half", "value": 1, "timestamp": 1}], params=[{"key": "", "value": "x"}]
        ),
        spooler.point(3, key="a/../b"),
        spooler.point(4, run_id="unknown"),
        {"seq": 5, "path": f"{API}/runs/delete", "body": json.dumps({"run_id": spooler.job})},
        {"seq": 6, "path": f"{API}/runs/create", "body": "{}", "run_id": "chosen"},
        {"seq": 7, "path": f"{API}/runs/log-metric", "body": "no json"},
    ]
    answer = spooler.send(spooler.point(1), *refusals, spooler.point(8))
    assert [refused["seq"] for refused in answer["refused"]] == [2, 3, 4, 5, 6, 7]
    assert all(refused["error"] for refused in answer["refused"])
    assert answer["relay_seq"] == 8
    assert spooler.steps() == [1, 8]
    assert [metric["key"] for metric in spooler.data["metrics"]] == ["loss"]


def test_a_run_gets_the_id_that_was_promised_once(spooler: Spooler) -> None:
    experiment = spooler.house.ok("GET", f"{API}/runs/get?run_id={spooler.job}")["run"]["info"]["experiment_id"]
    body = json.dumps({"experiment_id": experiment, "run_name": "inner", "start_time": 5})
    call = {"seq": 1, "path": f"{API}/runs/create", "body": body, "run_id": "ab" * 16}
    assert spooler.send(call, spooler.point(2, run_id="ab" * 16))["refused"] == []
    run = spooler.house.ok("GET", f"{API}/runs/get?run_id={'ab' * 16}")["run"]
    assert (run["info"]["run_name"], run["data"]["metrics"][0]["step"]) == ("inner", 2)
    # The same job's again is the same run; its first coming may have been answered by nobody.
    assert spooler.send({**call, "seq": 3})["refused"] == []
    assert spooler.house.ok("GET", f"{API}/runs/get?run_id={'ab' * 16}")["run"] == run
    other = Spooler(spooler.house)
    taken = other.send({**call, "seq": 1}, {**call, "seq": 2, "run_id": spooler.job})["refused"]
    assert [refused["seq"] for refused in taken] == [1, 2]


def test_a_run_asked_for_twice_under_the_same_id_is_one(spooler: Spooler) -> None:
    experiment = spooler.house.ok("GET", f"{API}/runs/get?run_id={spooler.job}")["run"]["info"]["experiment_id"]
    message, chosen = {"experiment_id": experiment, "run_name": "inner"}, os.urandom(16).hex()

    def create(run_id: str, token: str) -> Any:
        headers = {"X-Penstock-Run-Id": run_id}
        return spooler.house.ask("POST", f"{API}/runs/create", message, token=token, headers=headers)

    first = create(chosen, spooler.token)
    assert first.json["run"]["info"]["run_id"] == chosen
    assert create(chosen, spooler.token).json == first.json
    again = {"seq": 1, "path": f"{API}/runs/create", "body": json.dumps(message), "run_id": chosen}
    assert spooler.send(again)["refused"] == []
    names = {"experiment_ids": [experiment], "filter": "attributes.run_name = 'inner'"}
    found = spooler.house.ok("POST", f"{API}/runs/search", names)["runs"]
    assert [run["info"]["run_id"] for run in found].count(chosen) == 1
    assert create(chosen, Spooler(spooler.house).token).status in {400, 403}
    assert create("nonsense", spooler.token).status == 400
    # Who is no job has no relay, and its runs have the server's ids.
    assert create(os.urandom(16).hex(), spooler.house.token).json["run"]["info"]["run_id"] != chosen
    assert create("nonsense", spooler.house.token).status == 200


def test_a_file_waits_for_its_content(spooler: Spooler) -> None:
    content = b"late" + spooler.job.encode()
    item = spooler.file(1, "folder/a.txt", content)
    assert spooler.send(item, spooler.point(2)) == {"relay_seq": 0, "refused": [], "missing": [item["digest"]]}
    assert spooler.steps() == []
    spooler.house.ok("PUT", f"/api/v1/blobs/{item['digest']}", body=content, token=spooler.token)
    outside = {**spooler.file(3, "x", content), "path": f"{API}/runs/log-metric"}
    escaping = spooler.file(4, "../../a", content)
    answer = spooler.send(item, spooler.point(2), outside, escaping)
    assert [refused["seq"] for refused in answer["refused"]] == [3, 4]
    assert spooler.house.ask("GET", item["path"]).body == content


def test_content_of_others_is_missing_and_sizes_are_the_contents_own(spooler: Spooler) -> None:
    content = b"a secret of somebody else " + spooler.job.encode()
    foreign, size = spooler.house.services.blobs.put(content)
    item = {**spooler.file(1, "st.txt", content), "size": 7}
    entry = {"path": "st.txt", "digest": foreign, "size": size}
    tree = {"entries": [entry]}

    def ask(path: str, message: Any) -> Any:
        return spooler.house.ask("POST", path, message, token=spooler.token)

    assert spooler.send(item)["missing"] == [foreign]
    assert ask(f"{spooler.url}/artifacts", {"artifacts": [entry]}).json == {"missing": [foreign]}
    assert ask(f"{spooler.url}/finish", {"reason": "exited", "artifacts": [entry]}).json["missing"] == [foreign]
    assert ask("/api/v1/trees", tree).json["missing"] == [foreign]
    assert ask("/api/v1/blobs:missing", {"digests": [foreign]}).json == {"missing": [foreign]}
    assert ask("/api/v1/blobs:missing", {"digests": ["x"]}).status == 400
    assert spooler.house.ask("GET", item["path"]).status == 404
    for nonsense in (10**30, -1, True, "7", None):
        assert ask(f"{spooler.url}/relay", {"calls": [{**item, "size": nonsense}]}).status == 400
        wrong = {"artifacts": [{**entry, "size": nonsense}]}
        assert ask(f"{spooler.url}/artifacts", wrong).status == 400
        assert ask(f"{spooler.url}/finish", {"reason": "exited", **wrong}).status == 400
    spooler.house.ok("PUT", f"/api/v1/blobs/{foreign}", body=content, token=spooler.token)
    assert spooler.send(item) == {"relay_seq": 1, "refused": [], "missing": []}
    assert spooler.house.ask("GET", item["path"]).body == content
    assert ask("/api/v1/trees", tree).status == 201


def test_a_resumed_upload_is_content_of_ones_own(spooler: Spooler) -> None:
    content = b"in pieces" + spooler.job.encode()
    item = spooler.file(1, "pieces.txt", content)
    upload = spooler.house.ok("POST", "/api/v1/uploads", token=spooler.token)["upload"]
    spooler.house.ok("PATCH", f"/api/v1/uploads/{upload}?offset=0", body=content, token=spooler.token)
    assert spooler.send(item)["missing"] == [item["digest"]]
    spooler.house.ok("POST", f"/api/v1/uploads/{upload}:finish", token=spooler.token)
    assert spooler.send(item)["missing"] == []


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"calls": 3},
        {"calls": [3]},
        {"calls": [{"seq": "1", "path": "/x", "body": ""}]},
        {"calls": [{"seq": 10**30, "path": "/x", "body": ""}]},
        {"calls": [{"seq": True, "path": "/x", "body": ""}]},
        {"calls": [{"seq": 1}]},
        {"calls": [{"seq": 1, "path": "/x"}]},
        {"calls": [{"seq": 1, "path": "/x", "digest": "ab", "size": -1}]},
    ],
)
def test_another_shape_is_refused_whole(spooler: Spooler, payload: dict[str, Any]) -> None:
    answer = spooler.house.ask("POST", f"{spooler.url}/relay", payload, token=spooler.token)
    assert answer.status in {400, 422}


@pytest.mark.parametrize("door", ["relay", "artifacts"])
def test_nobody_else_delivers_for_an_attempt(spooler: Spooler, door: str) -> None:
    other = Spooler(spooler.house)
    for token, status in ((other.token, 403), (spooler.house.token, 403), ("pst_nonsense", 401), (None, 401)):
        assert spooler.house.ask("POST", f"{spooler.url}/{door}", {"calls": []}, token=token).status == status


def test_after_the_end_nothing_is_applied(spooler: Spooler) -> None:
    done = {"exit_code": 0, "reason": "exited", "message": "", "artifacts": [], "outputs": {}}
    assert spooler.house.ok("POST", f"{spooler.url}/finish", done, token=spooler.token)["done"] is True
    assert spooler.send(spooler.point(1))["relay_seq"] > 1
    assert spooler.steps() == []


def test_files_of_a_running_command_are_shown_once_their_content_is_here(spooler: Spooler) -> None:
    content = b"picture" + spooler.job.encode()
    entry = {"path": "images/a.png", "digest": hashlib.sha256(content).hexdigest(), "size": len(content)}

    def keep() -> Any:
        return spooler.house.ok("POST", f"{spooler.url}/artifacts", {"artifacts": [entry]}, token=spooler.token)

    assert keep() == {"missing": [entry["digest"]]}
    spooler.house.ok("PUT", f"/api/v1/blobs/{entry['digest']}", body=content, token=spooler.token)
    assert keep() == keep() == {"missing": []}
    path = f"{API}-artifacts/artifacts/{spooler.root}/images/a.png"
    assert spooler.house.ask("GET", path).body == content
    wrong = {"artifacts": [{**entry, "path": "../a"}]}
    assert spooler.house.ask("POST", f"{spooler.url}/artifacts", wrong, token=spooler.token).status == 400
