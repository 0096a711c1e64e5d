"""``kill -9`` of the server during a job: the job goes on, and what it logged arrives once, in order."""

from __future__ import annotations

import os
import signal

import pytest

STEPS = 40
# Logs half of its steps, waits until it is told that the server is gone, and logs the rest.
SCRIPT = f"""
import pathlib, sys, time
import penstock

flags = pathlib.Path(sys.argv[1])
for step in range({STEPS}):
    if step == {STEPS // 2}:
        while not (flags / "go").exists():
            time.sleep(0.02)
    penstock.log_metric("loss", 1 / (step + 1), step=step)
    print("step", step, flush=True)
pathlib.Path("outputs/result.txt").write_text("whole")
(flags / "done").touch()
"""


@pytest.mark.parametrize("victim", ["server", "server and supervisor"])
def test_job_survives_kill_9_of_the_server(lab, tmp_path, wait_until, victim):
    code, flags = tmp_path / "code", tmp_path / "flags"
    code.mkdir()
    flags.mkdir()
    (code / "train.py").write_text(SCRIPT)
    spec = tmp_path / "job.yml"
    spec.write_text(f"command: python train.py {flags}\ncode: code\nexperiment_name: killed\n")
    job = lab.run("job", "create", "-f", spec, "--query", "name", "-o", "tsv").strip()

    def steps() -> list[int]:
        return [int(point["step"]) for point in lab.read("job", "metrics", "-n", job)["metrics"].get("loss", [])]

    wait_until(lambda: len(steps()) == STEPS // 2, "the first half of the metrics")
    supervisor, server = lab.record().pid, lab.server_pid()
    if victim == "server and supervisor":
        os.kill(supervisor, signal.SIGKILL)
    os.kill(server, signal.SIGKILL)
    (flags / "go").touch()
    wait_until((flags / "done").exists, "the end of the script, with the server away")

    streamed = lab.run("job", "stream", "-n", job)

    assert lab.read("job", "show", "-n", job)["status"] == "Completed"
    assert steps() == list(range(STEPS))
    told = [line for line in streamed.splitlines() if line.startswith("step ")]
    assert told == [f"step {step}" for step in range(STEPS)]
    lab.run("job", "download", "-n", job, "-p", tmp_path / "files")
    assert [path.read_text() for path in (tmp_path / "files").rglob("result.txt")] == ["whole"]
