"""What a raw HTTP client may send to the MLflow door, and what it gets."""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow.conftest import Client
from tests.server.harness import Answer, House, open_house

from penstock.server.mlflow.limits import check_key
from penstock.server.transfer import PIECE_BYTES

API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
INVALID = (400, "INVALID_PARAMETER_VALUE")
JSON = {"Content-Type": "application/json"}


def make_run(house: House, **changes: Any) -> str:
    return str(house.ok("POST", f"{API}/runs/create", {"experiment_id": "0", **changes})["run"]["info"]["run_id"])


def get_run(house: House, run: str) -> Any:
    return house.ok("GET", f"{API}/runs/get?run_id={run}")["run"]


def log(house: House, run: str, key: str, value: Any, **changes: Any) -> Answer:
    sent = {"run_id": run, "key": key, "value": value, "timestamp": 1, "step": 0, **changes}
    return house.ask("POST", f"{API}/runs/log-metric", sent)


def refusal(answer: Answer) -> tuple[int, str]:
    assert answer.json["message"]
    return answer.status, answer.json["error_code"]


def latest(house: House, run: str) -> dict[str, Any]:
    return {metric["key"]: metric["value"] for metric in get_run(house, run)["data"].get("metrics", [])}


def test_server_says_which_protocol_it_speaks(house: House) -> None:
    version = house.ask("GET", "/version")
    assert (version.headers["content-type"], version.body) == ("text/plain; charset=utf-8", b"3.18.0")
    info = house.ok("GET", "/api/3.0/mlflow/server-info")
    for name in (
        "multipart_uploads_enabled",
        "multipart_downloads_enabled",
        "artifacts_presigned_only",
        "workspaces_enabled",
    ):
        assert info[name] is False


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/traces"),
        ("GET", "/api/3.0/mlflow/traces/x"),
        ("POST", "/api/2.0/mlflow/webhooks"),
        ("GET", "/api/3.0/mlflow/scorers/list"),
        ("POST", "/api/2.0/mlflow-artifacts/mpu/create/0/x/artifacts/f"),
    ],
)
def test_what_is_not_here_yet_is_said_and_not_retried(house: House, method: str, path: str) -> None:
    assert refusal(house.ask(method, path)) == (501, "NOT_IMPLEMENTED")


@pytest.mark.parametrize(
    "path", [f"{API}/none", f"{API}/runs/get/", "/api/3.0/mlflow/runs/get", f"{API}/logged-models/a/b"]
)
def test_unknown_path_is_not_found(house: House, path: str) -> None:
    assert refusal(house.ask("GET", path)) == (404, "ENDPOINT_NOT_FOUND")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (f"{API}/runs/create", "POST"),
        (f"{API}/registered-models/alias", "DELETE, GET, POST"),
        (f"{API}/logged-models/m-1", "DELETE, GET, PATCH"),
    ],
)
def test_wrong_method_names_the_right_ones(house: House, path: str, allowed: str) -> None:
    wrong = house.ask("PUT", path)
    assert (wrong.status, wrong.headers["allow"]) == (405, allowed)
    assert allowed in wrong.json["message"]
    asked = house.ask("OPTIONS", path)
    assert (asked.status, sorted(asked.headers["allow"].split(", "))) == (204, sorted(allowed.split(", ")))


@pytest.mark.parametrize("kind", ["text/plain", "application/jsonp", "application/x-www-form-urlencoded"])
def test_body_that_does_not_say_it_is_json_is_refused(house: House, kind: str) -> None:
    body = b'{"experiment_ids": ["0"]}'
    answer = house.ask("POST", f"{API}/runs/search", body=body, headers={"Content-Type": kind})
    assert refusal(answer) == INVALID
    json_kind = {"Content-Type": "application/json; charset=utf-8"}
    assert house.ask("POST", f"{API}/runs/search", body=body, headers=json_kind).status == 200


