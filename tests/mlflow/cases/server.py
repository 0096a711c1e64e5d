"""What the server says of itself, and requests that no client would send."""

from __future__ import annotations

from typing import Any

from tests.mlflow.cases.base import API, Bench, case, cases


@case
def health_and_version(bench: Bench) -> Any:
    health, version = bench.send("GET", "/health"), bench.send("GET", "/version")
    return [health.status, version.status, version.body.startswith(b"3.")]


@case
def server_info(bench: Bench) -> Any:
    status, info = bench.send("GET", "/api/3.0/mlflow/server-info").outcome
    return [status, {key: info[key] for key in ("multipart_uploads_enabled", "workspaces_enabled")}]


@cases(
    {
        "no json": b"{",
        "list": b"[]",
        "text": b'"x"',
        "number": b"5",
        "null": b"null",
        "nothing": b"",
        "not utf-8": b'{"name": "\xff"}',
        "twice": b'{"name": "a", "name": "b"}',
        "trailing": b'{"experiment_id": "0"} x',
        "control": b'{"name": "a\x00b"}',
    }
)
def body(bench: Bench, body: bytes) -> Any:
    return [
        bench.send("POST", f"{API}/runs/log-metric", body=body, headers={"Content-Type": "application/json"}).outcome,
        bench.send("POST", f"{API}/runs/delete", body=body, headers={"Content-Type": "application/json"}).outcome,
    ]


@cases(
    {"none": {}, "text": {"Content-Type": "text/plain"}, "form": {"Content-Type": "application/x-www-form-urlencoded"}}
)
def content_type(bench: Bench, headers: dict[str, str]) -> Any:
    body = b'{"experiment_id": "987654"}'
    return bench.send("POST", f"{API}/experiments/delete", body=body, headers=headers).outcome


@case
def unknown_members_are_ignored(bench: Bench) -> Any:
    run = bench.run()
    return [
        bench.post("runs/log-metric", {"run_id": run, "key": "m", "value": 1, "timestamp": 1, "colour": {"a": [1]}}),
        bench.post("runs/set-tag", {"run_id": run, "key": "m", "value": "1", "colour": None}),
        bench.get("runs/get", run_id=run, colour="red")[0],
    ]


@case
def get_with_a_body(bench: Bench) -> Any:
    run = bench.run()
    return [
        bench.send("GET", f"{API}/runs/get", {"run_id": run}).outcome,
        bench.send("GET", f"{API}/runs/get?run_id={run}", {"run_id": "x"}).status,
    ]


@case
def camel_case_members(bench: Bench) -> Any:
    run = bench.run()
    return [
        bench.post("runs/log-metric", {"runId": run, "key": "m", "value": 1, "timestamp": 1}),
        bench.post("experiments/search", {"maxResults": 1, "filter": "name = 'none'"}),
    ]


@cases(["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def wrong_method(bench: Bench, method: str) -> Any:
    return bench.send(method, f"{API}/runs/create").status


@cases(
    [
        "/api/2.0/mlflow/none",
        "/api/2.0/mlflow/runs",
        "/api/2.0/mlflow/runs/get/",
        "/api/2.0/mlflow",
        "/api/9.0/mlflow/runs/get",
    ]
)
def unknown_path(bench: Bench, path: str) -> Any:
    return bench.send("GET", path).status


@case
def preview_paths(bench: Bench) -> Any:
    return bench.send("GET", "/api/2.0/preview/mlflow/runs/get?run_id=none").status


@cases(["http://evil.example", "null"])
def foreign_origin(bench: Bench, origin: str) -> Any:
    headers = {"Origin": origin}
    return [
        bench.send("POST", f"{API}/runs/delete", {"run_id": "0" * 32}, headers=headers).status,
        bench.send("POST", f"{API}/experiments/search", {"max_results": 1}, headers=headers).status,
    ]


@case
def foreign_host(bench: Bench) -> Any:
    return bench.send("GET", f"{API}/experiments/get?experiment_id=0", headers={"Host": "evil.example"}).status
