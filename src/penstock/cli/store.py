"""``penstock store``: where a workspace keeps its rows."""

from __future__ import annotations

import subprocess
import sys

import typer

from penstock.cli.command import command, make_group
from penstock.cli.options import WorkspaceOption
from penstock.entities.errors import UsageError
from penstock.sdk.locate import locate_workspace

app = make_group("Move the rows of a workspace to PostgreSQL.")


@app.callback()
def store() -> None:
    """Move the rows of a workspace to PostgreSQL."""


@command(app, "copy", "PENSTOCK_STORES__METADATA=postgresql://lab:secret@db.example.org/penstock penstock store copy")
def copy(workspace: WorkspaceOption = None) -> None:
    """Copy all rows from the file to PostgreSQL.

    That is the store the settings name: [stores] metadata, or PENSTOCK_STORES__METADATA. The server must be stopped
    and that store be empty. The audit log is verified first; a damaged one is not copied. All rows are there
    afterwards, or none; the file stays as it is.
    """
    location = locate_workspace(workspace).must_exist()
    if location.home is None:
        raise UsageError(f"{location.url} is a server's address", hint="Name the workspace's folder with -w.")
    # A program of its own, because the command line loads no stores.
    words = [sys.executable, "-m", "penstock.app", "copy-store", "--workspace", str(location.home.root)]
    raise typer.Exit(subprocess.run(words, check=False).returncode)
