from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.entities.errors import InvalidPathError, UsageError
from penstock.sdk import upload
from penstock.sdk.files import fetch
from penstock.sdk.upload import HttpUploader


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("a")
    (tmp_path / "in" / "b.sh").write_text("b")
    (tmp_path / "in" / "b.sh").chmod(0o755)
    (tmp_path / "in" / "deep" / "c ü.bin").write_bytes(os.urandom(1000))
    return tmp_path / "in"


def read_blob(ws, digest: str) -> bytes:
    return bytes(ws.rest.http.request("GET", f"/api/v1/blobs/{digest}").read())


def test_folder_arrives_as_it_is(ws, folder: Path) -> None:
    reference = HttpUploader(ws.rest).upload_tree(folder)
    tree = ws.rest.get_tree(reference.removeprefix("tree:"))
    assert [(e["path"], e["executable"]) for e in tree["entries"]] == [
        ("a.txt", False),
        ("b.sh", True),
        ("deep/c ü.bin", False),
    ]
    for entry in tree["entries"]:
        assert read_blob(ws, entry["digest"]) == (folder / entry["path"]).read_bytes()
    assert HttpUploader(ws.rest).upload_tree(folder) == reference


def test_chosen_files_and_single_files(ws, folder: Path) -> None:
    some = ws.rest.get_tree(HttpUploader(ws.rest).upload_tree(folder, ["a.txt"]).removeprefix("tree:"))
    assert [entry["path"] for entry in some["entries"]] == ["a.txt"]
    assert not some["is_file"]
    one = ws.rest.get_tree(HttpUploader(ws.rest).upload_tree(folder / "a.txt").removeprefix("tree:"))
    assert [entry["path"] for entry in one["entries"]] == ["a.txt"]
    assert one["is_file"]


def test_large_file_goes_in_pieces(ws, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(upload, "RESUMABLE_FROM_BYTES", 1000)
    monkeypatch.setattr(upload, "PIECE_BYTES", 300)
    content = os.urandom(1000)
    (tmp_path / "large.bin").write_bytes(content)
    said: list[str] = []
    reference = HttpUploader(ws.rest, say=said.append).upload_tree(tmp_path / "large.bin")
    [entry] = ws.rest.get_tree(reference.removeprefix("tree:"))["entries"]
    assert read_blob(ws, entry["digest"]) == content
    assert len(said) == 1


def test_piece_that_was_sent_twice_does_no_harm(ws) -> None:
    uploader = HttpUploader(ws.rest)
    path = "/api/v1/uploads/" + ws.rest.http.post("/api/v1/uploads")["upload"]
    assert uploader._send_piece(path, 0, b"abc") == 3
    assert uploader._send_piece(path, 0, b"abc") == 3
    assert uploader._send_piece(path, 3, b"de") == 5


def test_what_is_not_there_cannot_be_sent(ws, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file or folder"):
        HttpUploader(ws.rest).upload_tree(tmp_path / "nosuch")


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil"])
def test_download_never_leaves_its_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidPathError):
        fetch({path: 1}, tmp_path, lambda name, digest: pytest.fail("nothing may be opened"))