def test_arguments_of_a_get_may_come_in_its_body(house: House) -> None:
    run = make_run(house)
    assert house.ok("GET", f"{API}/runs/get", {"run_id": run})["run"]["info"]["run_id"] == run
    name = f"asked {run}"
    house.ok("POST", f"{API}/registered-models/create", {"name": name})
    assert house.ok("GET", f"{API}/registered-models/get", {"name": name})["registered_model"]["name"] == name


def test_answers_leave_out_what_is_empty(house: House) -> None:
    run = make_run(house, run_name="lean", start_time=5)
    shown = get_run(house, run)
    assert shown["info"]["run_id"] == shown["info"]["run_uuid"] == run
    assert shown["info"]["start_time"] == 5
    assert "end_time" not in shown["info"]
    assert shown["data"] == {"tags": [{"key": "mlflow.runName", "value": "lean"}]}
    empty = house.ok("POST", f"{API}/experiments/create", {"name": "empty"})["experiment_id"]
    assert house.ok("POST", f"{API}/runs/search", {"experiment_ids": [empty]}) == {}
    assert "tags" not in house.ok("GET", f"{API}/experiments/get?experiment_id={empty}")["experiment"]


def test_numbers_may_come_as_text_and_names_in_two_spellings(house: House) -> None:
    run = make_run(house)
    sent = {"run_uuid": run, "key": "m", "value": "0.5", "timestamp": "17", "step": "3"}
    house.ok("POST", f"{API}/runs/log-metric", sent)
    (metric,) = house.ok("GET", f"{API}/metrics/get-history?run_uuid={run}&metric_key=m")["metrics"]
    assert metric == {"key": "m", "value": 0.5, "timestamp": 17, "step": 3}


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b'"NaN"', "NaN"),
        (b"NaN", "NaN"),
        (b'"Infinity"', 1.7976931348623157e308),
        (b"-Infinity", -1.7976931348623157e308),
        (b"1e308", 1e308),
        (b"-0.0", 0.0),
    ],
)
def test_values_beyond_json_come_back_as_in_mlflow(house: House, sent: bytes, shown: Any) -> None:
    run = make_run(house)
    body = b'{"run_id": "%b", "key": "m", "value": %b, "timestamp": 1}' % (run.encode(), sent)
    assert house.ask("POST", f"{API}/runs/log-metric", body=body, headers=JSON).status == 200
    assert latest(house, run) == {"m": shown}


def test_latest_metric_is_the_greatest_not_the_last(house: House) -> None:
    run = make_run(house)
    for step, timestamp, value in ((2, 5, 0.1), (1, 9, 0.9), (2, 5, 0.3), (2, 4, 7.0), (2, 5, 0.3), (2, 5, "NaN")):
        assert log(house, run, "m", value, step=step, timestamp=timestamp).status == 200
    assert latest(house, run) == {"m": 0.3}
    history = house.ok("GET", f"{API}/metrics/get-history?run_id={run}&metric_key=m")["metrics"]
    assert len(history) == 5
    order = [(point["timestamp"], point["step"]) for point in history]
    assert order == sorted(order)


@pytest.mark.parametrize(
    "changes",
    [
        {"run_id": ""},
        {"key": ""},
        {"value": None},
        {"timestamp": None},
        {"timestamp": -1},
        {"value": "abc"},
        {"value": True},
        {"step": 1.5},
        {"step": 1 << 70},
        {"key": "a//b"},
        {"key": "../a"},
        {"key": "a#b"},
        {"key": "x" * 251},
        {"key": ["a"]},
    ],
)
def test_metric_that_cannot_be_meant_is_refused(house: House, changes: dict[str, Any]) -> None:
    sent = {"run_id": make_run(house), "key": "m", "value": 1, "timestamp": 1, **changes}
    answer = house.ask("POST", f"{API}/runs/log-metric", sent)
    assert refusal(answer) == INVALID


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"\xff\xfe", b'"x"', b"[" * 100_000])
def test_what_is_no_message_is_refused(house: House, body: bytes) -> None:
    assert refusal(house.ask("POST", f"{API}/runs/log-batch", body=body, headers=JSON)) == INVALID


