"""``import penstock`` in an interpreter in which nothing of ours is installed, and in one where Penstock is."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

import pytest

from penstock.compute.environments.base import SHIM_FOLDER


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A virtual environment with nothing in it; returns its Python."""
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    return tmp_path / "bare" / "bin" / "python"


def run(python: Path, program: str, path: str, folder: Path) -> str:
    environment = {"PYTHONPATH": path, "PENSTOCK_SPOOL": str(folder)}
    done = subprocess.run([python, "-W", "error", "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def site_packages(python: Path) -> Path:
    return next((python.parent.parent / "lib").glob("python*")) / "site-packages"


def test_a_bare_environment_logs(bare, job):
    run(bare, "import penstock; penstock.log_metric('a', 0.5)", str(SHIM_FOLDER), job.folder)
    assert job.values("metric") == [["a", 0.5, 0]]


def test_a_penstock_installed_there_wins(bare, job):
    package = site_packages(bare) / "penstock"
    package.mkdir()
    (package / "__init__.py").write_text("NAME = __name__\n")
    (package / "part.py").write_text("import penstock\nVALUE = penstock.NAME\n")
    program = "import penstock, penstock.part; print(penstock.__file__, penstock.part.VALUE)"
    assert run(bare, program, str(SHIM_FOLDER), job.folder) == f"{package / '__init__.py'} penstock"


def test_so_does_one_that_is_installed_to_be_edited(bare, job):
    source = str(Path(__file__).parents[2] / "src")
    (site_packages(bare) / "editable.pth").write_text(source + "\n")
    program = "import penstock; print(penstock.__version__, penstock.__file__); penstock.log_metric('a', 1)"
    words = run(bare, program, str(SHIM_FOLDER), job.folder).split()
    assert words[1] == str(Path(source) / "penstock" / "__init__.py")
    assert job.values("metric") == [["a", 1.0, 0]]


def test_a_folder_that_only_has_the_name_does_not(bare, job):
    (site_packages(bare) / "penstock").mkdir()
    run(bare, "import penstock; penstock.log_metric('a', 0.5)", str(SHIM_FOLDER), job.folder)
    assert job.values("metric") == [["a", 0.5, 0]]
