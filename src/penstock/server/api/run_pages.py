"""Pages of runs as REST shows them: the question behind ``/api/v1/runs`` and ``/api/v1/runs/search``."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection

from penstock.access.actors import Actor
from penstock.entities.run_query import RunSearch
from penstock.rules.instants import rfc3339
from penstock.server import run_selection
from penstock.server.api import wire
from penstock.server.readers.question import Question
from penstock.stores.metadata.search import run_columns


class PageAsked(Struct, array_like=True):
    """A search, as the entity's JSON, and who asks."""

    search: dict[str, Any]
    actor: Actor


def search_page(connection: Connection, asked: PageAsked) -> bytes:
    """Return a page of the runs that the caller may see; raises as :func:`run_selection.read_selection`."""
    search = RunSearch.model_validate(asked.search)
    selected = run_selection.read_selection(connection, search, asked.actor)
    found = run_selection.find_page(connection, selected, limit=search.limit, following=search.next)
    items = run_columns.read_columns(connection, found.rows, selected.columns)
    body: dict[str, Any] = {"items": [show_run(item) for item in items]}
    following = run_selection.show_next(selected, found)
    if following is not None:
        body["next"] = following
    if selected.warnings:
        body["warnings"] = list(selected.warnings)
    return msgspec.json.encode(body)


SEARCH = Question("runs.search", PageAsked, search_page)


def show_run(run: dict[str, Any]) -> dict[str, Any]:
    """Turn a run as the store reads it into what REST shows, in place."""
    for name in ("start_time", "end_time"):
        if run.get(name) is not None:
            run[name] = rfc3339(run[name])
    for name in ("end_time", "duration"):
        if name in run and run[name] is None:
            del run[name]
    if "metrics" in run:
        run["metrics"] = {key: wire.number(value) for key, value in run["metrics"].items()}
    return run