def test_batch_is_stored_whole_or_not_at_all(house: House) -> None:
    run = make_run(house)
    house.ok("POST", f"{API}/runs/log-parameter", {"run_id": run, "key": "p", "value": "1"})
    batch = {
        "run_id": run,
        "metrics": [{"key": "m", "value": 1, "timestamp": 1}],
        "params": [{"key": "q", "value": "2"}, {"key": "p", "value": "other"}],
        "tags": [{"key": "t", "value": "x"}],
    }
    assert refusal(house.ask("POST", f"{API}/runs/log-batch", batch)) == INVALID
    data = get_run(house, run)["data"]
    assert "metrics" not in data
    assert data["params"] == [{"key": "p", "value": "1"}]
    assert [tag["key"] for tag in data["tags"]] == ["mlflow.runName"]
    batch["params"] = [{"key": "q", "value": "2"}, {"key": "p", "value": "1"}]
    house.ok("POST", f"{API}/runs/log-batch", batch)
    assert {param["key"] for param in get_run(house, run)["data"]["params"]} == {"p", "q"}


@pytest.mark.parametrize(
    "batch",
    [
        {"metrics": [{"key": "m", "value": 1, "timestamp": 1}] * 1001},
        {"params": [{"key": f"p{n}", "value": "1"} for n in range(101)]},
        {"tags": [{"key": f"t{n}", "value": "1"} for n in range(101)]},
        {
            "metrics": [{"key": "m", "value": 1, "timestamp": 1}] * 1000,
            "tags": [{"key": "t", "value": "1"}],
        },
        {"params": [{"key": "p", "value": "1"}, {"key": "p", "value": "1"}]},
        {"metrics": [{"key": "m", "timestamp": 1}]},
    ],
)
def test_batch_over_the_limits_is_refused(house: House, batch: dict[str, Any]) -> None:
    answer = house.ask("POST", f"{API}/runs/log-batch", {"run_id": make_run(house), **batch})
    assert refusal(answer) == INVALID


def test_many_clients_at_once_lose_nothing(house: House) -> None:
    run = make_run(house)

    def work(worker: int) -> None:
        for step in range(25):
            assert log(house, run, f"m{worker}", step, step=step, timestamp=step).status == 200

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for worker in range(6):
        history = house.ok("GET", f"{API}/metrics/get-history?run_id={run}&metric_key=m{worker}")["metrics"]
        assert [point["value"] for point in history] == list(range(25))


def test_history_is_paged(house: House) -> None:
    run = make_run(house)
    metrics = [{"key": "m", "value": n, "timestamp": n, "step": n} for n in range(10)]
    house.ok("POST", f"{API}/runs/log-batch", {"run_id": run, "metrics": metrics})
    url = f"{API}/metrics/get-history?run_id={run}&metric_key=m&max_results=5"
    first = house.ok("GET", url)
    assert json.loads(base64.b64decode(first["next_page_token"]))["offset"] == 5
    second = house.ok("GET", f"{url}&page_token={first['next_page_token']}")
    assert [point["step"] for point in [*first["metrics"], *second["metrics"]]] == list(range(10))
    assert "next_page_token" not in second
    assert refusal(house.ask("GET", f"{url}&page_token=!!")) == INVALID
    assert refusal(house.ask("GET", url.replace("=5", "=0"))) == INVALID
    assert refusal(house.ask("GET", f"{API}/metrics/get-history?run_id={run}")) == INVALID
    assert house.ok("GET", f"{API}/metrics/get-history?run_id=none&metric_key=m") == {}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"filter": "metrics.a > 1"}, None),
        ({"order_by": ["metrics.a DESC"]}, None),
        ({"filter": "metrics.a > 1 OR metrics.a < 0"}, INVALID),
        ({"order_by": ["metrics.a DESC", "metrics.a"]}, INVALID),
        ({"max_results": 0}, INVALID),
        ({"max_results": 50001}, INVALID),
        ({"page_token": "x"}, INVALID),
        ({"page_token": base64.b64encode(b'{"offset": -1}').decode()}, None),
        ({"page_token": base64.b64encode(b'{"offset": 0}').decode()}, INVALID),
        ({"run_view_type": "SOME"}, None),
        ({"max_results": 1.5}, None),
        ({"experiment_ids": [0]}, None),
        ({"filter": "params.in = 'x'"}, INVALID),
        ({"order_by": ["metrics.from DESC"]}, INVALID),
        ({"experiment_ids": "0"}, INVALID),
        ({"order_by": ["attributes.start_time  DESC"], "run_view_type": 3, "filter": ""}, None),
    ],
)
def test_search_takes_it_or_says_that_it_cannot(
    house: House, changes: dict[str, Any], expected: tuple[int, str] | None
) -> None:
    make_run(house)
    answer = house.ask("POST", f"{API}/runs/search", {"experiment_ids": ["0"], **changes})
    assert (answer.status == 200) if expected is None else (refusal(answer) == expected)


