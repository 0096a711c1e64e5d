"""``penstock compute``: see where jobs can run."""

from __future__ import annotations

from penstock.cli.command import command, make_group
from penstock.cli.options import NameOption, OutputOption, QueryOption, WorkspaceOption
from penstock.cli.output import emit
from penstock.cli.session import open_rest
from penstock.entities.errors import NotFoundError

app = make_group("See where jobs can run.")

COLUMNS = {
    "NAME": "name",
    "TYPE": "type",
    "STATE": "state",
    "SLOTS": "slots",
    "RUNNING": "running",
    "QUEUED": "queued",
    "CPUS": "cpus",
}


@command(app, "list", "penstock compute list")
def list_(workspace: WorkspaceOption = None, output: OutputOption = None, query: QueryOption = None) -> None:
    """List compute targets."""
    emit(list(open_rest(workspace).list_computes()), columns=COLUMNS, output=output, query=query)


@command(app, "show", "penstock compute show -n local")
def show(
    name: NameOption, workspace: WorkspaceOption = None, output: OutputOption = None, query: QueryOption = None
) -> None:
    """Show a compute target."""
    found = {target["name"]: target for target in open_rest(workspace).list_computes()}
    if name not in found:
        raise NotFoundError(f'no compute named "{name}"', hint=f"There are: {', '.join(sorted(found))}.")
    emit(found[name], output=output, query=query)
