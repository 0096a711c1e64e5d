"""What a search or an export of runs asks for, as REST, the client and the command line say it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from penstock.entities.base import Entity

MAX_RUNS = 1000

Every = Literal["*"]
Names = Annotated[tuple[str, ...] | Every, Field(description="names, or * for all")]
View = Literal["active", "deleted", "all"]


class RunColumns(Entity):
    """Which columns travel; what is not named does not."""

    attributes: Names = "*"
    metrics: Names = ()
    params: Names = ()
    tags: Names = ()


EVERYTHING = RunColumns(metrics="*", params="*", tags="*")


class RunSelection(Entity):
    """Which runs, in which order, with which columns."""

    filter: str = ""
    order_by: tuple[str, ...] = ()
    experiments: tuple[str, ...] | None = Field(default=None, description="names or ids; all without it")
    view: View = "active"
    columns: RunColumns = EVERYTHING


class RunSearch(RunSelection):
    """One page of them."""

    limit: int = Field(default=100, ge=1, le=MAX_RUNS)
    next: str | None = Field(default=None, description="`next` of the page before")


class RunExport(RunSelection):
    """All of them.

    ``runs`` gives a row for each run, ``metrics`` one for the latest value of each metric of each run, ``points``
    one for every value that was logged; of the last two ``columns.metrics`` selects the metrics.
    """

    format: Literal["parquet", "arrow", "csv", "jsonl"] = "jsonl"
    what: Literal["runs", "metrics", "points"] = "runs"
