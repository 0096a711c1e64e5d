"""``/api/v1/runs:export``: every run a search finds, as one file that a process beside makes while it is sent."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from penstock.access.actors import Actor
from penstock.entities.run_query import EVERYTHING, RunExport, View
from penstock.rules.permissions import Action
from penstock.server.api.callers import Body, Caller, read_entity
from penstock.server.api.run_search import read_column_names
from penstock.server.beside import Beside
from penstock.server.export_order import MEDIA, RunsExport
from penstock.server.openapi import describe, text

router = APIRouter(tags=["runs"])

_FILE = text("the file: JSON lines, CSV, an Arrow stream or Parquet")


@router.post(
    "/runs:export",
    **describe(
        "Export runs",
        _FILE,
        takes=RunExport,
        media="application/octet-stream",
        fails=(400, 422, 429),
        action=Action.RUN_READ,
    ),
)
async def export(request: Request, actor: Caller, body: Body) -> Response:
    """Return all runs a search finds, their latest metrics or every point, in a format of choice."""
    return await _answer(request, actor, read_entity(RunExport, body or b"{}"))


@router.get(
    "/runs:export",
    **describe("Export runs", _FILE, media="application/octet-stream", fails=(400, 422, 429), action=Action.RUN_READ),
)
async def export_by_query(
    request: Request,
    actor: Caller,
    form: Annotated[
        Literal["parquet", "arrow", "csv", "jsonl"], Query(alias="format", description="parquet, arrow, csv or jsonl")
    ] = "jsonl",
    what: Annotated[Literal["runs", "metrics", "points"], Query(description="a row for each of these")] = "runs",
    where: Annotated[str, Query(alias="filter", description="as in a search: metrics.accuracy > 0.9")] = "",
    order_by: Annotated[list[str] | None, Query(description="such as `metrics.accuracy desc`")] = None,
    experiment: Annotated[list[str] | None, Query(description="names or ids")] = None,
    view: Annotated[View, Query(description="active, deleted or all")] = "active",
    columns: Annotated[str | None, Query(description="such as metrics.accuracy,params.lr,tags.*")] = None,
) -> Response:
    """Return the same file for a link."""
    asked = RunExport(
        format=form,
        what=what,
        filter=where,
        order_by=tuple(order_by or ()),
        experiments=tuple(experiment) if experiment else None,
        view=view,
        columns=EVERYTHING if columns is None else read_column_names(columns),
    )
    return await _answer(request, actor, asked)


async def _answer(request: Request, actor: Actor, asked: RunExport) -> Response:
    beside: Beside = request.app.state.beside
    task = RunsExport(asked.model_dump(mode="json"), actor)
    return await beside.answer(request, task, media=MEDIA[asked.format], filename=f"runs.{asked.format}")
