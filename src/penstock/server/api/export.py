"""``/api/v1/runs:export``: every run a search finds, as one file that is made while it is sent."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from penstock.access.actors import Actor
from penstock.entities.run_query import EVERYTHING, RunExport, View
from penstock.rules.permissions import Action
from penstock.server import run_selection
from penstock.server.api.callers import Body, Caller, Wired, read_entity
from penstock.server.api.run_search import read_column_names
from penstock.server.openapi import describe, text
from penstock.server.run_export import MEDIA, export_runs
from penstock.server.services import Services

router = APIRouter(tags=["runs"])

_FILE = text("the file: JSON lines, CSV, an Arrow stream or Parquet")


@router.post(
    "/runs:export",
    **describe(
        "Export runs",
        _FILE,
        takes=RunExport,
        media="application/octet-stream",
        fails=(400, 422),
        action=Action.RUN_READ,
    ),
)
def export(services: Wired, actor: Caller, body: Body) -> Response:
    """Return all runs a search finds, their latest metrics or every point, in a format of choice."""
    return _answer(services, actor, read_entity(RunExport, body or b"{}"))


@router.get(
    "/runs:export",
    **describe("Export runs", _FILE, media="application/octet-stream", fails=(400, 422), action=Action.RUN_READ),
)
def export_by_query(
    services: Wired,
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
    return _answer(services, actor, asked)


def _answer(services: Services, actor: Actor, asked: RunExport) -> Response:
    with services.store.read() as connection:
        selected = run_selection.read_selection(connection, asked, actor)
    name = f'attachment; filename="runs.{asked.format}"'
    pieces = export_runs(services.store.read, selected, asked)
    return StreamingResponse(pieces, media_type=MEDIA[asked.format], headers={"content-disposition": name})
