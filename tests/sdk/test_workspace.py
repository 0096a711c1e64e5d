from __future__ import annotations

from pathlib import Path

import pytest

import penstock
from penstock import Workspace
from penstock.entities.errors import AuthenticationError, NotFoundError, UnavailableError, UsageError
from penstock.home import Home
from penstock.sdk.launch import find_server, stop_server


def test_every_public_name_can_be_had() -> None:
    for name in penstock.__all__:
        assert getattr(penstock, name) is not None
    assert set(penstock.__all__) <= set(dir(penstock))
    with pytest.raises(AttributeError, match="nosuch"):
        penstock.nosuch  # noqa: B018 - the access is the test


def test_address_and_token_reach_the_same_workspace(ws, workspace_folder: Path, monkeypatch) -> None:
    token = Home(workspace_folder).read_token()
    by_argument = Workspace(ws.url, token=token)
    assert by_argument.rest.features()["version"] == penstock.__version__
    monkeypatch.setenv("PENSTOCK_WORKSPACE", ws.url)
    monkeypatch.setenv("PENSTOCK_TOKEN", token or "")
    by_environment = Workspace.from_config()
    assert by_environment.rest.features()["version"] == penstock.__version__
    assert repr(by_environment) == f"Workspace('{ws.url}')"
    for workspace in (by_argument, by_environment):
        workspace.close()


def test_wrong_token_is_refused(ws) -> None:
    stranger = Workspace(ws.url, token="pst_wrong")
    with pytest.raises(AuthenticationError):
        stranger.rest.features()
    assert stranger.rest.health()["status"] == "ok"
    stranger.close()


def test_address_where_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be reached"):
        Workspace("http://127.0.0.1:9").rest.features()


def test_a_named_folder_is_made_a_workspace_and_found_from_below(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match="no workspace here"):
        Workspace.from_config()
    assert list(tmp_path.iterdir()) == []
    workspace = Workspace(".penstock", create=True)
    try:
        said = capsys.readouterr().err.splitlines()
        assert said[0] == "Created workspace .penstock"
        assert said[1].startswith("Started a server")
        (tmp_path / "notebooks").mkdir()
        monkeypatch.chdir(tmp_path / "notebooks")
        assert Workspace.from_config().url == workspace.url
        assert capsys.readouterr().err == ""
    finally:
        workspace.close()
        record = find_server(Home(tmp_path / ".penstock"))
        assert record is not None
        stop_server(record)


def test_a_folder_that_cannot_be_made_is_not_said_to_be_created(tmp_path: Path, capsys) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be used"):
        Workspace(tmp_path / "file" / "lab", create=True)
    assert capsys.readouterr().err == ""


def test_compute_targets_read_as_a_mapping(ws) -> None:
    assert list(ws.compute_targets) == ["local"]
    assert ws.compute_targets["local"].slots >= 1
    assert len(ws.compute_targets) == 1
    with pytest.raises(KeyError):
        ws.compute_targets["gpu"]
    with pytest.raises(NotFoundError, match="gpu"):
        ws.compute_targets.show("gpu")


def test_reading_makes_no_workspace_and_names_the_nearest(tmp_path: Path, capsys) -> None:
    (tmp_path / "lab" / "secrets").mkdir(parents=True)
    (tmp_path / "lab" / "secrets" / "token").touch()
    typo = Workspace(tmp_path / "labb")
    for ask in (lambda: typo.runs.get("0123456789"), lambda: list(typo.models.list()), lambda: typo.url):
        with pytest.raises(NotFoundError, match="no workspace in") as caught:
            ask()
        assert f'Did you mean "{tmp_path / "lab"}"?' in caught.value.hint
        assert "create=True" in caught.value.hint
    typo.close()
    assert not (tmp_path / "labb").exists()
    assert capsys.readouterr().err == ""


def test_what_creates_something_makes_the_workspace(tmp_path: Path, capsys) -> None:
    (tmp_path / "model").write_bytes(b"weights")
    workspace = Workspace(tmp_path / "lab")
    try:
        assert workspace.models.create("tiny", tmp_path / "model").version == "1"
        assert "Created workspace" in capsys.readouterr().err
        assert [model.name for model in workspace.models.list()] == ["tiny"]
    finally:
        workspace.close()
        record = find_server(Home(tmp_path / "lab"))
        assert record is not None
        stop_server(record)
