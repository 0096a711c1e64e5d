"""``penstock run``: find, compare and look after runs, whoever made them."""

from __future__ import annotations

import shutil
from typing import Annotated, Any

import typer

from penstock.cli.command import command, make_group
from penstock.cli.options import OutputOption, QueryOption, WorkspaceOption
from penstock.cli.output import Format, emit, note
from penstock.cli.run_changes import add_change_commands
from penstock.cli.run_export import add_export_command
from penstock.cli.run_files import add_file_commands
from penstock.cli.run_options import RunArgument, RunsArgument
from penstock.cli.run_search import add_search_commands
from penstock.cli.run_tables import (
    differences,
    file_line,
    heads_of,
    listed,
    one_line,
    readable,
    short_number,
    show_table,
)
from penstock.cli.session import open_rest

app = make_group("Find, compare and look after runs: jobs' and those that MLflow's client made.")

DETAILS = {
    "run": "run_id",
    "name": "run_name",
    "description": "description",
    "experiment": "experiment_name",
    "status": "status",
    "deleted": "deleted",
    "by": "user_id",
    "started": "start_time",
    "ended": "end_time",
    "duration": "duration",
    "metrics": "metrics",
    "params": "params",
    "tags": "tags",
    "datasets": "datasets",
    "models used": "model_inputs",
    "models made": "model_outputs",
    "parent": "parent",
    "children": "children",
    "files": "files",
}
MOST_NAMED = 8

add_search_commands(app)


@command(app, "show", "penstock run show 3f2a91", "penstock run show 3f2a91 --query metrics.accuracy -o tsv")
def show(
    run: RunArgument, workspace: WorkspaceOption = None, output: OutputOption = None, query: QueryOption = None
) -> None:
    """Show a run.

    Its parameters, latest metrics, tags, inputs and models, the runs above and below it, and its files.
    """
    rest = open_rest(workspace)
    found = rest.get_run(run)
    if not query and output in {None, Format.TABLE}:
        emit({**readable(found), **_around(rest, found)}, columns=DETAILS, output=output)
        return
    emit(found, columns=DETAILS, output=output, query=query)


@command(
    app,
    "compare",
    "penstock run compare 3f2a91 77c0de",
    "penstock run compare 3f2a91 77c0de 0a1b2c --all -o tsv",
)
def compare(
    run: RunsArgument,
    everything: Annotated[bool, typer.Option("--all", help="What is equal too.")] = False,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Show in what runs differ.

    Their parameters and latest metrics stand beside each other.
    """
    from penstock.entities.errors import UsageError

    if len(run) < 2:
        raise UsageError("one run differs from nothing", hint="Name two or more runs.")
    rest = open_rest(workspace)
    found = [rest.get_run(name) for name in run]
    rows = differences(found, everything=everything)
    if query or output in {Format.JSON, Format.YAML}:
        emit(rows, output=output, query=query)
        return
    if not rows:
        note("They have the same parameters and metrics.")
        return
    heads = heads_of(found)
    table = [
        {"": row["name"], **{head: short_number(value) for head, value in zip(heads, row["values"], strict=True)}}
        for row in rows
    ]
    show_table(table, output, headers=["", *heads], fixed=("",))


@command(
    app,
    "metrics",
    "penstock run metrics 3f2a91",
    "penstock run metrics 3f2a91 loss",
    "penstock run metrics 3f2a91 loss --from-step 1000 -o tsv",
)
def metrics(
    run: RunArgument,
    key: Annotated[
        str | None, typer.Argument(metavar="METRIC", help="Draw this one; without it, all in short.")
    ] = None,
    from_step: Annotated[int | None, typer.Option("--from-step", help="Only from this step on.")] = None,
    to_step: Annotated[int | None, typer.Option("--to-step", help="Only up to this step.")] = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Draw a metric, or show all in short.

    Every value with -o tsv or json.
    """
    from penstock.cli.plot import draw, sparkline

    rest = open_rest(workspace)
    found = rest.get_run(run)
    span = {"from_step": from_step, "to_step": to_step}
    if key is None:
        rows = []
        for name, value in sorted(found["metrics"].items()):
            curve = [
                float(point["value"]) for point in rest.read_history(found["run_id"], name, **span, max_points=200)
            ]
            rows.append({"METRIC": name, "LATEST": short_number(value), "CURVE": sparkline(curve)})
        if query or output not in {None, Format.TABLE}:
            emit(found["metrics"], output=output, query=query)
        else:
            emit(rows, output=output)
        return
    if query or output not in {None, Format.TABLE}:
        emit(list(rest.read_history(found["run_id"], key, **span)), output=output, query=query)
        return
    points = list(rest.read_history(found["run_id"], key, **span, max_points=2000))
    steps = sorted(points, key=lambda point: point["step"])
    size = shutil.get_terminal_size((80, 24))
    width, height = min(size.columns, 100), min(16, size.lines - 4)
    lines = draw([(point["step"], float(point["value"])) for point in steps], width=width, height=height)
    typer.echo("\n".join([f"{key} of {found['run_name']} by step", *lines]))


add_export_command(app)
add_change_commands(app)
add_file_commands(app)


def _around(rest: Any, run: dict[str, Any]) -> dict[str, Any]:
    """Return what is not in the run's own record: the runs above and below it, and its files."""
    from penstock.entities.errors import NotFoundError
    from penstock.sdk.runs import selection_of

    found: dict[str, Any] = {}
    parent = run["tags"].get("mlflow.parentRunId")
    if parent:
        try:
            found["parent"] = one_line(rest.get_run(parent))
        except NotFoundError:
            found["parent"] = f"{parent} (not there any more)"
    where = f"tags.`mlflow.parentRunId` = '{run['run_id']}'"
    below = selection_of(where, (), None, ["run_name", "status"], "all")
    children = [one_line(child) for child in rest.search_runs(below, limit=1000)]
    found["children"] = listed(children, MOST_NAMED)
    found["files"] = listed([file_line(item) for item in rest.list_artifacts(run["run_id"])], MOST_NAMED)
    return found
