"""``penstock score``: the real command in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.scoring.cases import NUMPY, Ask
from tests.scoring.driver import ask, free_port, serving

PENSTOCK = str(Path(sys.executable).with_name("penstock"))

SCRIPT = """
import json, os
def init():
    global files
    folder = os.environ["AZUREML_MODEL_DIR"]
    files = sorted(os.path.relpath(os.path.join(at, n), folder) for at, _, names in os.walk(folder) for n in names)
    print("ready with", files)
def run(raw):
    print("asked")
    return {"files": files, "sum": sum(json.loads(raw)["data"]), "mine": os.environ.get("MINE")}
"""
BROKEN = """
def init(): pass
def run(raw):
    return deeper(raw)
def deeper(raw):
    raise ValueError("not this one")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model" / "inner").mkdir(parents=True)
    (tmp_path / "model" / "inner" / "weights.bin").write_bytes(b"1")
    (tmp_path / "score.py").write_text(SCRIPT)
    (tmp_path / "sample.json").write_text('{"data": [1, 2.5]}')
    return tmp_path


def run(folder: Path, *arguments: str, given: str = "", patience_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PENSTOCK, "score", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        input=given,
        check=False,
        timeout=patience_s,
    )


def test_a_script_is_tried_with_a_model_and_a_sample(folder):
    done = run(folder, "test", "score.py", "--model", "model", "--data", "sample.json", "--env", "MINE=yes")
    assert done.returncode == 0, done.stderr
    answer = '{"files": ["model/inner/weights.bin"], "sum": 3.5, "mine": "yes"}'
    assert done.stdout.splitlines() == ["ready with ['model/inner/weights.bin']", "asked", answer]
    for said in ("score.py was imported in ", "init() took ", "run() took "):
        assert said in done.stderr


def test_a_script_that_fails_shows_its_own_frames_alone(folder):
    (folder / "score.py").write_text(BROKEN)
    done = run(folder, "test", "score.py", "--data", "sample.json")
    assert done.returncode == 1
    frames = [line for line in done.stderr.splitlines() if line.startswith("  File")]
    assert [frame.rpartition(", ")[2] for frame in frames] == ["in run", "in deeper"]
    assert "ValueError: not this one" in done.stderr
    assert "status 500" in done.stderr


def test_a_breakpoint_in_run_can_be_used(folder):
    (folder / "score.py").write_text(
        "def init(): pass\ndef run(raw):\n    secret = 6 * 7\n    breakpoint()\n    return 1"
    )
    done = run(folder, "test", "score.py", "--data", "sample.json", given="p secret\nc\n")
    assert done.returncode == 0, done.stderr
    assert "42" in done.stdout
    assert done.stdout.rstrip().endswith("1")


def test_a_model_that_is_not_where_init_looks_is_listed(folder):
    (folder / "score.py").write_text(
        "import os\ndef init(): open(os.environ['AZUREML_MODEL_DIR'] + '/net.bin')\ndef run(raw): pass"
    )
    done = run(folder, "test", "score.py", "--model", "model")
    assert done.returncode == 1
    assert "AZUREML_MODEL_DIR holds: model/inner/weights.bin" in done.stderr


def test_a_picture_goes_to_a_raw_script_as_it_is(folder):
    (folder / "nine.png").write_bytes(b"\x89PNG")
    (folder / "score.py").write_text(
        "from azureml.contrib.services.aml_request import rawhttp\ndef init(): pass\n"
        "@rawhttp\ndef run(request): return [request.mimetype, request.data[1:].decode()]"
    )
    assert run(folder, "test", "score.py", "--image", "nine.png").stdout == '["image/png", "PNG"]\n'


def test_without_debugpy_the_hint_says_how_to_get_it(folder):
    hidden = "import sys; sys.modules['debugpy'] = None; from penstock.cli.main import main; main()"
    command = [sys.executable, "-c", hidden, "score", "test", "score.py", "--model", "model", "--debugpy"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert f"debugpy is not installed; do: {sys.executable} -m pip install debugpy" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("test", "none.py"), 3, "there is no script none.py"),
        (("test", "score.py", "--model", "none"), 3, "there is no model none"),
        (("test", "score.py", "--data", "none.json"), 3, "there is no file none.json"),
        (("test", "score.py", "--data", "sample.json", "--image", "x.png"), 2, "both given"),
        (("serve",), 2, "no script is given"),
        (("serve", "score.py", "--model", "model", "--model-dir", "."), 2, "both given"),
        (("serve", "score.py", "--env", "MINE"), 2, "this is no NAME=VALUE"),
    ],
)
def test_what_is_missing_is_said(folder, arguments, status, said):
    done = run(folder, *arguments)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ("--entry_script", "score.py", "--model_dir", ".", "--worker_count", "2"),
        ("score.py", "--model-dir", ".", "--worker-count", "1", "--access-control-allow-origins", "*"),
        ("score.py", "--model", "model"),
    ],
)
def test_a_script_is_served_alone_with_either_spelling(folder, flags):
    command = [PENSTOCK, "score", "serve", *flags, "--port", "{port}"]
    with serving(command, folder, {}) as port:
        answer = ask(port, Ask('{"data": [1]}', headers={"Content-Type": "application/json", "Origin": "http://a"}))
        assert answer["status"] == 200
        assert "model/inner/weights.bin" in answer["body"]["json"]["files"]
        assert (["access-control-allow-origin", "http://a"] in answer["headers"]) == ("*" in flags)
    log = (folder / "server.log").read_text()
    assert f"http://127.0.0.1:{port}/score" in log
    assert "azmlinfsrv.print - asked" in log
    assert "azmlinfsrv - POST /score 200 " in log


def test_a_served_script_that_cannot_start_ends_with_status_3(folder):
    (folder / "score.py").write_text("def init(): raise OSError('no weights')\ndef run(raw): pass")
    done = run(folder, "serve", "score.py", "--model", "model", "--worker-count", "2", "--port", str(free_port()))
    assert done.returncode == 3
    assert "OSError: no weights" in done.stderr
    assert "AZUREML_MODEL_DIR holds: model/inner/weights.bin" in done.stderr


def test_a_scoring_process_that_dies_is_replaced(folder):
    (folder / "score.py").write_text("import os\ndef init(): pass\ndef run(raw): return os.getpid()")
    with serving([PENSTOCK, "score", "serve", "score.py", "--port", "{port}"], folder, {}) as port:
        first = ask(port, Ask("x"))["body"]["json"]
        os.kill(first, signal.SIGKILL)
        second = ask(port, Ask("x"))["body"]["json"]
    assert first != second


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_script_is_tried_in_the_environment_of_a_conda_file(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    (folder / "conda.yml").write_text("dependencies:\n  - pip:\n      - inference-schema[numpy-support]==1.8\n")
    (folder / "score.py").write_text(NUMPY)
    (folder / "wrong.json").write_text('{"data": 1}')
    built = run(folder, "test", "score.py", "--environment", "conda.yml", patience_s=500)
    assert built.returncode == 0, built.stderr
    assert '"kind": "ndarray"' in built.stdout
    assert "run() gets the sample of its @input_schema" in built.stderr
    refused = run(folder, "test", "score.py", "--environment", "conda.yml", "--data", "wrong.json")
    assert refused.returncode == 1
    assert "building" not in refused.stderr
    assert "Invalid input format" in refused.stderr
    assert "penstock/shim" not in refused.stderr
