"""``kill -9`` of an agent: noticed at once, its processes ended, what was logged kept, and the job tried again."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

SCRIPT = """
import os, pathlib, sys, time
import penstock

for step in range(50):
    penstock.log_metric("loss", 1.0, step=step)
penstock.log_text("kept", "kept.txt")
pathlib.Path("outputs/checkpoint.txt").write_text("half")
print("said", flush=True)
os.sync()
os.kill(os.getppid(), 9)  # the agent is this command's parent: bash runs a single command in its own place
time.sleep(600)
"""


def agent_of(lab, job: str) -> int:
    for file in (lab.folder / "spool").glob("*/assignment.json"):
        if json.loads(file.read_text())["job"] == job:
            return int(json.loads((file.parent / "agent.json").read_text())["pid"])
    pytest.fail(f"no agent has {job}")


def submit(lab, tmp_path: Path, command: str) -> str:
    spec = tmp_path / "job.yml"
    spec.write_text(json.dumps({"command": command, "experiment_name": "killed"}))
    return str(lab.run("job", "create", "-f", spec, "--query", "name", "-o", "tsv")).strip()


def test_the_only_job_of_a_quiet_server_is_tried_again(lab, tmp_path, wait_until):
    flags = tmp_path / "flags"
    flags.mkdir()
    job = submit(lab, tmp_path, f"echo $$ >> {flags}/pids; while [ ! -e {flags}/go ]; do sleep 0.05; done; echo end")
    wait_until((flags / "pids").exists, "the command's start")
    os.kill(agent_of(lab, job), signal.SIGKILL)
    wait_until(lambda: len((flags / "pids").read_text().split()) == 2, "the second attempt")
    first = int((flags / "pids").read_text().split()[0])
    wait_until(lambda: not Path(f"/proc/{first}").exists(), "the end of the first attempt's command")
    (flags / "go").touch()
    log = lab.run("job", "stream", "-n", job)
    shown = lab.read("job", "show", "-n", job)
    assert (shown["status"], shown["attempt"]) == ("Completed", 2)
    assert "Attempt 1 of 3" in log
    assert log.splitlines()[-1] == "end"


def test_what_a_lost_attempt_logged_and_left_is_kept(lab, tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "PENSTOCK_JOBS__MAX_ATTEMPTS", "1")
    (tmp_path / "train.py").write_text(SCRIPT)
    job = submit(lab, tmp_path, f"python {tmp_path}/train.py")
    log = lab.run("job", "stream", "-n", job, status=1)
    shown = lab.read("job", "show", "-n", job)
    assert (shown["status"], shown["error"]["code"]) == ("Failed", "AttemptsExhausted")
    assert "said" in log
    points = lab.read("job", "metrics", "-n", job)["metrics"]["loss"]
    assert [point["step"] for point in points] == list(range(50))
    files = {item["path"] for item in lab.read("job", "download", "-n", job, "--list")}
    assert {"kept.txt", "outputs/checkpoint.txt", "user_logs/std_log.txt"} <= files
    monkeypatch.undo()


def test_output_that_is_no_text_ends_like_any_other(lab, tmp_path):
    job = submit(lab, tmp_path, r"printf 'a\377\376b\n\303'; printf x > $'outputs/odd\377name'")
    lab.run("job", "stream", "-n", job)
    assert lab.read("job", "show", "-n", job)["status"] == "Completed"
    lab.run("job", "download", "-n", job, "-p", tmp_path / "files")
    assert (tmp_path / "files" / "user_logs" / "std_log.txt").read_bytes() == b"a\xff\xfeb\n\xc3"


def test_metrics_the_server_refuses_hold_nothing_up(lab, tmp_path):
    lines = [
        '{"t": 1, "metric": ["big", 1.0, 36893488147419103232]}',
        '{"t": 1, "metric": ["", 1.0, 1]}',
        '{"t": 1, "metric": ["ok", 1.0, 1]}',
        '{"t": 1, "param": ["long", "' + "y" * 9000 + '"]}',
        '{"t": 1, "metric": ["ok", 2.0, 2]}',
    ]
    (tmp_path / "lines").write_text("\n".join(lines) + "\n")
    job = submit(lab, tmp_path, f"cat {tmp_path}/lines >> $PENSTOCK_SPOOL/events.jsonl || true; ls -d $PENSTOCK_SPOOL")
    lab.run("job", "stream", "-n", job)
    assert lab.read("job", "show", "-n", job)["status"] == "Completed"
    metrics = lab.read("job", "metrics", "-n", job)["metrics"]
    assert [point["value"] for point in metrics["ok"]] == [1.0, 2.0]


def test_the_longest_name_and_a_job_that_cannot_start_stop_nobody(lab, tmp_path):
    long = "n" * 255
    spec = tmp_path / "job.yml"
    spec.write_text(json.dumps({"name": long, "command": "echo hello"}))
    assert "hello" in lab.run("job", "create", "-f", spec, "--stream")
    assert lab.read("job", "show", "-n", long)["status"] == "Completed"


def test_outputs_with_a_name_become_assets(lab, tmp_path):
    spec = tmp_path / "job.yml"
    outputs = {"model": {"type": "custom_model", "name": "made"}, "table": {"type": "uri_folder", "name": "rows"}}
    spec.write_text(
        json.dumps(
            {
                "command": "echo m > ${{outputs.model}}/m.bin; echo t > ${{outputs.table}}/t.csv",
                "outputs": outputs,
            }
        )
    )
    job = json.loads(lab.run("job", "create", "-f", spec, "--stream", "-o", "json"))
    model = lab.read("model", "show", "-n", "made")
    assert (model["version"], model["job_name"]) == ("1", job["name"])
    assert lab.read("data", "show", "-n", "rows")["version"] == "1"


def test_a_commands_files_are_as_open_as_the_users_own(lab, tmp_path):
    """The workspace is for its owner alone; what a command writes elsewhere follows the user's umask."""
    job = submit(lab, tmp_path, f"umask; touch {tmp_path}/made; env | grep PENSTOCK_UMASK || true")
    before = os.umask(0o027)
    try:
        lab.run("down")
        lab.run("up", "--background")
    finally:
        os.umask(before)
    job = submit(lab, tmp_path, f"umask; touch {tmp_path}/mine; env | grep PENSTOCK_UMASK || true")
    assert lab.run("job", "stream", "-n", job).split() == ["0027"]
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o640
    assert lab.folder.stat().st_mode & 0o777 == 0o700
