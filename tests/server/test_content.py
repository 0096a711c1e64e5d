from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.server.harness import House, open_house

from penstock.server.transfer import PIECE_BYTES

SIZES = [0, 1, 1000, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 7]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def files_of(house: House) -> set[Path]:
    """Return every file of the blob store that is not a blob in its place."""
    root: Path = house.services.blobs._root  # type: ignore[attr-defined] # what lies on the disk is the question
    return {path for path in (root / "incoming").iterdir()}


@pytest.mark.parametrize("size", SIZES)
def test_blob_comes_back_as_it_went(house: House, size: int) -> None:
    content = os.urandom(size)
    digest = sha256(content)
    assert house.ok("POST", "/api/v1/blobs:missing", {"digests": [digest]}) == {"missing": [digest]}
    stored = house.ask("PUT", f"/api/v1/blobs/{digest}", body=content)
    assert (stored.status, stored.json) == (201, {"digest": digest, "size": size})
    answer = house.ask("GET", f"/api/v1/blobs/{digest}")
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["etag"] == f'"{digest}"'
    assert house.ok("POST", "/api/v1/blobs:missing", {"digests": [digest]}) == {"missing": []}
    head = house.ask("HEAD", f"/api/v1/blobs/{digest}")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(size), b"")
    assert house.ask("GET", f"/api/v1/blobs/{digest}", headers={"If-None-Match": f'"{digest}"'}).status == 304


def test_chunked_body_without_length_is_taken(house: House) -> None:
    pieces = [os.urandom(100_000) for _ in range(30)]
    digest = sha256(b"".join(pieces))
    assert house.ask("PUT", f"/api/v1/blobs/{digest}", body=iter(pieces)).status == 201
    assert house.ask("GET", f"/api/v1/blobs/{digest}").body == b"".join(pieces)


@pytest.mark.parametrize("size", [10, 2 * PIECE_BYTES])
def test_wrong_digest_is_refused_and_nothing_is_kept(house: House, size: int) -> None:
    content = os.urandom(size)
    wrong = sha256(content + b"x")
    answer = house.ask("PUT", f"/api/v1/blobs/{wrong}", body=content)
    assert answer.status == 400
    for digest in (wrong, sha256(content)):
        assert house.ask("GET", f"/api/v1/blobs/{digest}").status == 404
        assert house.ask("HEAD", f"/api/v1/blobs/{digest}").status == 404
    assert files_of(house) == set()


@pytest.mark.parametrize("digest", ["abc", "A" * 64, "0" * 63, "0" * 65, "..%2f..%2fetc", "%00"])
def test_what_is_no_digest_is_refused(house: House, digest: str) -> None:
    for method in ("GET", "PUT"):
        answer = house.ask(method, f"/api/v1/blobs/{digest}", body=b"x" if method == "PUT" else None)
        assert answer.status in {400, 404}


@pytest.mark.parametrize("sent", [0, 10, PIECE_BYTES + 5])
def test_upload_cut_off_leaves_nothing(tmp_path: Path, sent: int) -> None:
    content = os.urandom(3 * PIECE_BYTES)
    digest = sha256(content)
    with open_house(tmp_path) as house, socket.create_connection(("127.0.0.1", house.port)) as connection:
        head = f"PUT /api/v1/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {house.token}\r\n"
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content[:sent])
    # The server has stopped, so whatever it did about the cut is done.
    assert files_of(house) == set()
    assert not house.services.blobs.exists(digest)