def test_tag_renames_and_its_deletion_keeps_the_name(house: House) -> None:
    run = make_run(house, run_name="before")
    house.ok("POST", f"{API}/runs/set-tag", {"run_id": run, "key": "mlflow.runName", "value": "after"})
    assert get_run(house, run)["info"]["run_name"] == "after"
    house.ok("POST", f"{API}/runs/delete-tag", {"run_id": run, "key": "mlflow.runName"})
    house.ok("POST", f"{API}/runs/update", {"run_id": run, "run_name": ""})
    assert get_run(house, run)["info"]["run_name"] == "after"
    named = {"run_name": "a", "tags": [{"key": "mlflow.runName", "value": "b"}]}
    assert refusal(house.ask("POST", f"{API}/runs/create", {"experiment_id": "0", **named})) == INVALID


def test_word_that_is_no_status_changes_nothing_and_a_number_is_refused(house: House) -> None:
    run = make_run(house)
    answer = house.ok("POST", f"{API}/runs/update", {"run_id": run, "status": "DONE"})
    assert answer["run_info"]["status"] == "RUNNING"
    assert refusal(house.ask("POST", f"{API}/runs/update", {"run_id": run, "status": 99})) == INVALID
    house.ok("POST", f"{API}/runs/update", {"run_id": run, "status": 3, "end_time": 9})
    assert get_run(house, run)["info"]["status"] == "FINISHED"


def test_artifact_goes_in_and_out(house: House) -> None:
    run = make_run(house)
    root = f"0/{run}/artifacts"
    content = os.urandom(2 * PIECE_BYTES + 3)
    put = house.ask("PUT", f"{FILES}/{root}/a/gr%C3%B6%C3%9Fe.bin", body=content)
    assert (put.status, put.body) == (200, b"")
    assert house.ask("PUT", f"{FILES}/{root}/empty", body=b"").status == 200
    listed = house.ok("GET", f"{FILES}?path={root}")["files"]
    assert listed == [{"path": "a", "is_dir": True}, {"path": "empty", "is_dir": False}]
    inner = house.ok("GET", f"{FILES}?path={root}/a")["files"]
    assert inner == [{"path": "größe.bin", "is_dir": False, "file_size": len(content)}]
    of_run = house.ok("GET", f"{API}/artifacts/list?run_id={run}&path=a")
    assert of_run["root_uri"] == f"mlflow-artifacts:/{root}"
    assert of_run["files"] == [{"path": "a/größe.bin", "is_dir": False, "file_size": len(content)}]
    url = f"{FILES}/{root}/a/gr%C3%B6%C3%9Fe.bin"
    assert house.ask("GET", url).body == content
    part = house.ask("GET", url, headers={"Range": "bytes=5-9"})
    assert (part.status, part.body) == (206, content[5:10])
    assert part.headers["content-disposition"].startswith("attachment; filename")
    for unreadable in ("bytes=9-5", "bytes=a-b", "lines=1-2", "bytes=-", "bytes", "bytes=0-1,9-5"):
        assert refusal(house.ask("GET", url, headers={"Range": unreadable})) == INVALID, unreadable
    several = house.ask("GET", url, headers={"Range": "bytes=0-1,5-9"})
    assert (several.status, several.body) == (200, content)
    house.ask("PUT", url, body=b"new")
    assert house.ask("GET", url).body == b"new"
    assert house.ask("DELETE", f"{FILES}/{root}/a").status == 200
    assert house.ask("DELETE", f"{FILES}/{root}/a").status == 200
    assert refusal(house.ask("GET", url)) == (404, "RESOURCE_DOES_NOT_EXIST")
    for nowhere in (root + "/none", "0/no_such_run/artifacts", "nothing/lies/here"):
        assert house.ok("GET", f"{FILES}?path={nowhere}") == {}


