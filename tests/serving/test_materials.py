from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from penstock.entities.errors import InternalError, InvalidPathError
from penstock.serving.desired import Desired, DesiredDeployment, FileEntry, load_desired, save_desired
from penstock.serving.materials import Materials


@pytest.fixture
def materials(tmp_path: Path) -> Materials:
    (tmp_path / "blobs").mkdir()
    return Materials(tmp_path / "run" / "serving", tmp_path / "blobs")


@pytest.fixture
def put(tmp_path: Path):
    def store(path: str, content: bytes, *, executable: bool = False) -> FileEntry:
        digest = hashlib.sha256(content).hexdigest()
        blob = tmp_path / "blobs" / digest[:2] / digest
        blob.parent.mkdir(exist_ok=True)
        blob.write_bytes(content)
        blob.chmod(0o444)
        return FileEntry(path, digest, len(content), executable)

    return store


def test_our_own_runtime_shares_the_blob_and_a_script_gets_a_copy(materials, put):
    entries = [put("a/model.onnx", b"weights")]
    shared = materials.model_path(DesiredDeployment("blue", 1, model_tree=entries, model_name="net"))
    assert shared.name == "net"
    assert (shared / "a" / "model.onnx").stat().st_nlink == 2
    script = DesiredDeployment("blue", 1, model_tree=entries, model_name="net", code=[], scoring_script="score.py")
    copied = materials.model_folder(script) / "net" / "a" / "model.onnx"
    assert copied.read_bytes() == b"weights"
    assert copied.stat().st_nlink == 1
    assert os.access(copied, os.W_OK)


def test_code_keeps_its_modes(materials, put):
    entries = [put("score.py", b"print()"), put("bin/tool", b"#!/bin/sh", executable=True)]
    folder = materials.code_folder(DesiredDeployment("blue", 1, code=entries, scoring_script="score.py"))
    assert (folder / "bin" / "tool").stat().st_mode & 0o777 == 0o755
    assert (folder / "score.py").stat().st_mode & 0o777 == 0o644


def test_a_single_file_lies_in_the_folder_itself(materials, put):
    deployment = DesiredDeployment("blue", 1, model_tree=[put("net.onnx", b"1")], model_name="net.onnx", is_file=True)
    assert materials.model_path(deployment) == materials.model_folder(deployment) / "net.onnx"


@pytest.mark.parametrize("path", ["../up", "/abs", "a/../../b", "a\0b", ""])
def test_no_path_leaves_its_folder(materials, put, tmp_path, path):
    with pytest.raises(InvalidPathError):
        materials.model_folder(DesiredDeployment("blue", 1, model_tree=[put(path, b"x")]))
    assert list((tmp_path / "run" / "serving").iterdir()) == []


def test_missing_content_leaves_nothing_half_made(materials, put, tmp_path):
    entries = [put("there", b"x"), FileEntry("gone", "0" * 64)]
    with pytest.raises(InternalError, match="gone is not in the blob store"):
        materials.model_folder(DesiredDeployment("blue", 1, model_tree=entries))
    assert list((tmp_path / "run" / "serving").iterdir()) == []


def test_two_at_once_make_one_folder(materials, put):
    deployment = DesiredDeployment("blue", 1, model_tree=[put(f"f{n}", b"%d" % n) for n in range(50)])
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(materials.model_folder(deployment))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(list((found[0] / "model").iterdir())) == 50


def test_what_nobody_needs_is_removed(materials, put):
    old = DesiredDeployment("blue", 1, model_tree=[put("f", b"old")])
    new = DesiredDeployment("blue", 2, model_tree=[put("f", b"new")])
    folders = [materials.model_folder(old), materials.model_folder(new)]
    materials.remove_unused(lambda: [new])
    assert [folder.exists() for folder in folders] == [False, True]


def test_the_copy_of_what_is_wanted_survives_damage(tmp_path):
    path = tmp_path / "serving.json"
    assert load_desired(path) is None
    save_desired(path, Desired(revision=3))
    assert load_desired(path) == Desired(revision=3)
    path.write_text('{"revision": ')
    assert load_desired(path) is None


def test_the_fingerprint_is_of_what_a_replica_is_started_with():
    base = DesiredDeployment("blue", 1, model_ref="azureml:m:1")
    assert base.fingerprint == DesiredDeployment("blue", 2, model_ref="azureml:m:1", instance_count=3).fingerprint
    for changed in (
        DesiredDeployment("blue", 1, model_ref="azureml:m:2"),
        DesiredDeployment("blue", 1, model_ref="azureml:m:1", environment_variables={"A": "1"}),
        DesiredDeployment("blue", 1, model_ref="azureml:m:1", preprocessing={"mode": "L"}),
        DesiredDeployment("blue", 1, model_ref="azureml:m:1", scoring_script="score.py"),
    ):
        assert changed.fingerprint != base.fingerprint
