from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock import Input, Output, Workspace, command
from penstock.entities.errors import JobFailedError, NotFoundError, OutOfSpaceError, SpecError, UsageError
from penstock.entities.job import JobStatus
from penstock.home import Home
from penstock.sdk.launch import find_server, stop_server
from penstock.sdk.response import explain_target
from penstock.sdk.stream import JobEnd, LogText, MetricPoint, StatusChange

GROWING = """
import os, sys, time
import penstock
penstock.log_metric("loss", 1.0, step=1)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
penstock.log_metric("loss", 0.5, step=2)
penstock.log_param("kind", "tiny")
"""


def test_job_runs_with_its_code_inputs_and_outputs(ws, tmp_path: Path) -> None:
    code = tmp_path / "code"
    (code / "deep").mkdir(parents=True)
    (code / "main.sh").write_text(
        'cat "$1" deep/name; cp "$1" "$2/copy.txt"; mkdir -p outputs; echo kept > outputs/kept.txt\n'
    )
    (code / "deep" / "name").write_text("anna\n")
    (tmp_path / "word.txt").write_text("hello ")
    job = command(
        command="bash main.sh ${{inputs.word}} ${{outputs.copied}} && echo ${{inputs.count}}",
        code=code,
        inputs={"word": Input(type="uri_file", path=str(tmp_path / "word.txt")), "count": 3},
        outputs={"copied": Output(type="uri_folder")},
        experiment_name="runs",
        display_name="a first try",
        tags={"by": "test"},
    )
    run = ws.jobs.submit(job).wait_for_completion(show_output=False)
    assert run.status == "Completed"
    assert run.is_finished
    assert run.get_log() == "hello anna\n3\n"
    assert (run.display_name, run.experiment_name) == ("a first try", "runs")
    assert run.job.status is JobStatus.COMPLETED
    assert run.job.tags == {"by": "test"}
    assert set(run.get_file_names()) >= {"outputs/kept.txt", "user_logs/std_log.txt"}
    written = run.download_files("outputs", tmp_path / "here")
    assert [path.relative_to(tmp_path / "here").as_posix() for path in written] == ["outputs/kept.txt"]
    assert run.download_file("outputs/kept.txt", tmp_path / "one.txt").read_text() == "kept\n"
    again = ws.jobs.get(run.name[:8])
    assert again.name == run.name
    assert run.name in {found.name for found in ws.jobs.list(experiment_name="runs")}


