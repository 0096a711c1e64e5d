"""What README shows runs as it stands: its files, its commands in their order, its Python."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = str(Path(sys.executable).parent)


def blocks(*kinds: str) -> list[str]:
    """Return README's code blocks of some kinds."""
    return re.findall(rf"```(?:{'|'.join(kinds)})\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with the files that README shows, each under the name in its first line and without that line."""
    for block in blocks("python", "yaml"):
        first, _, text = block.partition("\n")
        if first.startswith("# "):
            file = tmp_path / first.removeprefix("# ")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Iterator[Callable[[str], str]]:
    """Give a function that runs lines in one shell in that folder; stop the servers at the end."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def in_shell(lines: str) -> str:
        done = subprocess.run(
            ["bash", "-ec", lines], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=90
        )
        assert done.returncode == 0, f"{lines}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    yield in_shell
    for workspace in (".penstock", "lab"):
        if (folder / workspace).exists():
            in_shell(f"penstock down -w {workspace} --cancel-jobs")


@pytest.mark.example
def test_the_commands_work_one_after_another(run: Callable[[str], str]) -> None:
    lines = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    assert {line.split()[0] for line in lines} == {"penstock", "JOB=$(penstock", "echo"}
    said = run("\n".join(lines))
    assert "Completed" in said
    assert re.search(r'"y": \[\s*2\.9\d+,\s*5\.9\d+\s*\]', said)
    assert "Stopped the server" in said.splitlines()[-1]


@pytest.mark.example
def test_the_start_of_a_job_s_name_is_enough(run: Callable[[str], str]) -> None:
    run("penstock job create -f job.yml --stream")
    name, shown = run(
        "JOB=$(penstock job list --query '[0].name' -o tsv); echo $JOB; "
        "penstock job show -n ${JOB:0:6} --query name -o tsv"
    ).split()
    assert name == shown


@pytest.mark.example
def test_the_python_works(run: Callable[[str], str], folder: Path) -> None:
    [snippet] = [block for block in blocks("python") if not block.startswith("# ")]
    (folder / "snippet.py").write_text(snippet)
    assert "0.0011963" in run("python snippet.py")
