"""``penstock experiment``: look at experiments."""

from __future__ import annotations

from penstock.cli.command import command, make_group
from penstock.cli.options import OutputOption, QueryOption, WorkspaceOption
from penstock.cli.output import emit
from penstock.cli.session import open_rest

app = make_group("Look at experiments.")

COLUMNS = {"ID": "id", "NAME": "name", "CREATED": "created_at"}


@command(app, "list", "penstock experiment list")
def list_(workspace: WorkspaceOption = None, output: OutputOption = None, query: QueryOption = None) -> None:
    """List experiments."""
    emit(list(open_rest(workspace).list_experiments()), columns=COLUMNS, output=output, query=query)