def test_metrics_grow_while_the_job_runs(ws, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text(GROWING)
    run = ws.jobs.submit(command(command=f"{sys.executable} train.py {tmp_path / 'go'}", code=tmp_path / "code"))
    points = []
    for event in run.events():
        if isinstance(event, MetricPoint):
            points.append((event.key, event.value, event.step))
            if len(points) == 1:
                assert run.get_metrics() == {"loss": [1.0]}
                assert not run.is_finished
                (tmp_path / "go").touch()
        elif isinstance(event, JobEnd):
            assert event.job["status"] == "Completed"
    assert points == [("loss", 1.0, 1), ("loss", 0.5, 2)]
    assert run.get_metrics("loss") == {"loss": [1.0, 0.5]}
    assert run.get_metrics("other") == {}
    assert run.get_metric_history("loss") == [(1, 1.0), (2, 0.5)]
    assert run.get_latest_metrics() == {"loss": 0.5}
    assert run.get_params() == {"kind": "tiny"}


def test_failed_job_raises_with_exit_code_and_last_lines(ws, capsys) -> None:
    run = ws.jobs.submit(command(command="echo first; echo last words; exit 7"))
    with pytest.raises(JobFailedError, match="exit code 7") as caught:
        run.wait_for_completion(show_output=False)
    assert "last words" in caught.value.hint
    with pytest.raises(JobFailedError, match="exit code 7") as caught:
        run.wait_for_completion()
    assert caught.value.hint == ""
    assert capsys.readouterr().out == "first\nlast words\n"
    assert run.status == "Failed"
    assert ws.jobs.get(run.name).stream().status == "Failed"


def test_canceled_job_ends(ws) -> None:
    run = ws.jobs.submit(command(command="echo up; sleep 600"))
    for event in run.events():
        if isinstance(event, StatusChange) and event.status == "Running":
            run.cancel()
    assert run.status == "Canceled"
    with pytest.raises(JobFailedError) as caught:
        run.wait_for_completion(show_output=False)
    assert str(caught.value) == f'job "{run.name}" was canceled'


def test_what_a_run_does_not_hold_is_said_with_where_to_look(ws, tmp_path: Path) -> None:
    run = ws.jobs.submit(command(command="echo")).wait_for_completion(show_output=False)
    for fetch in (run.download_files, run.download_file):
        with pytest.raises(NotFoundError) as caught:
            fetch("outputs/nosuch", tmp_path / "back")
        assert caught.value.hint == "List them with: run.get_file_names()"


def test_files_that_cannot_be_written_are_one_sentence(ws, tmp_path: Path) -> None:
    run = ws.jobs.submit(command(command="echo hello")).wait_for_completion(show_output=False)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written: a file is in the way"):
        run.download_files("user_logs", tmp_path / "file" / "below")
    with pytest.raises(UsageError, match="cannot be written: a file is in the way"):
        run.download_file("user_logs/std_log.txt", tmp_path / "file" / "log.txt")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert isinstance(explain_target(full, tmp_path), OutOfSpaceError)


def test_yaml_file_is_submitted_with_overrides(ws, tmp_path: Path) -> None:
    (tmp_path / "job.yml").write_text("command: echo ${{inputs.word}}\ninputs:\n  word: plain\n")
    run = ws.jobs.submit(tmp_path / "job.yml", overrides=["inputs.word=changed"])
    assert run.wait_for_completion(show_output=False).get_log() == "changed\n"


def test_mistake_in_a_yaml_file_has_its_line(ws, tmp_path: Path) -> None:
    (tmp_path / "job.yml").write_text("command: echo\ninputs:\n  word: [1]\n")
    with pytest.raises(SpecError) as caught:
        ws.jobs.submit(tmp_path / "job.yml")
    [problem] = caught.value.problems
    assert (problem.file, problem.line, problem.key) == (str(tmp_path / "job.yml"), 3, "inputs.word")


def test_what_the_server_finds_wrong_has_its_line_too(ws, tmp_path: Path) -> None:
    (tmp_path / "job.yml").write_text("command: cat ${{inputs.data}}\ninputs:\n  data:\n    path: azureml:nosuch:1\n")
    with pytest.raises((SpecError, NotFoundError), match=r"job\.yml:4:"):
        ws.jobs.submit(tmp_path / "job.yml")


def test_unknown_job_is_not_found(ws) -> None:
    with pytest.raises(NotFoundError):
        ws.jobs.get("nosuchjob")


def test_interrupting_the_wait_leaves_the_job_running(ws, workspace_folder: Path) -> None:
    program = (
        "import sys\nfrom penstock import Workspace\n"
        "Workspace(sys.argv[1]).jobs.get(sys.argv[2]).wait_for_completion(show_output=True)"
    )
    run = ws.jobs.submit(command(command="echo here; sleep 600"))
    words = [sys.executable, "-c", program, str(workspace_folder), run.name]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "here\n"
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate()
    assert "goes on" in err
    assert waiting.returncode != 0
    assert run.status == "Running"
    run.cancel()
    assert run.stream().status == "Canceled"


def test_stream_goes_on_after_the_server_was_killed(ws, workspace_folder: Path, tmp_path: Path) -> None:
    record = find_server(Home(workspace_folder))
    assert record is not None
    go = tmp_path / "go"
    run = ws.jobs.submit(command(command=f"echo one; while ! test -e {go}; do sleep 0.02; done; echo two"))
    texts = []
    for event in run.events():
        if isinstance(event, LogText):
            texts.append(event.text)
            if len(texts) == 1:
                children = Path(f"/proc/{record.pid}/task/{record.pid}/children").read_text().split()
                for pid in children:
                    os.kill(int(pid), signal.SIGKILL)
                go.touch()
    assert "".join(texts) == "one\ntwo\n"
    assert run.status == "Completed"


def test_workspace_finds_the_same_things_after_a_restart(ws, workspace_folder: Path) -> None:
    run = ws.jobs.submit(command(command="echo once")).wait_for_completion(show_output=False)
    record = find_server(Home(workspace_folder))
    assert record is not None
    stop_server(record)
    again = Workspace(workspace_folder)
    assert again.jobs.get(run.name).get_log() == "once\n"
    assert again.url == ws.url
    assert ws.jobs.get(run.name).status == "Completed"
    again.close()
