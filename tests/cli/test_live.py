"""What a terminal shows; run in a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from datetime import datetime
from pathlib import Path

import pytest

from penstock import Workspace

PENSTOCK = [sys.executable, "-m", "penstock.cli"]
COLUMNS = 60


def in_terminal(*arguments: object, folder: Path, columns: int = COLUMNS) -> tuple[int, str]:
    """Return exit status and what the terminal got."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "PENSTOCK_WORKSPACE": str(folder)}
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        environment.pop(name, None)
    words = [*PENSTOCK, *(str(argument) for argument in arguments)]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        received = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how a pseudo-terminal says that nobody holds its other end
                break
            received += piece
    os.close(ours)
    return process.returncode, received.decode().replace("\r\n", "\n")


def screen(text: str) -> list[str]:
    """Return the lines that are left on the screen: what was erased is gone."""
    return [line.rpartition("\x1b[2K")[2] for line in text.strip("\n").split("\n")]


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    return tmp_path / "job.yml"


def test_live_line_shows_metrics_and_leaves_only_the_log(lab, workspace_folder: Path, job_file: Path) -> None:
    script = "import penstock, time; penstock.log_metric('loss', 0.25, step=3); print('x' * 100); time.sleep(0.7)"
    job_file.write_text(f'command: {sys.executable} -c "{script}"\n')
    lab("up", "--background")
    status, text = in_terminal("job", "create", "-f", job_file, "--stream", folder=workspace_folder)
    assert status == 0
    assert "Running" in text
    assert "loss" in text
    assert "step 3" in text
    left = screen(text)
    assert left[0].startswith("Submitted")
    assert left[1:-1] == ["x" * 100]
    assert left[-1].startswith("Completed in")


def test_progress_bars_and_colours_pass_untouched(lab, workspace_folder: Path, job_file: Path) -> None:
    job_file.write_text("command: printf '\\r10%%'; printf '\\r20%%\\n\\033[31mred\\033[0m no end'\n")
    lab("up", "--background")
    status, text = in_terminal("job", "create", "-f", job_file, "--stream", folder=workspace_folder)
    assert status == 0
    assert "\r10%\r20%\n" in text
    assert "\x1b[31mred\x1b[0m no end\nCompleted" in text


def test_tables_are_coloured_on_a_terminal_only(lab, workspace_folder: Path, job_file: Path) -> None:
    job_file.write_text("command: 'true'\n")
    assert lab("job", "create", "-f", job_file, "--stream").status == 0
    _, text = in_terminal("job", "list", "--max-results", "1", folder=workspace_folder)
    assert "\x1b[32mCompleted\x1b[0m" in text
    assert "\x1b" not in lab("job", "list").out


def test_deletion_is_asked_for(lab, workspace_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    assert lab("model", "create", "-n", "asked", "-p", tmp_path / "f").status == 0
    words = [*PENSTOCK, "model", "delete", "-n", "asked", "-v", "1", "-w", str(workspace_folder)]
    for answer, status in ((b"n\n", 0), (b"y\n", 3)):
        ours, theirs = pty.openpty()
        os.write(ours, answer)
        done = subprocess.run(words, stdin=theirs, capture_output=True, text=True, check=True)
        os.close(ours)
        os.close(theirs)
        assert "Delete model asked:1?" in done.stderr
        assert done.stdout == ""
        assert lab("model", "show", "-n", "asked", "-v", "1").status == status


def test_a_finished_job_s_stream_says_how_long_it_ran(lab, job_file: Path) -> None:
    job_file.write_text("command: sleep 0.3\n")
    name = lab("job", "create", "-f", job_file, "--stream", "--query", "name", "-o", "tsv").out.strip().splitlines()[-1]
    job = lab("job", "show", "-n", name, "-o", "json").data
    seconds = (datetime.fromisoformat(job["ended_at"]) - datetime.fromisoformat(job["started_at"])).total_seconds()
    assert f"Completed in {seconds:.1f} s" in lab("job", "stream", "-n", name).err


@pytest.mark.parametrize("columns", [60, 80])
def test_lists_fit_a_narrow_terminal(lab, workspace_folder: Path, tmp_path: Path, columns: int) -> None:
    (tmp_path / "weights.bin").write_bytes(b"w")
    weights: tuple[object, ...] = ("-n", "narrow", "-p", tmp_path / "weights.bin", "-d", "Said at some length " * 5)
    assert lab("model", "create", *weights).status == 0
    ws = Workspace(workspace_folder, create=True)
    experiment = ws.experiments.create(f"narrow-{columns}").id
    body = {"experiment_id": experiment, "run_name": "a-rather-long-name-of-a-run", "start_time": 1_700_000_000_000}
    run_id = ws.rest.http.post("/api/2.0/mlflow/runs/create", body)["run"]["info"]["run_id"]
    listed = ["run", "list", "-e", f"narrow-{columns}"]
    status, text = in_terminal(*listed, folder=workspace_folder, columns=columns)
    assert status == 0
    head, row, *_ = plain(text).splitlines()
    assert row.split()[0] == run_id[:8]
    assert {"NAME", "STATUS", "STARTED"} <= set(head.split())
    assert len(row) <= columns
    assert lab("run", "show", row.split()[0], "--query", "run_id").data == run_id
    assert run_id in lab(*listed).out
    for words in (["audit", "list"], ["model", "list"], ["job", "list"]):
        _, text = in_terminal(*words, folder=workspace_folder, columns=columns)
        table = [line for line in plain(text).splitlines() if not line.startswith(("Left out", "There are also"))]
        assert table, words
        assert max(map(len, table)) <= columns


def test_one_run_is_shown_whole(workspace_folder: Path) -> None:
    ws = Workspace(workspace_folder, create=True)
    body = {"experiment_id": "0", "run_name": "wide", "start_time": 1}
    run_id = ws.rest.http.post("/api/2.0/mlflow/runs/create", body)["run"]["info"]["run_id"]
    params = [{"key": f"parameter_{number}", "value": str(number)} for number in range(20)]
    ws.rest.http.post("/api/2.0/mlflow/runs/log-batch", {"run_id": run_id, "params": params})
    _, text = in_terminal("run", "show", run_id[:8], folder=workspace_folder)
    assert all(f"parameter_{number}={number}" in text for number in range(20))


def test_a_download_shows_a_bar_that_goes_away(lab, workspace_folder: Path, tmp_path: Path) -> None:
    ws = Workspace(workspace_folder, create=True)
    body = {"experiment_id": "0", "run_name": "downloaded", "start_time": 1}
    run_id = ws.rest.http.post("/api/2.0/mlflow/runs/create", body)["run"]["info"]["run_id"]
    place = f"/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/w.bin"
    ws.rest.http.request("PUT", place, body=b"w" * 2_000_000).read()
    words = ("run", "download", run_id, "-d", tmp_path / "got")
    status, text = in_terminal(*words, folder=workspace_folder, columns=200)
    assert status == 0
    assert "of 2.0 MB" in text
    assert screen(text) == [f"1 file in {tmp_path / 'got'}"]
    empty = ws.rest.http.post("/api/2.0/mlflow/runs/create", body)["run"]["info"]["run_id"]
    assert lab("run", "download", empty, "-d", tmp_path / "none").err == "The run has no files.\n"
    assert not (tmp_path / "none").exists()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
