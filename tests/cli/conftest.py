"""The command line in this process, on one real workspace for the whole session."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from penstock.cli.main import app
from penstock.home import Home
from penstock.sdk.launch import ensure_server, find_server, stop_server


@dataclass(frozen=True)
class Done:
    """What a command wrote, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Done]


@pytest.fixture(scope="session")
def workspace_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cli") / "lab"
    ensure_server(Home(folder), say=lambda line: None)
    yield folder
    record = find_server(Home(folder))
    if record is not None:
        stop_server(record)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run one command; nothing names a workspace but its own options."""

    def run(*arguments: object, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            get_command(app)([str(argument) for argument in arguments], prog_name="penstock")
        out, err = capsys.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else int(code is not None), out, err)

    return run


@pytest.fixture
def lab(cli: Cli, workspace_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run one command on the session's workspace."""
    monkeypatch.setenv("PENSTOCK_WORKSPACE", str(workspace_folder))
    return cli
