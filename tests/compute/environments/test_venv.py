from __future__ import annotations

import fcntl
import io
import os
import select
import subprocess
import sys
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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


def test_the_log_says_what_is_left_out(tmp_path):
    lines: list[str] = []
    wanted = EnvironmentSpec(conda_file={"dependencies": ["cudatoolkit=11.8"]})
    Environments(tmp_path / "envs").prepare(wanted, log=lines.append)
    assert "cudatoolkit is only on conda and is left out" in lines


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


class Blocking:
    """A source package whose build says its pid and waits, in a process of uv's own."""

    def __init__(self, folder: Path) -> None:
        self.said, self.gate = folder / "said", folder / "gate"
        os.mkfifo(self.said)
        os.mkfifo(self.gate)
        backend = (
            "import os\n"
            "def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):\n"
            f"    open({str(self.said)!r}, 'w').write(str(os.getpid()))\n"
            f"    open({str(self.gate)!r}).read()\n"
            "    raise SystemExit('the gate was opened')\n"
        )
        project = (
            "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
            "[project]\nname = 'blocking'\nversion = '1.0'\n"
        )
        files = {
            "pyproject.toml": project,
            "backend.py": backend,
            "PKG-INFO": "Metadata-Version: 2.1\nName: blocking\nVersion: 1.0\n",
        }
        with tarfile.open(folder / "wheels" / "blocking-1.0.tar.gz", "w:gz") as archive:
            for name, text in files.items():
                entry = tarfile.TarInfo(f"blocking-1.0/{name}")
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))

    def wait_started(self) -> int:
        """Return a pidfd of the backend's process once it builds."""
        self.pid = int(self.said.read_text())
        return os.pidfd_open(self.pid)


def wait_end(descriptor: int) -> None:
    assert select.select([descriptor], [], [], 60)[0]
    os.close(descriptor)


@pytest.fixture
def blocking(tmp_path, index):
    return Blocking(tmp_path)


def test_a_build_ends_with_the_process_that_wanted_it_and_is_locked_until_then(tmp_path, index, blocking):
    envs = tmp_path / "envs"
    wanted = spec(index, "blocking")
    program = (
        "import sys; from pathlib import Path\n"
        "from penstock.compute.environments.select import Environments\n"
        "from penstock.entities.asset import EnvironmentSpec\n"
        "wanted = EnvironmentSpec.model_validate_json(sys.argv[2])\n"
        "Environments(Path(sys.argv[1])).prepare(wanted, log=print)\n"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", program, str(envs), wanted.model_dump_json(exclude_none=True)],
        stdout=subprocess.DEVNULL,
    )
    backend = blocking.wait_started()
    (lock,) = envs.glob("*.lock")
    descriptors = Path(f"/proc/{blocking.pid}/fd")
    assert str(lock) in {os.readlink(descriptor) for descriptor in descriptors.iterdir()}
    (left,) = envs.glob(".building-*")
    server.kill()
    server.wait()
    wait_end(backend)
    assert left.exists()
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # waits for the last of the build's processes
    other = Environments(envs).prepare(spec(index), log=print)
    assert other.interpreter.exists()
    assert not left.exists()


def test_leftovers_of_a_build_in_progress_stay(tmp_path, index, blocking):
    environments = Environments(tmp_path / "envs")
    stop = threading.Event()
    with ThreadPoolExecutor() as pool:
        build = pool.submit(environments.prepare, spec(index, "blocking"), log=print, should_stop=stop.is_set)
        backend = blocking.wait_started()
        environments.prepare(spec(index), log=print)
        (building,) = (tmp_path / "envs").glob(".building-*")
        stop.set()
        with pytest.raises(RefusedError, match="was canceled"):
            build.result()
    wait_end(backend)
    assert not building.exists()


def test_a_build_that_waits_for_another_is_canceled_too(tmp_path, index, blocking):
    environments = Environments(tmp_path / "envs")
    wanted = spec(index, "blocking")
    stop = threading.Event()
    with ThreadPoolExecutor() as pool:
        build = pool.submit(environments.prepare, wanted, log=print, should_stop=stop.is_set)
        backend = blocking.wait_started()
        asked = iter([False, True])
        with pytest.raises(RefusedError, match="was canceled"):
            environments.prepare(wanted, log=pytest.fail, should_stop=lambda: next(asked))
        stop.set()
        with pytest.raises(RefusedError, match="was canceled"):
            build.result()
    wait_end(backend)
    assert [path.suffix for path in (tmp_path / "envs").iterdir()] == [".lock"]


def test_a_venv_whose_python_has_gone_is_built_again(tmp_path, index):
    environments = Environments(tmp_path / "envs")
    built = environments.prepare(spec(index, "tiny"), log=print)
    python = built.interpreter
    python.unlink()
    python.symlink_to(tmp_path / "gone")
    assert environments.find(spec(index, "tiny")) is None
    assert environments.prepare(spec(index, "tiny"), log=print) == built
    assert subprocess.run([python, "-c", "import tiny"]).returncode == 0
    assert sorted(path.name for path in (tmp_path / "envs").iterdir()) == [built.key, f"{built.key}.lock"]


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path, index):
    (tmp_path / "envs").touch()
    with pytest.raises(RefusedError, match=r"could not be built: .*envs"):
        Environments(tmp_path / "envs").prepare(spec(index), log=print)
