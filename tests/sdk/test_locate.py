from __future__ import annotations

from pathlib import Path

import pytest

from penstock.entities.errors import UsageError
from penstock.sdk.locate import locate_workspace


def test_what_is_named_wins_over_everything(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").touch()
    found = locate_workspace("lab", environment={"PENSTOCK_WORKSPACE": "/elsewhere"}, folder=tmp_path)
    assert found.home is not None
    assert found.home.root == tmp_path / "lab"


def test_address_is_an_address() -> None:
    assert locate_workspace("https://ml.example.org").url == "https://ml.example.org"
    assert locate_workspace(environment={"PENSTOCK_WORKSPACE": "http://h:1"}).url == "http://h:1"


def test_nearest_folder_upwards_with_a_configuration_is_found(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "penstock.toml").touch()
    (tmp_path / "a" / "penstock.toml").touch()
    found = locate_workspace(environment={}, folder=below)
    assert found.home is not None
    assert found.home.root == tmp_path / "a"
    assert not found.is_new


def test_configuration_file_itself_names_its_folder(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").touch()
    found = locate_workspace(tmp_path / "penstock.toml")
    assert found.home is not None
    assert found.home.root == tmp_path


def test_default_folder_is_new_only_once(tmp_path: Path) -> None:
    first = locate_workspace(environment={}, folder=tmp_path)
    assert first.home is not None
    assert first.home.root == tmp_path / ".penstock"
    assert first.is_new
    first.home.root.mkdir()
    assert not locate_workspace(environment={}, folder=tmp_path).is_new


def test_file_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="is a file"):
        locate_workspace(tmp_path / "notes.txt")