def test_resumable_upload_goes_on_after_a_break_and_a_restart(tmp_path: Path) -> None:
    content = os.urandom(2 * PIECE_BYTES + 100)
    with open_house(tmp_path) as house:
        upload = house.ok("POST", "/api/v1/uploads")["upload"]
        first = house.ok("PATCH", f"/api/v1/uploads/{upload}?offset=0", body=content[: PIECE_BYTES + 50])
        assert first == {"offset": PIECE_BYTES + 50}
        wrong = house.ask("PATCH", f"/api/v1/uploads/{upload}?offset=5", body=b"x")
        assert (wrong.status, wrong.json["code"]) == (409, "conflict")
        assert str(PIECE_BYTES + 50) in wrong.json["detail"] + wrong.json["hint"]
    with open_house(tmp_path) as house:
        offset = house.ok("GET", f"/api/v1/uploads/{upload}")["offset"]
        assert offset == PIECE_BYTES + 50
        assert house.ok("PATCH", f"/api/v1/uploads/{upload}?offset={offset}", body=content[offset:]) == {
            "offset": len(content)
        }
        digest = sha256(content)
        assert house.ask("GET", f"/api/v1/blobs/{digest}").status == 404
        assert house.ask("POST", f"/api/v1/uploads/{upload}:finish", {"digest": "0" * 64}).status == 400
        done = house.ok("POST", f"/api/v1/uploads/{upload}:finish", {"digest": digest})
        assert done == {"digest": digest, "size": len(content)}
        assert house.ask("GET", f"/api/v1/blobs/{digest}").body == content
        assert house.ask("GET", f"/api/v1/uploads/{upload}").status == 404


def test_upload_may_be_given_up_and_finished_without_a_digest(house: House) -> None:
    upload = house.ok("POST", "/api/v1/uploads")["upload"]
    assert house.ask("DELETE", f"/api/v1/uploads/{upload}").status == 204
    assert house.ask("DELETE", f"/api/v1/uploads/{upload}").status == 204
    assert house.ask("PATCH", f"/api/v1/uploads/{upload}?offset=0", body=b"x").status == 404
    other = house.ok("POST", "/api/v1/uploads")["upload"]
    house.ok("PATCH", f"/api/v1/uploads/{other}?offset=0", body=b"abc")
    assert house.ok("POST", f"/api/v1/uploads/{other}:finish") == {"digest": sha256(b"abc"), "size": 3}


def tree_of(**files: bytes) -> dict[str, Any]:
    entries = [{"path": p, "digest": sha256(c), "size": len(c)} for p, c in sorted(files.items())]
    return {"entries": entries}


def test_tree_needs_its_blobs_and_comes_back(house: House) -> None:
    tree = tree_of(a=b"one-a", b=b"one-b")
    answer = house.ask("POST", "/api/v1/trees", tree)
    assert (answer.status, answer.json["code"]) == (409, "missing_content")
    assert answer.json["missing"] == [sha256(b"one-a"), sha256(b"one-b")]
    for content in (b"one-a", b"one-b"):
        house.ok("PUT", f"/api/v1/blobs/{sha256(content)}", body=content)
    digest = house.ok("POST", "/api/v1/trees", tree)["digest"]
    assert house.ok("POST", "/api/v1/trees", tree)["digest"] == digest
    shown = house.ok("GET", f"/api/v1/trees/{digest}")
    assert [entry["path"] for entry in shown["entries"]] == ["a", "b"]
    assert house.ask("GET", "/api/v1/trees/" + "0" * 64).status == 404


def test_tree_with_a_wrong_size_or_path_is_refused(house: House) -> None:
    digest = sha256(b"sized")
    house.ok("PUT", f"/api/v1/blobs/{digest}", body=b"sized")
    answer = house.ask("POST", "/api/v1/trees", {"entries": [{"path": "a", "digest": digest, "size": 4}]})
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/entries/0/size")
    for path in ("../a", "/a", "a/../b", "", "a\\b", "%2e%2e/b"):
        entry = {"path": path, "digest": digest, "size": 5}
        answer = house.ask("POST", "/api/v1/trees", {"entries": [entry]})
        assert (answer.status, answer.json["code"]) == (400, "invalid_path"), path


def test_job_token_brings_content_but_does_not_read_it(house: House) -> None:
    _, token = house.begin(house.submit(name="uploader"))
    content = b"from a job"
    digest = sha256(content)
    assert house.ask("PUT", f"/api/v1/blobs/{digest}", body=content, token=token).status == 201
    assert house.ask("POST", "/api/v1/blobs:missing", {"digests": [digest]}, token=token).json == {"missing": []}
    assert house.ask("GET", f"/api/v1/blobs/{digest}", token=token).status == 403
    assert house.ask("GET", "/api/v1/trees/" + "0" * 64, token=token).status == 403
    assert house.ask("GET", f"/api/v1/blobs/{digest}", token=house.internal_token).status == 200
    assert house.ask("PUT", f"/api/v1/blobs/{digest}", body=content, token=house.internal_token).status == 403
