"""Artifacts over the proxied protocol: in, out, lists, ranges, deletion, and paths that would escape."""

from __future__ import annotations

from typing import Any

from tests.mlflow.cases.base import API, FILES, Bench, case, cases

ESCAPES = [
    "../x",
    "a/../../x",
    "a/../b",
    "./a",
    "%2e%2e/x",
    "%2E%2E%2Fx",
    "a/%2e%2e/x",
    "%252e%252e%252fx",
    "%25252e%25252e/x",
    "%2Fetc%2Fpasswd",
    "/etc/passwd",
    "//etc/passwd",
    "..%5Cx",
    "a%5C..%5Cx",
    "C:%5Cx",
    "a%00b",
    "file:///etc/passwd",
    "a%0Ab",
]


def root_of(bench: Bench, run: str) -> str:
    uri = bench.client.get_run(run).info.artifact_uri
    return str(uri).removeprefix("mlflow-artifacts:/")


@case
def logged_listed_and_fetched(bench: Bench) -> Any:
    client, run = bench.client, bench.run()
    (bench.folder / "d" / "sub").mkdir(parents=True)
    (bench.folder / "d" / "sub" / "file ü#1.bin").write_bytes(bytes(range(256)))
    (bench.folder / "d" / "empty").touch()
    (bench.folder / "one.txt").write_text("one")
    client.log_artifacts(run, str(bench.folder / "d"), "data")
    client.log_artifact(run, str(bench.folder / "one.txt"))
    client.log_artifact(run, str(bench.folder / "one.txt"), "deep/er")
    client.log_text(run, "ü", "notes/a.txt")
    client.log_dict(run, {"b": 1}, "config.yaml")
    listed = [client.list_artifacts(run, path) for path in (None, "data", "data/sub", "deep", "none", "one.txt")]
    local = client.download_artifacts(run, "data", str(bench.folder / "") + "/")
    names = sorted(path.name for path in (bench.folder / "data").rglob("*"))
    text = bench.mlflow.artifacts.load_text(f"runs:/{run}/notes/a.txt")
    return [listed, names, text, local.endswith("data"), bench.ask(client.download_artifacts, run, "none")]


@case
def table_image_and_figure(bench: Bench) -> Any:
    client, run = bench.client, bench.run()
    client.log_text(run, "<b>x</b>", "page.html")
    client.log_dict(run, {"a": [1, 2]}, "folder/a.json")
    return [
        bench.mlflow.artifacts.load_dict(f"runs:/{run}/folder/a.json"),
        [file.path for file in client.list_artifacts(run)],
    ]


@case
def raw_in_and_out(bench: Bench) -> Any:
    root = root_of(bench, bench.run())
    put = bench.send("PUT", f"{FILES}/{root}/a/gr%C3%B6%C3%9Fe.bin", body=b"0123456789")
    empty = bench.send("PUT", f"{FILES}/{root}/empty", body=b"")
    got = bench.send("GET", f"{FILES}/{root}/a/gr%C3%B6%C3%9Fe.bin")
    replaced = bench.send("PUT", f"{FILES}/{root}/empty", body=b"no more")
    again = bench.send("GET", f"{FILES}/{root}/empty")
    return [
        [put.status, put.body, empty.status, replaced.status],
        [got.status, got.body, again.body],
        bench.send("GET", f"{FILES}?path={root}").outcome,
        bench.send("GET", f"{FILES}?path={root}/a").outcome,
        bench.send("GET", f"{FILES}/{root}/none").status,
        bench.send("GET", f"{FILES}/{root}/a").status,
    ]


@cases(
    {
        "middle": "bytes=2-4",
        "from": "bytes=7-",
        "last": "bytes=-3",
        "beyond": "bytes=50-60",
        "past the end": "bytes=8-99",
        "backwards": "bytes=5-2",
        "words": "bytes=a-b",
        "other unit": "lines=1-2",
    }
)
def range_of_bytes(bench: Bench, asked: str) -> Any:
    root = root_of(bench, bench.run())
    bench.send("PUT", f"{FILES}/{root}/f", body=b"0123456789")
    got = bench.send("GET", f"{FILES}/{root}/f", headers={"Range": asked})
    return [got.status, got.body if got.status < 400 else None, got.headers.get("content-range")]


