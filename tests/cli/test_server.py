from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from penstock.home import Home
from penstock.sdk.launch import find_server

PENSTOCK = [sys.executable, "-m", "penstock.cli"]


def test_server_goes_up_and_down(cli, tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    up = cli("up", "--background", "-w", folder)
    assert up.status == 0
    assert up.out.startswith("http://127.0.0.1:")
    created, started = up.err.splitlines()
    assert created == f"Created workspace {folder}"
    assert started.startswith("Started a server")
    assert cli("up", "--background", "-w", folder).out == up.out
    second = cli("up", "-w", folder)
    assert (second.status, second.out) == (0, up.out)
    assert "already" in second.err
    status = cli("status", "-w", folder, "-o", "json").data
    assert status["status"] == "running"
    assert status["url"] == up.out.strip()
    assert status["unfinished_jobs"] == 0

    (tmp_path / "job.yml").write_text("name: lasting\ncommand: sleep 600\n")
    assert cli("job", "create", "-f", tmp_path / "job.yml", "-w", folder).status == 0
    down = cli("down", "-w", folder)
    assert down.status == 0
    assert "1 unfinished job goes on" in down.err
    assert find_server(Home(folder)) is None
    assert "No server runs" in cli("down", "-w", folder).err
    after = cli("status", "-w", folder)
    assert after.status == 5
    assert "not running" in after.out
    assert cli("token", "-w", folder).out.strip() == Home(folder).read_token()
    assert find_server(Home(folder)) is None
    shown = cli("job", "show", "-n", "lasting", "-w", folder, "--query", "status", "-o", "tsv")
    assert shown.out.strip() in {"Queued", "Preparing", "Starting", "Running"}
    ended = cli("down", "--cancel-jobs", "-w", folder)
    assert ended.status == 0
    assert "Job lasting: Canceled" in ended.err


def test_foreground_server_says_where_it_is_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    words = [*PENSTOCK, "up", "-w", str(tmp_path / "lab")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        lines = [server.stderr.readline() for _ in range(6)]
        home = Home(tmp_path / "lab")
        record = find_server(home)
        assert record is not None
        assert record.pid == server.pid
        assert lines[0] == f"Created workspace {home.root}\n"
        assert record.url in lines[2]
        [(header, url)] = re.findall(r'  its API  curl -H "(.*)" (http://\S+)\n', lines[4])
        assert header == f"Authorization: Bearer $(penstock token -w {home.root})"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {home.read_token()}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["openapi"]
        server.send_signal(signal.SIGINT)
        rest = server.stderr.read()
    assert server.returncode == 0
    assert "Traceback" not in rest
    assert find_server(Home(tmp_path / "lab")) is None


def test_token_and_exports_fit_the_server(lab, workspace_folder: Path) -> None:
    token = lab("token").out.strip()
    assert token == Home(workspace_folder).read_token()
    exports = dict(line.removeprefix("export ").split("=", 1) for line in lab("env").out.splitlines())
    assert exports["MLFLOW_TRACKING_TOKEN"] == exports["PENSTOCK_TOKEN"] == token
    assert exports["MLFLOW_TRACKING_URI"] == exports["PENSTOCK_WORKSPACE"]


def test_exports_are_a_workspace_for_another_shell(lab, cli, monkeypatch) -> None:
    for line in lab("env").out.splitlines():
        monkeypatch.setenv(*line.removeprefix("export ").split("=", 1))
    assert cli("compute", "list").status == 0
    assert cli("status", "-o", "json").data["status"] == "running"
    assert cli("down").status == 2
    monkeypatch.setenv("PENSTOCK_TOKEN", "pst_wrong")
    refused = cli("compute", "list")
    assert refused.status == 4
    assert "penstock token" in refused.err


def test_unreachable_server_is_exit_status_5(cli) -> None:
    assert cli("job", "list", "-w", "http://127.0.0.1:9").status == 5


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_folder_that_cannot_be_one_is_exit_status_2(cli, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    done = cli("up", "-b", "-w", tmp_path / place)
    assert done.status == 2
    assert done.err.startswith("error: ")
    assert "Created" not in done.err


READING = [
    ["status"],
    ["down"],
    ["token"],
    ["env"],
    ["job", "list"],
    ["job", "show", "-n", "abcdef"],
    ["model", "list"],
    ["model", "delete", "-n", "m", "-v", "1", "--yes"],
    ["online-endpoint", "list"],
    ["online-deployment", "get-logs", "-n", "blue", "-e", "digits"],
    ["experiment", "list"],
    ["compute", "list"],
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_reading_makes_no_workspace(cli, tmp_path: Path, monkeypatch, words: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli(*words)
    assert done.status == 3
    assert f"no workspace here; looked upwards from {tmp_path}" in done.err
    assert "penstock up" in done.err
    named = cli(*words, "-w", "typo")
    assert named.status == 3
    assert f"penstock up -w {tmp_path / 'typo'}" in named.err
    assert list(tmp_path.iterdir()) == []


def test_creating_makes_a_workspace_but_not_for_a_file_that_is_missing(cli, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("job", "create", "-f", "job.yml").status == 2
    assert list(tmp_path.iterdir()) == []
    made = cli("online-endpoint", "create", "-n", "digits")
    assert made.status == 0
    assert made.err.splitlines()[0] == "Created workspace .penstock"
    assert cli("down").status == 0


def test_configured_folder_without_a_start_has_no_token_yet(cli, tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").touch()
    done = cli("token", "-w", tmp_path)
    assert done.status == 3
    assert "no token yet" in done.err
    assert [item.name for item in tmp_path.iterdir()] == ["penstock.toml"]


def test_status_is_a_table_for_people(lab) -> None:
    keys = [line.partition(":")[0] for line in lab("status").out.splitlines()]
    assert keys[:3] == ["workspace", "status", "url"]
    assert {"gateway url", "unfinished jobs"} <= set(keys)


def test_down_does_not_wait_for_ever_for_a_job_that_does_not_end(cli, tmp_path: Path, monkeypatch) -> None:
    folder, said = tmp_path / "lab", tmp_path / "agent"
    (tmp_path / "job.yml").write_text(f"name: stuck-one\ncommand: echo $PPID > {said}; echo up; exec sleep 600\n")
    with subprocess.Popen(
        [*PENSTOCK, "job", "create", "-f", str(tmp_path / "job.yml"), "--stream", "-w", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as streaming:
        assert streaming.stdout is not None
        assert streaming.stdout.readline() == "up\n"
        streaming.kill()
    agent = int(said.read_text())
    os.kill(agent, signal.SIGSTOP)
    try:
        monkeypatch.setattr("penstock.cli.server.CANCEL_TIMEOUT_S", 0.3)
        done = cli("down", "--cancel-jobs", "-w", folder)
        assert done.status == 0
        assert "after they were canceled: stuck-one" in done.err
        assert find_server(Home(folder)) is None
    finally:
        os.kill(agent, signal.SIGCONT)
    monkeypatch.undo()
    assert cli("up", "-b", "-w", folder).status == 0
    assert cli("job", "stream", "-n", "stuck-one", "-w", folder).status == 1
    assert cli("down", "-w", folder).status == 0


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a folder whose files have the names of modules the server imports."""
    folder = tmp_path / "project"
    (folder / "penstock").mkdir(parents=True)
    for name in ("uuid.py", "penstock/__init__.py", "sitecustomize.py"):
        (folder / name).write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r})\nraise SystemExit(9)\n")
    return folder


def test_nothing_is_imported_from_the_current_folder(project: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("penstock")
    home = Home(project / ".penstock")
    with subprocess.Popen([program, "up"], cwd=project, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        said = server.stderr.readline()
        record = find_server(home)
        assert record is not None, said + server.stderr.read()
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        assert {Path(f"/proc/{pid}/cwd").resolve() for pid in (server.pid, *children)} == {home.root}
        server.send_signal(signal.SIGINT)
        server.stderr.read()
    done = subprocess.run([program, "job", "list"], cwd=project, capture_output=True, text=True)
    try:
        assert done.returncode == 0, done.stderr
        assert "Started a server" in done.stderr
    finally:
        subprocess.run([program, "down"], cwd=project, check=True, capture_output=True)
    assert not (tmp_path / "imported").exists()


def test_server_without_its_record_is_found_and_stopped(cli, tmp_path: Path) -> None:
    home = Home(tmp_path / "lab")
    assert cli("up", "--background", "-w", home.root).status == 0
    record = find_server(home)
    for text in ("{", None):
        home.server_record.unlink()
        if text is not None:
            home.server_record.write_text(text)
        assert find_server(home) == record
        assert cli("status", "-w", home.root, "-o", "json").data["status"] == "running"
    home.server_record.write_text("{")
    assert cli("down", "-w", home.root).status == 0
    assert find_server(home) is None


def test_server_that_does_not_answer_can_be_stopped(cli, tmp_path: Path) -> None:
    home = Home(tmp_path / "lab")
    assert cli("up", "--background", "-w", home.root).status == 0
    home.token_file.unlink()
    assert cli("down", "--cancel-jobs", "-w", home.root).status == 4
    done = cli("down", "-w", home.root)
    assert done.status == 0
    assert "does not say" in done.err
    assert find_server(home) is None
