"""``/api/v1/runs`` and ``/api/v1/runs/search``: pages of runs with the columns that are asked for.

A page is read in one snapshot and goes out as it was read; a column nobody asked for is neither read nor sent.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from penstock.access.actors import Actor
from penstock.entities.run_query import EVERYTHING, RunColumns, RunSearch, View
from penstock.rules.column_names import parse_columns
from penstock.rules.permissions import Action
from penstock.server.api.callers import Body, Caller, Wired, read_entity
from penstock.server.api.run_pages import SEARCH, PageAsked
from penstock.server.hanging_up import caller_of, unless_gone
from penstock.server.openapi import Schema, array, describe, record, text
from penstock.server.readers.answers import AnswerResponse
from penstock.server.services import Services

router = APIRouter(tags=["runs"])

NUMBER = {"type": ["number", "string"], "description": 'a number, or "NaN", "Infinity", "-Infinity"'}
_TIME = {"type": "string", "format": "date-time"}
RUN_ITEM: Schema = {
    "type": "object",
    "required": ["run_id"],
    "properties": {
        **{name: text() for name in ("run_id", "run_name", "experiment_id", "experiment_name", "status", "user_id")},
        **{name: text() for name in ("lifecycle_stage", "artifact_uri")},
        "start_time": _TIME,
        "end_time": _TIME,
        "duration": {"type": "integer", "description": "milliseconds"},
        "metrics": {"type": "object", "additionalProperties": NUMBER},
        "params": {"type": "object", "additionalProperties": text()},
        "tags": {"type": "object", "additionalProperties": text()},
    },
}
PAGE: Schema = {
    **record(items=array(RUN_ITEM)),
    "properties": {
        "items": array(RUN_ITEM),
        "next": text("where the next page begins; absent on the last one"),
        "warnings": array(text("a name in the search that no run has")),
    },
}


@router.post(
    "/runs/search",
    **describe("Search runs", PAGE, takes=RunSearch, fails=(400, 422, 429, 503), action=Action.RUN_READ),
)
async def search_runs(request: Request, services: Wired, actor: Caller, body: Body) -> Response:
    """Return a page of runs: AND, OR, NOT, parentheses, IN, LIKE and MATCHES in the filter, only the columns asked."""
    return await answer_search(request, services, actor, read_entity(RunSearch, body or b"{}"))


@router.get("/runs", **describe("List runs", PAGE, fails=(400, 422, 429, 503), action=Action.RUN_READ))
async def list_runs(
    request: Request,
    services: Wired,
    actor: Caller,
    where: Annotated[str, Query(alias="filter", description="as in a search: metrics.accuracy > 0.9")] = "",
    order_by: Annotated[list[str] | None, Query(description="such as `metrics.accuracy desc`")] = None,
    experiment: Annotated[list[str] | None, Query(description="names or ids")] = None,
    view: Annotated[View, Query(description="active, deleted or all")] = "active",
    columns: Annotated[str | None, Query(description="such as metrics.accuracy,params.lr,tags.*")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="how many runs a page has at most")] = 100,
    following: Annotated[str | None, Query(alias="next", description="`next` of the page before")] = None,
) -> Response:
    """List runs, newest first unless ordered otherwise."""
    search = RunSearch(
        filter=where,
        order_by=tuple(order_by or ()),
        experiments=tuple(experiment) if experiment else None,
        view=view,
        columns=EVERYTHING if columns is None else read_column_names(columns),
        limit=limit,
        next=following,
    )
    return await answer_search(request, services, actor, search)


async def answer_search(request: Request, services: Services, actor: Actor, search: RunSearch) -> Response:
    """Return the page a search asks for."""
    asked = PageAsked(search.model_dump(mode="json"), actor)
    asking = services.readers.answer(SEARCH, asked, caller=caller_of(actor, request))
    return AnswerResponse(await unless_gone(request, asking))


def read_column_names(joined: str) -> RunColumns:
    """Return the columns that a comma-separated list names: ``metrics.accuracy,params.*,status``.

    Raises
    ------
    UsageError
        If a name has another prefix than metrics, params, tags or attributes.
    """
    return RunColumns.model_validate(parse_columns(joined.split(",")))
