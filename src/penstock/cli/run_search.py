"""``penstock run list|search``: find runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from penstock.cli.command import command
from penstock.cli.options import LimitOption, OutputOption, QueryOption, WorkspaceOption
from penstock.cli.output import Format, emit, note
from penstock.cli.run_options import ColumnsOption, ExperimentOption, FilterOption, OrderOption, View, ViewOption
from penstock.cli.run_tables import missing_columns, show_table, table_of
from penstock.cli.session import open_rest

DEFAULT_COLUMNS = "run_name,experiment_name,status,start_time,duration"
NEVER_CUT = ("RUN", "STATUS", "STARTED", "ENDED", "DURATION")


def add_search_commands(app: typer.Typer) -> None:
    """Add ``list`` and ``search`` to the group of runs."""

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
        columns: ColumnsOption = None,
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
        columns: ColumnsOption = None,
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
