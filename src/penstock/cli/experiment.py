"""``penstock experiment``: the groups that runs are in."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.command import command, make_group
from penstock.cli.options import OutputOption, QueryOption, WorkspaceOption
from penstock.cli.output import emit, note
from penstock.cli.run_options import View
from penstock.cli.session import open_rest

app = make_group("Look after the groups that runs are in.")

COLUMNS = {"ID": "id", "NAME": "name", "STAGE": "lifecycle_stage", "CREATED": "created_at"}
DETAILS = {
    "id": "id",
    "name": "name",
    "stage": "lifecycle_stage",
    "created": "created_at",
    "updated": "updated_at",
    "artifacts": "artifact_location",
    "tags": "tags",
}
ExperimentArgument = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Its name or id.")]


@command(app, "list", "penstock experiment list", "penstock experiment list --view deleted")
def list_(
    view: Annotated[View, typer.Option("--view", help="Which experiments: active, deleted or all.")] = View.ACTIVE,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """List experiments, newest first."""
    found = open_rest(workspace).list_experiments(view=view.value)
    emit(list(found), columns=COLUMNS, output=output, query=query)


@command(app, "show", "penstock experiment show digits")
def show(
    name: ExperimentArgument,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Show an experiment, deleted or not."""
    emit(open_rest(workspace).get_experiment(name), columns=DETAILS, output=output, query=query)


@command(app, "create", "penstock experiment create digits", "penstock experiment create digits --tag team=vision")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.")],
    tags: Annotated[list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="A tag to set.")] = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Create an experiment.

    A job or a run that names a new one creates it too.
    """
    from penstock.entities.errors import UsageError

    pairs = [text.partition("=") for text in tags or ()]
    for key, equals, value in pairs:
        if not equals:
            raise UsageError(f'"{key}" is no tag', hint="Write KEY=VALUE.")
        if not key:
            raise UsageError(f'"={value}" has no key before the "="', hint="Write KEY=VALUE, such as team=vision.")
    rest = open_rest(workspace, create=True)
    made = rest.create_experiment({"name": name, "tags": {key: value for key, _, value in pairs}})
    emit(made, columns=DETAILS, output=output, query=query)


@command(app, "rename", "penstock experiment rename digits digits-2026")
def rename(
    name: ExperimentArgument,
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME", help="Its name from now on.")],
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Give an experiment another name."""
    changed = open_rest(workspace).change_experiment(name, {"name": new_name})
    emit(changed, columns=DETAILS, output=output, query=query)


@command(app, "delete", "penstock experiment delete digits")
def delete(name: ExperimentArgument, workspace: WorkspaceOption = None) -> None:
    """Hide an experiment and its runs.

    `penstock experiment restore` brings them back; its name stays taken until `penstock gc` removes it for good.
    """
    note(f"Deleted {open_rest(workspace).delete_experiment(name)['name']}")


@command(app, "restore", "penstock experiment restore digits")
def restore(name: ExperimentArgument, workspace: WorkspaceOption = None) -> None:
    """Show a deleted experiment and its runs again."""
    note(f"Restored {open_rest(workspace).delete_experiment(name, restore=True)['name']}")