@cases(ESCAPES)
def escape_when_read(bench: Bench, path: str) -> Any:
    root = root_of(bench, bench.run())
    return bench.send("GET", f"{FILES}/{root}/{path}").outcome


@cases(ESCAPES)
def escape_when_written(bench: Bench, path: str) -> Any:
    root = root_of(bench, bench.run())
    return bench.send("PUT", f"{FILES}/{root}/{path}", body=b"x").outcome


@cases(ESCAPES)
def escape_when_deleted(bench: Bench, path: str) -> Any:
    root = root_of(bench, bench.run())
    return bench.send("DELETE", f"{FILES}/{root}/{path}").outcome


@cases(ESCAPES)
def escape_when_listed(bench: Bench, path: str) -> Any:
    run = bench.run()
    return [
        bench.send("GET", f"{FILES}?path={root_of(bench, run)}/{path}").outcome,
        bench.send("GET", f"{API}/artifacts/list?run_id={run}&path={path}").outcome,
    ]


@case
def deleted(bench: Bench) -> Any:
    root = root_of(bench, bench.run())
    for name in ("a/x", "a/y", "b"):
        bench.send("PUT", f"{FILES}/{root}/{name}", body=b"x")
    return [
        bench.send("DELETE", f"{FILES}/{root}/a/x").outcome,
        bench.send("DELETE", f"{FILES}/{root}/a/x").status,
        bench.send("GET", f"{FILES}?path={root}/a").outcome,
        bench.send("DELETE", f"{FILES}/{root}/a").outcome,
        bench.send("GET", f"{FILES}?path={root}").outcome,
    ]


@case
def listed_of_a_run(bench: Bench) -> Any:
    run = bench.run()
    root = root_of(bench, run)
    nothing = bench.get("artifacts/list", run_id=run)
    bench.send("PUT", f"{FILES}/{root}/a/b", body=b"xyz")
    bench.send("PUT", f"{FILES}/{root}/c", body=b"")
    return [nothing, *(bench.get("artifacts/list", run_id=run, path=path) for path in ("", "a", "a/b", "none"))]


@case
def of_a_deleted_run(bench: Bench) -> Any:
    run = bench.run()
    root = root_of(bench, run)
    bench.client.delete_run(run)
    return [
        bench.send("PUT", f"{FILES}/{root}/f", body=b"x").status,
        bench.send("GET", f"{FILES}/{root}/f").body,
        bench.send("GET", f"{FILES}?path={root}").outcome,
    ]


@case
def whole_folder_of_a_run(bench: Bench) -> Any:
    mlflow, run = bench.mlflow, bench.run()
    bench.client.log_text(run, "x", "a/b/c.txt")
    local = mlflow.artifacts.download_artifacts(run_id=run, dst_path=str(bench.folder / "all"))
    listed = mlflow.artifacts.list_artifacts(run_id=run, artifact_path="a/b")
    return [
        sorted(path.name for path in (bench.folder / "all").rglob("*")),
        [each.path for each in listed],
        bool(local),
    ]


@case
def file_and_folder_of_one_name(bench: Bench) -> Any:
    root = root_of(bench, bench.run())
    return [
        bench.send("PUT", f"{FILES}/{root}/a", body=b"x").status,
        bench.send("PUT", f"{FILES}/{root}/a/b", body=b"x").status,
        bench.send("PUT", f"{FILES}/{root}/c/d", body=b"x").status,
        bench.send("PUT", f"{FILES}/{root}/c", body=b"x").status,
    ]


@case
def headers_of_a_download(bench: Bench) -> Any:
    root = root_of(bench, bench.run())
    outcome = {}
    for name in ("a.txt", "b.html", "c.json", "d.bin"):
        bench.send("PUT", f"{FILES}/{root}/{name}", body=b"x")
        got = bench.send("GET", f"{FILES}/{root}/{name}")
        outcome[name] = [
            got.headers.get("x-content-type-options"),
            "attachment" in got.headers.get("content-disposition", ""),
        ]
    return outcome