def test_artifact_of_a_deleted_run_is_still_taken(house: House) -> None:
    run = make_run(house)
    house.ok("POST", f"{API}/runs/delete", {"run_id": run})
    assert house.ask("PUT", f"{FILES}/0/{run}/artifacts/f", body=b"x").status == 200
    assert refusal(log(house, run, "m", 1)) == INVALID


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "%2e%2e/x",
        "%2E%2E%2Fx",
        "a/%2e%2e/x",
        "%252e%252e%252fx",
        "%2Fetc%2Fpasswd",
        "a//b",
        "a%5Cb",
    ],
)
def test_path_that_escapes_is_refused(house: House, path: str) -> None:
    run = make_run(house)
    root = f"0/{run}/artifacts"
    for method in ("GET", "PUT", "DELETE"):
        answer = house.ask(method, f"{FILES}/{root}/{path}", body=b"x" if method == "PUT" else None)
        assert refusal(answer) == INVALID, method
    assert refusal(house.ask("GET", f"{FILES}?path={root}/{path}")) == INVALID
    assert refusal(house.ask("GET", f"{API}/artifacts/list?run_id={run}&path={path}")) == INVALID
    for absolute in ("/etc/passwd", "//etc/passwd"):
        assert refusal(house.ask("GET", f"{FILES}/{absolute}")) == INVALID


def test_artifact_outside_a_run_belongs_to_nobody(house: House) -> None:
    run = make_run(house)
    for path in ("f", "0/none/artifacts/f", f"1/{run}/artifacts/f", f"{run}/artifacts/f", "0/models/m-1/artifacts/f"):
        assert house.ask("PUT", f"{FILES}/{path}", body=path.encode()).status == 200, path
        assert house.ask("GET", f"{FILES}/{path}").body == path.encode()
    assert house.ok("GET", f"{API}/artifacts/list?run_id={run}").get("files") is None
    assert refusal(house.ask("PUT", f"{FILES}/0/{run}/artifacts", body=b"x"))[0] == 400
    assert refusal(house.ask("PUT", f"{FILES}/models/nobody/1/f", body=b"x"))[0] == 400


@pytest.mark.parametrize("sent", [0, 10, PIECE_BYTES + 5])
def test_artifact_cut_off_leaves_nothing_visible(tmp_path: Path, sent: int) -> None:
    content = os.urandom(3 * PIECE_BYTES)
    with open_house(tmp_path) as house:
        run = make_run(house)
        with socket.create_connection(("127.0.0.1", house.port)) as connection:
            head = f"PUT {FILES}/0/{run}/artifacts/f HTTP/1.1\r\nHost: localhost\r\n"
            head += f"Authorization: Bearer {house.token}\r\nContent-Length: {len(content)}\r\n\r\n"
            connection.sendall(head.encode() + content[:sent])
    # The server has stopped, so whatever it did about the cut is done.
    assert list((tmp_path / "blobs" / "incoming").iterdir()) == []
    with open_house(tmp_path) as house:
        assert house.ok("GET", f"{FILES}?path=0/{run}/artifacts") == {}


