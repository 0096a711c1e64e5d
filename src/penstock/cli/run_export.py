"""``penstock run export``: runs as a file for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.command import command
from penstock.cli.options import WorkspaceOption
from penstock.cli.output import human_size, note
from penstock.cli.run_options import ExperimentOption, FilterOption, OrderOption, View, ViewOption
from penstock.cli.session import open_rest


class What(StrEnum):
    """What an export has a row for."""

    RUNS = "runs"
    METRICS = "metrics"
    POINTS = "points"


def add_export_command(app: typer.Typer) -> None:
    """Add ``export`` to the group of runs."""

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
            typer.Option(
                "--file", "-f", metavar="FILE", help="Its ending is the format: parquet, arrow, csv or jsonl."
            ),
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
        from penstock.sdk.runs import format_of, remark, selection_of

        check_folder(file)
        form = format_of(file)
        chosen = columns.split(",") if columns else None
        selection = selection_of(where, order_by or (), experiment, chosen, view.value)
        rest = open_rest(workspace)
        remark(rest, selection, lambda line: note(f"note: {line}"))
        answer = rest.export_runs({**selection, "format": form, "what": what.value})
        size = save_with_progress(answer, file)
        note(f"{file}: {human_size(size)}")
