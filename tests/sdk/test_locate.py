from __future__ import annotations

from pathlib import Path

import pytest

from penstock.entities.errors import NotFoundError, UsageError
from penstock.home import Home
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


def make_workspace(folder: Path) -> Path:
    (folder / "secrets").mkdir(parents=True)
    (folder / "secrets" / "token").touch()
    return folder


def test_default_folder_is_new_until_it_is_made(tmp_path: Path) -> None:
    first = locate_workspace(environment={}, folder=tmp_path)
    assert first.home is not None
    assert first.home.root == tmp_path / ".penstock"
    assert first.is_new
    first.home.root.mkdir()
    assert locate_workspace(environment={}, folder=tmp_path).is_new
    make_workspace(first.home.root)
    assert not locate_workspace(environment={}, folder=tmp_path).is_new


def test_default_folder_is_found_from_below_and_the_nearest_wins(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b" / "c"
    below.mkdir(parents=True)
    outer = make_workspace(tmp_path / ".penstock")
    assert locate_workspace(environment={}, folder=below).home == Home(outer)
    assert locate_workspace(environment={}, folder=outer / "secrets").home == Home(outer)
    (tmp_path / "a" / "penstock.toml").touch()
    assert locate_workspace(environment={}, folder=below).home == Home(tmp_path / "a")
    inner = make_workspace(tmp_path / "a" / "b" / ".penstock")
    assert locate_workspace(environment={}, folder=below).home == Home(inner)


def test_what_must_be_there_and_is_not_is_said_with_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no workspace here; looked upwards from") as caught:
        locate_workspace(environment={}, folder=tmp_path).must_exist()
    assert str(tmp_path) in caught.value.message
    assert "penstock up" in caught.value.hint
    with pytest.raises(NotFoundError, match="no workspace in") as caught:
        locate_workspace(tmp_path / "typo").must_exist()
    assert caught.value.hint.endswith(f"penstock up -w {tmp_path / 'typo'}")
    made = make_workspace(tmp_path / "lab")
    assert locate_workspace(made).must_exist().home == Home(made)
    assert locate_workspace("http://h:1").must_exist().url == "http://h:1"


def test_file_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="is a file"):
        locate_workspace(tmp_path / "notes.txt")


def test_a_named_folder_that_holds_a_workspace_means_that(tmp_path: Path) -> None:
    inside = make_workspace(tmp_path / ".penstock")
    assert locate_workspace(tmp_path).home == Home(inside)
    assert locate_workspace(".", folder=tmp_path).home == Home(inside)
    assert locate_workspace(environment={"PENSTOCK_WORKSPACE": str(tmp_path)}, folder=tmp_path).home == Home(inside)
    (tmp_path / "penstock.toml").touch()
    assert locate_workspace(tmp_path).home == Home(tmp_path)


def test_a_missing_workspace_names_the_one_around(tmp_path: Path) -> None:
    inside = make_workspace(tmp_path / ".penstock")
    (tmp_path / "notebooks").mkdir()
    with pytest.raises(NotFoundError) as caught:
        locate_workspace(tmp_path / "notebooks").must_exist()
    assert str(inside) in caught.value.hint
