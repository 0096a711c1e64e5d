from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PENSTOCK = [sys.executable, "-m", "penstock.cli"]


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    (tmp_path / "job.yml").write_text(
        "command: >-\n  echo hello ${{inputs.word}}; mkdir -p outputs; echo kept > outputs/kept.txt;\n"
        "  echo more > ${{outputs.side}}/more.txt\n"
        "inputs:\n  word: world\noutputs:\n  side:\n    type: uri_folder\nexperiment_name: cli\n"
    )
    return tmp_path / "job.yml"


def test_stream_shows_the_log_on_stdout_and_the_rest_on_stderr(lab, job_file: Path) -> None:
    done = lab("job", "create", "-f", job_file, "--stream")
    assert done.status == 0
    assert done.out == "hello world\n"
    assert "Submitted" in done.err
    assert "Completed in" in done.err


def test_name_can_be_taken_for_a_script_and_used_everywhere(lab, job_file: Path, tmp_path: Path) -> None:
    created = lab(
        "job",
        "create",
        "-f",
        job_file,
        "--set",
        "inputs.word=again",
        "-n",
        "my-own-name",
        "--query",
        "name",
        "-o",
        "tsv",
    )
    assert created.out == "my-own-name\n"
    assert lab("job", "stream", "-n", "my-own").out == "hello again\n"
    shown = lab("job", "show", "-n", "my-own-name", "-o", "json").data
    assert shown["status"] == "Completed"
    assert shown["created_at"].endswith("Z")
    table = lab("job", "show", "-n", "my-own-name").out
    assert "status:        Completed" in table
    listed = lab("job", "list", "--experiment-name", "cli", "--status", "Completed", "-o", "json").data
    assert "my-own-name" in {job["name"] for job in listed}
    assert lab("job", "list", "--max-results", "1").out.splitlines()[0].startswith("NAME")
    assert lab("job", "list", "--status", "completed, FAILED", "-o", "json").status == 0
    unknown = lab("job", "list", "--status", "done")
    assert unknown.status == 2
    assert "Completed" in unknown.err
    assert "cli" in lab("experiment", "list").out

    paths = [item["path"] for item in lab("job", "download", "-n", "my-own-name", "--list", "-o", "json").data]
    assert {"outputs/kept.txt", "user_logs/std_log.txt"} <= set(paths)
    assert lab("job", "download", "-n", "my-own-name", "-p", tmp_path / "all").status == 0
    assert (tmp_path / "all" / "outputs" / "kept.txt").read_text() == "kept\n"
    assert lab("job", "download", "-n", "my-own-name", "--output-name", "side", "-p", tmp_path / "one").status == 0
    assert (tmp_path / "one" / "side" / "more.txt").read_text() == "more\n"
    missing = lab("job", "download", "-n", "my-own-name", "--output-name", "sied")
    assert missing.status == 3
    assert "side" in missing.err


def test_failed_job_is_exit_status_1_with_code_and_last_lines(lab, tmp_path: Path) -> None:
    (tmp_path / "job.yml").write_text("command: echo last words; exit 9\n")
    done = lab("job", "create", "-f", tmp_path / "job.yml", "--stream")
    assert done.status == 1
    assert done.out == "last words\n"
    assert "exit code 9" in done.err
    assert "last words" not in done.err


def test_mistakes_have_file_line_and_column(lab, tmp_path: Path) -> None:
    (tmp_path / "job.yml").write_text("comand: echo\ninputs:\n  lr:\n    tpye: number\n")
    done = lab("job", "create", "-f", tmp_path / "job.yml")
    assert done.status == 2
    assert f'{tmp_path}/job.yml:1:1: unknown key "comand"' in done.err
    assert 'Did you mean "command"?' in done.err
    assert f"{tmp_path}/job.yml:4:5: inputs.lr" in done.err
    missing = lab("job", "create", "-f", tmp_path / "jbo.yml")
    assert missing.status == 2
    assert f'there is no file "{tmp_path}/jbo.yml"' in missing.err
    assert 'Did you mean "job.yml"?' in missing.err


def test_metrics_are_shown_and_given_as_json(lab, tmp_path: Path) -> None:
    script = "import penstock; [penstock.log_metric('loss', 1 / n, step=n) for n in (1, 2)]"
    (tmp_path / "job.yml").write_text(f'command: {sys.executable} -c "{script}"\n')
    name = lab("job", "create", "-f", tmp_path / "job.yml", "--query", "name", "-o", "tsv").out.strip()
    assert lab("job", "stream", "-n", name).status == 0
    assert lab("job", "metrics", "-n", name, "-o", "json").data["latest"] == {"loss": 0.5}
    assert lab("job", "metrics", "-n", name).out.splitlines()[1].split() == ["loss", "0.5", "2"]


def test_interrupted_stream_leaves_the_job_running(lab, workspace_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "job.yml").write_text("name: long-one\ncommand: echo here; sleep 600\n")
    words = [*PENSTOCK, "job", "create", "-f", str(tmp_path / "job.yml"), "--stream", "-w", str(workspace_folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as streaming:
        assert streaming.stdout is not None
        assert streaming.stdout.readline() == "here\n"
        streaming.send_signal(signal.SIGINT)
        _, err = streaming.communicate()
    assert streaming.returncode == 130
    assert "penstock job stream -n long-one" in err
    assert "Traceback" not in err
    assert lab("job", "show", "-n", "long-one", "--query", "status", "-o", "tsv").out == "Running\n"
    assert lab("job", "cancel", "-n", "long-one").status == 0
    done = lab("job", "stream", "-n", "long-one")
    assert done.status == 1
    assert done.err.splitlines()[-1] == 'error: job "long-one" was canceled'
    assert done.err.lower().count("canceled") == 1
    assert "has ended already" in lab("job", "cancel", "-n", "long-one").err


def test_unknown_job_is_exit_status_3(lab) -> None:
    assert lab("job", "show", "-n", "nosuchjob").status == 3


def test_files_that_cannot_be_written_are_one_sentence(lab, job_file: Path, tmp_path: Path) -> None:
    assert lab("job", "create", "-f", job_file, "-n", "no-room", "--stream").status == 0
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        done = lab("job", "download", "-n", "no-room", "-p", place)
        assert done.status == 2
        assert done.err.startswith("error: ")
        assert "cannot be written" in done.err
        assert "Traceback" not in done.err


def test_a_job_s_output_is_registered_by_a_unique_prefix(lab, job_file: Path) -> None:
    assert lab("job", "create", "-f", job_file, "-n", "prefixed-job", "--stream").status == 0
    for path in ("azureml://jobs/prefixed/outputs/artifacts/paths/outputs", "runs:/prefixed/outputs"):
        made = lab("model", "create", "-n", "by-prefix", "-p", path, "-o", "json")
        assert made.status == 0, made.err
        assert made.data["job_name"] == "prefixed-job"
    missing = lab("model", "create", "-n", "by-prefix", "-p", "azureml://jobs/nosuchjob/outputs/artifacts/paths/x")
    assert missing.status in {2, 3}
    assert "nosuchjob" in missing.err
