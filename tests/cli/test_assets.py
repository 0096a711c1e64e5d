from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(b"w")
    return tmp_path


def test_model_from_options_and_from_a_file(lab, folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    first = lab("model", "create", "-n", "tiny", "-p", "model", "-d", "a tiny one", "-o", "json").data
    assert (first["name"], first["version"], first["description"]) == ("tiny", "1", "a tiny one")
    (folder / "deep").mkdir()
    (folder / "deep" / "model.yml").write_text("name: tiny\npath: ../model\ntags:\n  from: file\n")
    second = lab("model", "create", "-f", folder / "deep" / "model.yml", "--set", "tags.by=cli", "-o", "json").data
    assert second["version"] == "2"
    assert second["tags"] == {"from": "file", "by": "cli"}
    assert second["tree"] == first["tree"]
    assert lab("model", "show", "-n", "tiny", "--query", "version", "-o", "tsv").out == "2\n"
    assert lab("model", "show", "-n", "tiny", "-l", "latest", "--query", "version", "-o", "tsv").out == "2\n"
    assert "version:      1" in lab("model", "show", "-n", "tiny", "-v", "1").out
    assert [v["version"] for v in lab("model", "list", "-n", "tiny", "-o", "json").data] == ["2", "1"]
    assert lab("model", "list").out.startswith("NAME")
    assert lab("model", "download", "-n", "tiny", "-p", folder / "back").status == 0
    assert (folder / "back" / "weights.bin").read_bytes() == b"w"


def test_versions_are_archived_restored_and_deleted(lab, folder: Path) -> None:
    assert lab("model", "create", "-n", "gone", "-p", folder / "model").status == 0
    assert lab("model", "archive", "-n", "gone", "-v", "1", "-o", "json").data["is_archived"]
    assert not lab("model", "restore", "-n", "gone", "-v", "1", "-o", "json").data["is_archived"]
    refused = lab("model", "delete", "-n", "gone", "-v", "1")
    assert refused.status == 2
    assert "--yes" in refused.err
    assert lab("model", "delete", "-n", "gone", "-v", "1", "--yes").status == 0
    assert "penstock model restore -n gone -v 1" in lab("model", "show", "-n", "gone", "-v", "1").err
    assert lab("model", "restore", "-n", "gone", "-v", "1").status == 0
    assert lab("model", "show", "-n", "gone", "-v", "1").status == 0


def test_data_of_a_file_is_a_file(lab, folder: Path) -> None:
    done = lab("data", "create", "-n", "weights", "-p", folder / "model" / "weights.bin", "-v", "may", "-o", "json")
    assert done.data["type"] == "uri_file"
    assert lab("data", "create", "-n", "weights", "-p", folder / "model" / "weights.bin", "-v", "may").status == 4


def test_environment_from_a_conda_file(lab, folder: Path, monkeypatch) -> None:
    (folder / "conda.yml").write_text("dependencies:\n  - python=3.11\n")
    monkeypatch.chdir(folder)
    done = lab("environment", "create", "-n", "plain", "-c", "conda.yml", "-o", "json")
    assert done.data["definition"]["conda_file"] == {"dependencies": ["python=3.11"]}
    (folder / "env.yml").write_text("name: filed\nconda_file: conda.yml\n")
    assert lab("environment", "create", "-f", "env.yml").status == 0
    assert "filed" in lab("environment", "list").out


def test_what_has_no_effect_is_said(lab, folder: Path) -> None:
    done = lab("model", "create", "-n", "staged", "-p", folder / "model", "--set", "stage=Production")
    assert "warning: ignored here: stage" in done.err.splitlines()
    assert "warning: ignored here: image; there is no" in lab("environment", "create", "-n", "pic", "-i", "x:1").err


def test_what_cannot_be_meant_is_said(lab, folder: Path) -> None:
    assert lab("model", "create").status == 2
    assert lab("model", "create", "-n", "a b", "-p", folder / "model").status == 2
    missing = lab("model", "create", "-n", "x", "-p", folder / "modle")
    assert missing.status == 2
    assert "model" in missing.err
    assert lab("model", "show", "-n", "x", "-v", "1", "-l", "latest").status == 2


def test_compute_is_listed_and_shown(lab) -> None:
    assert "local" in lab("compute", "list").out
    assert lab("compute", "show", "-n", "local", "-o", "json").data["slots"] >= 1
    assert lab("compute", "show", "-n", "gpu").status == 3


def test_model_is_marked_and_described(lab, folder: Path) -> None:
    for _ in range(2):
        assert lab("model", "create", "-n", "marked", "-p", folder / "model").status == 0
    done = lab(
        "model", "update", "-n", "marked", "-v", "1", "--alias", "champion", "--stage", "production", "-o", "json"
    )
    assert (done.data["aliases"], done.data["stage"]) == (["champion"], "Production")
    assert lab("model", "show", "-n", "marked", "-v", "@champion", "--query", "version", "-o", "tsv").out == "1\n"
    assert lab("model", "show", "-n", "marked", "-l", "champion", "--query", "version", "-o", "tsv").out == "1\n"
    update = ("model", "update", "-n", "marked", "-v", "@champion")
    done = lab(*update, "--set", "tags.owner=ann=me", "-d", "The first", "-o", "json")
    assert (done.data["tags"], done.data["description"]) == ({"owner": "ann=me"}, "The first")
    done = lab(*update, "--remove", "tags.owner", "--remove", "description", "--remove-alias", "champion", "-o", "json")
    assert (done.data["tags"], done.data.get("description"), done.data["aliases"]) == ({}, None, [])
    listed = lab("model", "list", "-n", "marked").out
    assert "ALIASES" in listed
    assert "Production" in listed


def test_what_a_version_holds_is_not_changed(lab, folder: Path) -> None:
    assert lab("model", "create", "-n", "fixed", "-p", folder / "model").status == 0
    update = ("model", "update", "-n", "fixed", "-v", "1")
    assert lab(*update).status == 2
    refused = lab(*update, "--set", "path=elsewhere")
    assert refused.status == 2
    assert "register a new version" in refused.err
    refused = lab(*update, "--alias", "latest")
    assert refused.status == 2
    assert "reserved" in refused.err
    assert lab("data", "create", "-n", "fixed", "-p", folder / "model").status == 0
    assert lab("data", "update", "-n", "fixed", "-v", "1", "--set", "tags.a=b", "-o", "json").data["tags"] == {"a": "b"}


def test_model_is_registered_from_an_alias(lab, folder: Path) -> None:
    assert lab("model", "create", "-n", "origin", "-p", folder / "model").status == 0
    assert lab("model", "update", "-n", "origin", "-v", "1", "--alias", "best").status == 0
    copied = lab("model", "create", "-n", "copy", "-p", "azureml:origin@best", "-o", "json").data
    assert copied["source_path"] == "azureml:origin:1"
    again = lab("model", "create", "-n", "copy", "-p", "models:/origin@best", "-o", "json").data
    assert copied["tree"] == again["tree"] == lab("model", "show", "-n", "origin", "-o", "json").data["tree"]


def test_an_update_of_nothing_names_every_option(lab) -> None:
    said = lab("model", "update", "-n", "d", "-v", "3").err
    assert all(option in said for option in ("--set tags.KEY=VALUE", "--description", "--alias", "--stage"))
    assert "--alias" not in lab("data", "update", "-n", "d", "-v", "3").err
