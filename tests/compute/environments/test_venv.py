from __future__ import annotations

import subprocess
import threading
import zipfile

import pytest

from penstock.compute.environments.base import SHIM_FOLDER
from penstock.compute.environments.select import Environments
from penstock.entities.asset import EnvironmentSpec
from penstock.entities.errors import RefusedError, UsageError


@pytest.fixture
def index(tmp_path):
    """A folder with one real wheel that installs a module and a console script."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "VERSION = '1.0'\ndef main():\n    import sys\n    print(sys.prefix)\n")
        info = "tiny-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\ntiny = tiny:main\n")
        wheel.writestr(f"{info}/RECORD", "")
    return folder


def spec(index, *lines: str) -> EnvironmentSpec:
    options = ["--no-index", f"--find-links {index}"]
    return EnvironmentSpec(conda_file={"dependencies": ["pip", {"pip": [*options, *lines]}]})


def test_no_environment_is_this_interpreter(tmp_path):
    environments = Environments(tmp_path / "envs")
    for asked in (None, EnvironmentSpec(image="mcr.microsoft.com/x")):
        found = environments.find(asked)
        assert found is not None
        assert found.is_own
        assert found.shim == ""
        assert environments.prepare(asked, log=print) == found
        command = ["sh", "-c", "python -c 'import penstock.entities'"]
        path = {"PATH": ":".join([*found.path_prepend, "/usr/bin", "/bin"])}
        assert subprocess.run(command, env={**path, "PYTHONPATH": "src"}, check=False).returncode == 0


def test_a_venv_is_built_once_and_kept(tmp_path, index):
    environments = Environments(tmp_path / "envs")
    wanted = spec(index, "tiny==1.0")
    assert environments.find(wanted) is None
    lines: list[str] = []
    built = environments.prepare(wanted, log=lines.append)
    assert any("tiny" in line for line in lines)
    assert (built.is_own, built.shim) == (False, str(SHIM_FOLDER))
    assert environments.find(wanted) == built
    assert environments.prepare(wanted, log=pytest.fail) == built
    run = subprocess.run([built.interpreter, "-c", "import tiny; print(tiny.VERSION)"], capture_output=True, text=True)
    assert run.stdout == "1.0\n"
    script = subprocess.run(
        ["tiny"], env={"PATH": built.path_prepend[0] + ":/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert script.stdout.strip() == str(built.interpreter.parent.parent)


def test_a_foreign_interpreter_gets_the_logging_functions(tmp_path, index):
    built = Environments(tmp_path / "envs").prepare(spec(index), log=print)
    spool = tmp_path / "spool"
    spool.mkdir()
    program = "import penstock; penstock.log_metric('a', 0.5); penstock.log_image('i', [[0, 255]])"
    environment = {"PYTHONPATH": built.shim, "PENSTOCK_SPOOL": str(spool)}
    subprocess.run([built.interpreter, "-W", "error", "-c", program], env=environment, check=True)
    assert '"metric":["a",0.5,0]' in (spool / "events.jsonl").read_text()
    assert (spool / "artifacts" / "images" / "i.png").exists()


def test_two_builds_of_one_content_are_one(tmp_path, index):
    wanted = spec(index, "tiny")
    logs: list[list[str]] = [[], []]
    threads = [
        threading.Thread(target=Environments(tmp_path / "envs").prepare, args=(wanted,), kwargs={"log": log.append})
        for log in logs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(bool(log) for log in logs) == [False, True]


def test_a_failed_build_says_what_uv_said_and_leaves_nothing(tmp_path, index):
    environments = Environments(tmp_path / "envs")
    wanted = spec(index, "no-such-package==9")
    with pytest.raises(RefusedError, match="no-such-package"):
        environments.prepare(wanted, log=print)
    assert environments.find(wanted) is None
    assert [path.suffix for path in (tmp_path / "envs").iterdir()] == [".lock"]


def test_a_build_that_was_killed_is_built_again(tmp_path, index):
    environments = Environments(tmp_path / "envs")
    key = environments.prepare(spec(index), log=print).key
    (tmp_path / "envs" / key).rename(tmp_path / "envs" / f".building-{key}")
    (tmp_path / "envs" / f".building-{key}" / "bin" / "python").unlink()
    assert environments.find(spec(index)) is None
    assert environments.prepare(spec(index), log=print).interpreter.exists()


def test_an_unread_conda_file_is_refused(tmp_path):
    environments = Environments(tmp_path / "envs")
    with pytest.raises(UsageError, match="conda_file"):
        environments.prepare(EnvironmentSpec(conda_file="conda.yml"), log=print)
    assert environments.find(EnvironmentSpec(conda_file="conda.yml")) is None
