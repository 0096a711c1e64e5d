"""Options and arguments that commands about runs share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


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
ColumnsOption = Annotated[
    str | None, typer.Option("--columns", "-c", help="Such as metrics.accuracy,params.lr,tags.*,status.")
]