def test_jobs_own_points_carry_its_attempt(house: House) -> None:
    job = house.submit()
    _, first = house.begin(job, 1)
    sent = {"run_id": job.name, "key": "m", "value": 1, "timestamp": 1}
    assert house.ask("POST", f"{API}/runs/log-metric", sent, token=first).status == 200
    assert latest(house, job.name) == {"m": 1.0}
    _, second = house.begin(job, 2)
    assert latest(house, job.name) == {}
    assert house.ask("POST", f"{API}/runs/log-metric", {**sent, "value": 2}, token=second).status == 200
    assert latest(house, job.name) == {"m": 2.0}


@pytest.mark.parametrize(
    "body",
    [
        b'{"x": ' + b"[" * 200_000,
        b'{"datasets": [{"a": ' + b"[" * 200_000,
        b'{"x": NaN, "y": ' + b"[" * 200_000,
        b'{"step": ' + b"9" * 5000 + b"}",
        b'{"step": ' + b"9" * 30 + b"}",
    ],
)
@pytest.mark.parametrize("path", ["runs/log-metric", "runs/log-inputs", "experiments/create"])
def test_json_that_is_too_deep_or_too_large_is_refused(house: House, path: str, body: bytes) -> None:
    assert refusal(house.ask("POST", f"{API}/{path}", body=body, headers=JSON)) == INVALID


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("delete", {}),
        ("restore", {}),
        ("update", {"status": "KILLED"}),
        ("log-metric", {"key": "m", "value": 9, "timestamp": 9}),
        ("log-parameter", {"key": "p", "value": "9"}),
        ("log-batch", {"params": [{"key": "p", "value": "9"}]}),
        ("set-tag", {"key": "penstock.creator", "value": "job:mine"}),
        ("delete-tag", {"key": "mlflow.runName"}),
        ("log-inputs", {"datasets": []}),
    ],
)
def test_job_changes_no_run_of_others(house: House, path: str, sent: dict[str, Any]) -> None:
    sibling, mine = house.submit(), house.submit()
    _, token = house.begin(mine)
    experiment = get_run(house, mine.name)["info"]["experiment_id"]
    of_person = make_run(house, experiment_id=experiment)
    of_sibling = make_run_as(house, house.begin(sibling)[1], experiment)
    for run in (sibling.name, of_person, of_sibling):
        before = get_run(house, run)
        answer = house.ask("POST", f"{API}/runs/{path}", {"run_id": run, **sent}, token=token)
        assert refusal(answer) == (403, "PERMISSION_DENIED")
        assert get_run(house, run) == before
        assert house.ok("GET", f"{API}/runs/get?run_id={run}", token=token)["run"] == before


def make_run_as(house: House, token: str, experiment: str) -> str:
    claimed = {"key": "penstock.creator", "value": "job:somebody-else"}
    sent = {"experiment_id": experiment, "tags": [claimed]}
    return str(house.ok("POST", f"{API}/runs/create", sent, token=token)["run"]["info"]["run_id"])


def test_job_leaves_artifacts_of_others_alone(house: House) -> None:
    sibling, mine = house.submit(), house.submit()
    _, token = house.begin(mine)
    experiment = get_run(house, mine.name)["info"]["experiment_id"]
    theirs = f"{FILES}/{experiment}/{sibling.name}/artifacts"
    assert house.ask("PUT", f"{theirs}/user_logs/std_log.txt", body=b"their log").status == 200
    for method, path, body in (
        ("DELETE", "user_logs/std_log.txt", None),
        ("DELETE", "user_logs", None),
        ("PUT", "user_logs/std_log.txt", b"forged"),
        ("PUT", "outputs/new.txt", b"added"),
    ):
        answer = house.ask(method, f"{theirs}/{path}", body=body, token=token)
        assert refusal(answer) == (403, "PERMISSION_DENIED")
    assert house.ask("GET", f"{theirs}/user_logs/std_log.txt", token=token).body == b"their log"
    child = make_run_as(house, token, experiment)
    for run in (mine.name, child):
        own = f"{FILES}/{experiment}/{run}/artifacts/outputs/a.txt"
        assert house.ask("PUT", own, body=b"1", token=token).status == 200
        assert house.ask("PUT", own, body=b"2", token=token).status == 200
        assert house.ask("DELETE", own, token=token).status == 200


