"""What README shows runs as it stands: its files are written, its commands run in their order, then its Python."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
BIN = str(Path(sys.executable).parent)
PROMPT = "$ "


def read_blocks() -> tuple[dict[str, str], list[str], list[str]]:
    """Return README's files by name (blocks that begin with one), its commands, and its other Python."""
    files: dict[str, str] = {}
    commands: list[str] = []
    snippets: list[str] = []
    for kind, text in re.findall(r"```(\w+)\n(.*?)```", README.read_text("utf-8"), re.DOTALL):
        name = re.match(r"# (\S+\.\w+)\n", text)
        if name:
            files[name[1]] = text
        elif kind == "console":
            commands += [line.removeprefix(PROMPT) for line in text.splitlines() if line.startswith(PROMPT)]
        elif kind == "python":
            snippets.append(text)
    return files, commands, snippets


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Give a function that runs lines in a shell, in a folder with README's files; stop the servers at the end."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def in_shell(script: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    for name, text in read_blocks()[0].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    yield in_shell
    for workspace in (".penstock", "lab"):
        if (tmp_path / workspace).exists():
            in_shell(f"penstock down -w {workspace} --cancel-jobs")


@pytest.mark.example
@pytest.mark.timeout(300)  # several commands, each with a limit of its own
def test_the_first_job_and_endpoint_work(run) -> None:
    _, commands, _ = read_blocks()
    # One shell for all, since a line may set what a later one uses; a line before each output tells them apart.
    said = run("\n".join(f"printf '\\n@%s\\n' {number}\n{line}" for number, line in enumerate(commands)))
    parts = re.split(r"^@\d+\n", said, flags=re.MULTILINE)[1:]
    outputs = dict(zip(commands, parts, strict=True))
    assert "Completed" in outputs["penstock job list"]
    [answer] = [output for command, output in outputs.items() if " invoke " in command]
    assert json.loads(answer)["y"] == pytest.approx([3, 6], rel=0.05)
    assert commands[-1] == "penstock down"
    assert "not running" in run("penstock status || true")


@pytest.mark.example
@pytest.mark.timeout(300)  # several commands, each with a limit of its own
def test_the_python_works(run, tmp_path: Path) -> None:
    [snippet] = read_blocks()[2]
    (tmp_path / "snippet.py").write_text(snippet)
    assert float(run("python snippet.py").splitlines()[-1]) < 0.01
