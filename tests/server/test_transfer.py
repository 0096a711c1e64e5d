from __future__ import annotations

import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.harness import House

from penstock.entities.asset import TreeEntry
from penstock.entities.errors import UsageError
from penstock.server.transfer import PIECE_BYTES, read_range
from penstock.stores.metadata import artifacts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("", None),
        ("bytes=0-", (0, 10)),
        ("bytes=3-5", (3, 6)),
        ("bytes=3-99", (3, 10)),
        ("bytes=-4", (6, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=9-9", (9, 10)),
        ("bytes=-", None),
        ("bytes=5-3", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
        ("bytes=0-" + "9" * 5000, (0, 10)),
        ("bytes=-" + "9" * 5000, (0, 10)),
        ("bytes=" + "0" * 5000 + "3-5", (3, 6)),
    ],
)
def test_ranges(text: str | None, expected: tuple[int, int] | None) -> None:
    assert read_range(text, 10) == expected


@pytest.mark.parametrize("text", ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99-100", "bytes=" + "9" * 5000 + "-"])
def test_range_outside_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_range(text, 10)


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_range_is_what_python_would_slice(size: int, first: int, last: int) -> None:
    content = bytes(range(size))
    try:
        found = read_range(f"bytes={first}-{last}", size)
    except UsageError:
        assert content[first : last + 1] == b""
        return
    if found is None:
        assert last < first
    else:
        assert content[slice(*found)] == content[first : last + 1] != b""


def add_artifact(house: House, run: str, path: str, content: bytes) -> None:
    digest, size = house.services.blobs.put(content)
    entry = TreeEntry(path=path, digest=digest, size=size)
    house.services.store.write(lambda c: artifacts.put_artifacts(c, run, [entry], now=1))


@pytest.mark.parametrize("size", [100, 3 * PIECE_BYTES])
def test_artifact_is_read_whole_and_in_ranges(house: House, size: int) -> None:
    job = house.submit(name=f"artifact-{size}")
    content = os.urandom(size)
    add_artifact(house, job.name, "outputs/größe x.bin", content)
    path = f"/api/v1/runs/{job.name}/artifacts/outputs/gr%C3%B6%C3%9Fe%20x.bin"
    whole = house.ask("GET", path)
    assert (whole.status, whole.body, whole.headers["accept-ranges"]) == (200, content, "bytes")
    part = house.ask("GET", path, headers={"Range": f"bytes=10-{size - 5}"})
    assert (part.status, part.body) == (206, content[10 : size - 4])
    assert part.headers["content-range"] == f"bytes 10-{size - 5}/{size}"
    tail = house.ask("GET", path, headers={"Range": "bytes=-7"})
    assert (tail.status, tail.body) == (206, content[-7:])
    outside = house.ask("GET", path, headers={"Range": f"bytes={size}-"})
    assert (outside.status, outside.headers["content-range"]) == (416, f"bytes */{size}")
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    fitting = house.ask("GET", path, headers={"Range": "bytes=0-0", "If-Range": etag})
    changed = house.ask("GET", path, headers={"Range": "bytes=0-0", "If-Range": '"other"'})
    assert (fitting.status, changed.status) == (206, 200)
    head = house.ask("HEAD", path)
    assert (head.status, head.headers["content-length"], head.body) == (200, str(size), b"")


def test_page_among_artifacts_cannot_run(house: House) -> None:
    job = house.submit(name="page-job")
    add_artifact(house, job.name, "page.html", b"<script>alert(1)</script>")
    answer = house.ask("GET", f"/api/v1/runs/{job.name}/artifacts/page.html")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("sandbox;")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_artifacts_are_listed_by_folder_and_walked(house: House) -> None:
    job = house.submit(name="listing")
    for path in ("outputs/a.txt", "outputs/sub/b.txt", "logs/c.txt"):
        add_artifact(house, job.name, path, path.encode())

    def listed(query: str) -> list[tuple[str, bool]]:
        items = house.ok("GET", f"/api/v1/runs/listing/artifacts{query}")["items"]
        return [(item["path"], item["is_dir"]) for item in items]

    assert listed("") == [("logs", True), ("outputs", True)]
    assert listed("?path=outputs") == [("outputs/a.txt", False), ("outputs/sub", True)]
    assert listed("?path=outputs/") == listed("?path=outputs")
    assert listed("?path=none") == []
    assert [path for path, _ in listed("?recursive=true")] == ["logs/c.txt", "outputs/a.txt", "outputs/sub/b.txt"]
    assert [path for path, _ in listed("?path=outputs/sub&recursive=true")] == ["outputs/sub/b.txt"]
    assert house.ask("GET", "/api/v1/runs/none/artifacts").status == 404
    assert house.ask("GET", "/api/v1/runs/listing/artifacts/outputs/none").status == 404


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "..",
        "a/../b",
        "%2e%2e/secret",
        "%2E%2E%2Fsecret",
        "a/%2e%2e/%2e%2e/b",
        "%252e%252e%252fsecret",
        "/etc/passwd",
        "%2Fetc%2Fpasswd",
        "a//b",
        "a%5Cb",
        "a%00b",
        "./a",
    ],
)
def test_path_that_escapes_is_refused(house: House, path: str) -> None:
    for url in (f"/api/v1/runs/r/artifacts/{path}", f"/api/v1/runs/r/artifacts?path={path}"):
        answer = house.ask("GET", url)
        assert (answer.status, answer.json["code"]) == (400, "invalid_path"), url


def test_job_token_reads_artifacts_of_its_experiment_only(house: House) -> None:
    own = house.submit(name="own-artifacts", experiment_name="artifacts-a")
    foreign = house.submit(name="foreign-artifacts", experiment_name="artifacts-b")
    _, token = house.begin(own)
    for job, expected in ((own, 200), (foreign, 403)):
        add_artifact(house, job.name, "f", b"x")
        assert house.ask("GET", f"/api/v1/runs/{job.name}/artifacts", token=token).status == expected
        assert house.ask("GET", f"/api/v1/runs/{job.name}/artifacts/f", token=token).status == expected