def test_later_attempt_goes_on_with_the_runs_of_an_earlier_one(house: House) -> None:
    job = house.submit()
    experiment = get_run(house, job.name)["info"]["experiment_id"]
    child = make_run_as(house, house.begin(job, 1)[1], experiment)
    _, second = house.begin(job, 2)
    sent = {"run_id": child, "key": "m", "value": 1, "timestamp": 1}
    house.ok("POST", f"{API}/runs/log-metric", sent, token=second)
    house.ok("POST", f"{API}/runs/update", {"run_id": child, "status": "FINISHED"}, token=second)
    house.ok("POST", f"{API}/runs/delete", {"run_id": child}, token=second)
    house.ok("POST", f"{API}/runs/restore", {"run_id": child}, token=second)


def test_gateway_has_nothing_to_log(house: House) -> None:
    answer = house.ask("GET", f"{API}/experiments/get?experiment_id=0", token=house.internal_token)
    assert refusal(answer) == (403, "PERMISSION_DENIED")


def test_names_are_taken_and_refused_as_the_real_client_does(client: Client) -> None:
    # Not here: "a\n", which MLflow's pattern lets through by its "$" and this server refuses.
    keys = ["a", "a/b", "a b", "a:b", "ä/ß", "日本", "a.b-c_d", ".a", "a.", " a", "/a", "a/", "a//b", ".", "..", "../a"]
    keys += ["a/../b", "./a", "a/.", "...", "a\nb", "a#b", "a\\b", "a%b", "a,b", "x" * 250, "x" * 251, "💧", "١"]
    theirs = client(
        f"""
        from mlflow.utils.validation import _validate_param
        result = [refused(_validate_param, key, "v") is None for key in json.loads({json.dumps(json.dumps(keys))})]
        """
    )

    def ours(key: str) -> bool:
        try:
            return check_key(key) == key
        except Exception:
            return False

    assert [key for key, is_fine in zip(keys, theirs, strict=True) if ours(key) is not is_fine] == []


def test_changes_are_in_the_audit_log_and_logged_values_are_not(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        experiment = house.ok("POST", f"{API}/experiments/create", {"name": "e"})["experiment_id"]
        run = make_run(house, experiment_id=experiment)
        log(house, run, "m", 1)
        house.ask("PUT", f"{FILES}/{experiment}/{run}/artifacts/f", body=b"x")
        house.ask("DELETE", f"{FILES}/{experiment}/{run}/artifacts/f")
        house.ok("POST", f"{API}/runs/delete", {"run_id": run})
        house.ok("POST", f"{API}/runs/restore", {"run_id": run})
        house.ok("POST", f"{API}/experiments/update", {"experiment_id": experiment, "new_name": "f"})
        house.ok("POST", f"{API}/experiments/delete", {"experiment_id": experiment})
        house.ok("POST", f"{API}/experiments/restore", {"experiment_id": experiment})
        events = house.ok("GET", "/api/v1/events")["items"]
    of_run, of_experiment = f"run:{run}", f"experiment:{experiment}"
    assert [(event["actor"], event["verb"], event["ref"]) for event in events] == [
        ("ann", "create", of_experiment),
        ("ann", "create", of_run),
        ("ann", "upload-artifact", of_run),
        ("ann", "delete-artifacts", of_run),
        ("ann", "delete", of_run),
        ("ann", "restore", of_run),
        ("ann", "rename", of_experiment),
        ("ann", "delete", of_experiment),
        ("ann", "restore", of_experiment),
    ]
