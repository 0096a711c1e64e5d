"""``penstock run``: find, compare and look after runs, whoever made them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.command import command, make_group
from penstock.cli.options import LimitOption, OutputOption, QueryOption, WorkspaceOption
from penstock.cli.output import Format, emit, human_size, note
from penstock.cli.run_files import add_file_commands
from penstock.cli.run_tables import (
    differences,
    file_line,
    heads_of,
    listed,
    missing_columns,
    one_line,
    readable,
    short_number,
    show_table,
    table_of,
)
from penstock.cli.session import open_rest

app = make_group("Find, compare and look after runs: jobs' and those that MLflow's client made.")

DEFAULT_COLUMNS = "run_name,experiment_name,status,start_time,duration"
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
NEVER_CUT = ("RUN", "STATUS", "STARTED", "ENDED", "DURATION")
MOST_NAMED = 8


class What(StrEnum):
    """What an export has a row for."""

    RUNS = "runs"
    METRICS = "metrics"
    POINTS = "points"


class View(StrEnum):
    """Which runs are shown."""

    ACTIVE = "active"
    DELETED = "deleted"
    ALL = "all"


RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id; six characters are enough if unique.")]
RunsArgument = Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of runs, or beginnings of them.")]
ExperimentOption = Annotated[
    list[str] | None,
    typer.Option("--experiment", "-e", metavar="NAME", help="Only of this experiment; may be given several times."),
]
FilterOption = Annotated[str, typer.Option("--filter", help="Such as \"metrics.accuracy > 0.9 or tags.best = 'yes'\".")]
OrderOption = Annotated[
    list[str] | None,
    typer.Option("--order-by", "-s", help='Such as "metrics.accuracy desc"; newest first without it.'),
]
ViewOption = Annotated[View, typer.Option("--view", help="Which runs: active, deleted or all.")]


@command(
    app,
    "list",
    "penstock run list -e digits",
    "penstock run list -e digits --filter \"metrics.accuracy > 0.9 or tags.best = 'yes'\" "
    '--order-by "metrics.accuracy desc" --columns metrics.accuracy,params.lr',
    "penstock run list --filter \"params.model in ('tree', 'forest') and not status = 'FAILED'\" -o tsv",
    "penstock run list --view deleted -o json --query '[].run_id'",
)
def list_(
    experiment: ExperimentOption = None,
    where: FilterOption = "",
    order_by: OrderOption = None,
    columns: Annotated[
        str | None, typer.Option("--columns", "-c", help="Such as metrics.accuracy,params.lr,tags.*,status.")
    ] = None,
    view: ViewOption = View.ACTIVE,
    limit: LimitOption = 50,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """List runs, newest first unless ordered otherwise."""
    _search(experiment, where, order_by, columns, view, limit, workspace, output, query)


@command(
    app,
    "search",
    "penstock run search \"metrics.accuracy > 0.9 and params.model matches '^tree'\"",
    'penstock run search "duration > \'1h\'" -e digits --order-by "duration desc"',
)
def search(
    where: Annotated[str, typer.Argument(metavar="FILTER", help="What to look for.")],
    experiment: ExperimentOption = None,
    order_by: OrderOption = None,
    columns: Annotated[
        str | None, typer.Option("--columns", "-c", help="Such as metrics.accuracy,params.lr,tags.*,status.")
    ] = None,
    view: ViewOption = View.ACTIVE,
    limit: LimitOption = 50,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """List the runs that a filter finds.

    The same as `run list --filter`.
    """
    _search(experiment, where, order_by, columns, view, limit, workspace, output, query)


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


@command(
    app,
    "export",
    "penstock run export -f runs.parquet",
    'penstock run export -e digits --filter "metrics.accuracy > 0.9" --columns "metrics.*,params.lr" -f best.csv',
    "penstock run export -e digits --what points -f history.parquet",
)
def export(
    file: Annotated[
        Path,
        typer.Option("--file", "-f", metavar="FILE", help="Its ending is the format: parquet, arrow, csv or jsonl."),
    ],
    experiment: ExperimentOption = None,
    where: FilterOption = "",
    order_by: OrderOption = None,
    columns: Annotated[str | None, typer.Option("--columns", "-c", help="All without it.")] = None,
    view: ViewOption = View.ACTIVE,
    what: Annotated[
        What, typer.Option("--what", help="A row for each of the runs, their latest metrics, or all points.")
    ] = What.RUNS,
    workspace: WorkspaceOption = None,
) -> None:
    """Write all runs that a filter finds to a file.

    It appears once it is whole.
    """
    from penstock.cli.progress import save_with_progress
    from penstock.sdk.response import check_folder
    from penstock.sdk.runs import format_of, selection_of

    check_folder(file)
    form = format_of(file)
    chosen = columns.split(",") if columns else None
    selection = selection_of(where, order_by or (), experiment, chosen, view.value)
    answer = open_rest(workspace).export_runs({**selection, "format": form, "what": what.value})
    size = save_with_progress(answer, file)
    note(f"{file}: {human_size(size)}")


@command(app, "delete", "penstock run delete 3f2a91", "penstock run delete 3f2a91 77c0de")
def delete(run: RunsArgument, workspace: WorkspaceOption = None) -> None:
    """Hide runs from searches.

    `penstock run restore` brings them back, `penstock gc` removes them for good.
    """
    rest = open_rest(workspace)
    for name in run:
        note(f"Deleted {rest.delete_run(name)['run_id']}")


@command(app, "restore", "penstock run restore 3f2a91")
def restore(run: RunsArgument, workspace: WorkspaceOption = None) -> None:
    """Show deleted runs again."""
    rest = open_rest(workspace)
    for name in run:
        note(f"Restored {rest.delete_run(name, restore=True)['run_id']}")


@command(
    app,
    "tag",
    "penstock run tag 3f2a91 best=yes team=vision",
    "penstock run tag 3f2a91 --remove best --rename 'the good one'",
)
def tag(
    run: RunArgument,
    tags: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Tags to set.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", metavar="KEY", help="A tag to remove.")] = None,
    rename: Annotated[str | None, typer.Option("--rename", metavar="NAME", help="Another name for people.")] = None,
    workspace: WorkspaceOption = None,
    output: OutputOption = None,
    query: QueryOption = None,
) -> None:
    """Set and remove tags of a run, or rename it."""
    from penstock.entities.errors import UsageError

    change: dict[str, Any] = {"tags": dict.fromkeys(remove or ())}
    for text in tags or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f'"{text}" is no tag', hint="Write KEY=VALUE, or --remove KEY.")
        change["tags"][key] = value
    if rename is not None:
        change["run_name"] = rename
    if not change["tags"] and rename is None:
        raise UsageError("nothing says what to change", hint="Write KEY=VALUE, --remove KEY or --rename NAME.")
    found = open_rest(workspace).change_run(run, change)
    emit(found["tags"], output=output, query=query)


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


def _search(
    experiment: Sequence[str] | None,
    where: str,
    order_by: Sequence[str] | None,
    columns: str | None,
    view: View,
    limit: int,
    workspace: str | None,
    output: Format | None,
    query: str | None,
) -> None:
    from penstock.sdk.runs import selection_of

    is_table = not query and output in {None, Format.TABLE, Format.TSV}
    chosen = columns if columns is not None else DEFAULT_COLUMNS if is_table else None
    wanted = chosen.split(",") if chosen is not None else None
    if wanted is not None and columns is not None and is_table:
        wanted = ["run_name", *wanted]
    selection = selection_of(where, order_by or (), experiment, wanted, view.value)
    rest = open_rest(workspace)
    found = list(rest.search_runs(selection, limit=limit, say=lambda line: note(f"note: {line}")))
    if not is_table:
        emit(found, output=output, query=query)
        return
    asked = selection["columns"]
    headers, rows = table_of(found, asked, full=output is Format.TSV)
    show_table(rows, output, headers=headers, fixed=NEVER_CUT)
    missing = missing_columns(found, asked)
    if not found and (view is not View.ACTIVE or where or experiment):
        note("No runs match.")
    elif missing:
        note(f"note: none of these runs has {' or '.join(missing)}.")
    elif not found:
        note("No runs yet. `penstock job create` makes one, or any MLflow client: see `penstock env`.")
    elif len(found) == limit:
        note(f"The first {limit}; more with --max-results.")


add_file_commands(app)
