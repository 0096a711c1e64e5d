from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Cli

from penstock.home import Home


def test_the_group_alone_prints_the_workspace_s_token(lab: Cli, cli: Cli, workspace_folder: Path) -> None:
    own = Home(workspace_folder).read_token()
    assert lab("token").out == f"{own}\n"
    assert cli("token", "-w", workspace_folder).out == f"{own}\n"


def test_the_group_alone_starts_nothing(cli: Cli, tmp_path: Path) -> None:
    done = cli("token", "-w", tmp_path / "nothing")
    assert (done.status, done.out) == (3, "")
    assert "there is no workspace" in done.err


def test_a_secret_is_printed_alone_and_once(lab: Cli) -> None:
    done = lab("token", "create", "--name", "alone", "--role", "reader", "--expires", "90d")
    secret = done.out.strip()
    assert secret.startswith("pst_")
    assert done.out.count("\n") == 1
    assert "It is not shown again." in done.err
    assert secret not in done.err
    for arguments in (("token", "list", "--all", "-o", "json"), ("audit", "list", "-o", "json")):
        assert secret not in lab(*arguments).out
    lab("token", "revoke", "alone")


def test_a_token_is_made_listed_used_and_revoked(
    lab: Cli, cli: Cli, workspace_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lab("token", "create", "--name", "bob", "--role", "reader", "-o", "json").data
    (listed,) = [token for token in lab("token", "list", "-o", "json").data if token["name"] == "bob"]
    assert (listed["id"], listed["role"], listed["state"]) == (made["id"], "reader", "live")
    url = lab("status", "-o", "json").data["url"]
    monkeypatch.setenv("PENSTOCK_TOKEN", made["secret"])
    monkeypatch.setenv("PENSTOCK_WORKSPACE", url)
    assert cli("token", "whoami", "-o", "json").data["actor"] == "bob"
    assert cli("job", "list").status == 0
    refused = cli("token", "create", "--name", "eve", "--role", "admin")
    assert refused.status == 4
    assert "It needs the role admin. Ask" in refused.err
    assert cli("audit", "verify").status == 4
    monkeypatch.delenv("PENSTOCK_TOKEN")
    monkeypatch.setenv("PENSTOCK_WORKSPACE", str(workspace_folder))
    assert lab("token", "revoke", made["id"]).status == 0
    monkeypatch.setenv("PENSTOCK_TOKEN", made["secret"])
    monkeypatch.setenv("PENSTOCK_WORKSPACE", url)
    assert cli("token", "whoami").status == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--role", "owner"), "owner"),
        (("--role", "reader", "--expires", "soon"), "90d"),
        (("--role", "reader", "--expires", "2020-01-01T00:00:00Z"), "past"),
        (("--role", "reader", "--expires", "2020-01-01"), "expires lies in the past: 2020-01-02 00:00 UTC"),
        (("--role", "reader", "--expires", "2020-13-01"), "90d"),
    ],
)
def test_what_cannot_be_meant_is_usage(lab: Cli, arguments: tuple[str, ...], said: str) -> None:
    done = lab("token", "create", "--name", "wrong", *arguments)
    assert done.status == 2
    assert said in done.err


def test_an_experiment_is_shown_by_its_name(
    lab: Cli, cli: Cli, workspace_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = lab("status", "-o", "json").data["url"]
    lab("experiment", "create", "course")
    words = ("token", "create", "--name", "student", "--role", "contributor", "--experiment", "course")
    secret = lab(*words, "--query", "secret", "-o", "tsv").out.strip()
    assert secret.startswith("pst_")
    (row,) = [line for line in lab("token", "list").out.splitlines() if line.startswith("student ")]
    assert " course " in row
    monkeypatch.setenv("PENSTOCK_TOKEN", secret)
    monkeypatch.setenv("PENSTOCK_WORKSPACE", url)
    assert ["experiment:", "course"] in [line.split() for line in cli("token", "whoami").out.splitlines()]


def test_revoking_what_is_not_there_is_not_found(lab: Cli) -> None:
    assert lab("token", "revoke", "nobody").status == 3


def test_the_log_is_listed_verified_and_exported(lab: Cli, tmp_path: Path) -> None:
    lab("token", "create", "--name", "logged", "--role", "reader")
    lab("token", "revoke", "logged")
    newest = lab("audit", "list", "-r", "2", "-o", "json").data
    assert [event["verb"] for event in newest] == ["create", "revoke"]
    assert newest[0]["ref"] == newest[1]["ref"]
    of_it = lab("audit", "list", "--ref", newest[0]["ref"], "--verb", "revoke", "--since", "1h", "-o", "json").data
    assert [event["seq"] for event in of_it] == [newest[1]["seq"]]
    assert lab("audit", "list", "--until", "1h", "-o", "json").data == []
    assert lab("audit", "list").out.startswith("SEQ")
    found = lab("audit", "verify", "-o", "json")
    assert (found.status, found.data["intact"], found.data["findings"]) == (0, True, [])
    assert lab("audit", "verify", "--expect", found.data["head"]).status == 0
    forged = f"{found.data['seq']}:{'0' * 64}"
    wrong = lab("audit", "verify", "--expect", forged)
    assert wrong.status == 1
    assert f"Entry {found.data['seq']} is not the one that was noted" in wrong.err
    assert lab("audit", "verify", "--expect", "1:x").status == 2
    file = tmp_path / "events.jsonl"
    assert lab("audit", "export", "-f", file).err.startswith(f"{file}: ")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]
    nowhere = lab("audit", "export", "-f", tmp_path / "nowhere" / "events.jsonl")
    assert nowhere.status == 2
    assert "there is no folder" in nowhere.err


def test_an_unmeant_follow_is_usage(lab: Cli) -> None:
    assert lab("audit", "list", "--follow", "--until", "1h").status == 2
    assert lab("audit", "list", "--since", "yesterday").status == 2
