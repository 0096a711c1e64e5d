"""What nobody asked for is refused: unknown names in a query, and bodies that a door does not read.

A misspelled ``limit`` or ``filter`` that is merely ignored answers another question than the one that was asked. The
keys of bodies are checked by the entities that read them; here are the query and the doors without a body, in one
place for every door. The doors of Penstock's own processes are left out: an agent may be older than its server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from fastapi import Request

from penstock.entities.errors import Problem, SpecError
from penstock.rules.pointers import join_pointer
from penstock.rules.suggest import did_you_mean

OURS = "/api/"
MAX_NAME = 60


async def check_names(request: Request) -> None:
    """Raise SpecError, with a pointer to each, for names that this door does not know."""
    if not request.url.path.startswith(OURS):
        return
    route = request.scope.get("route")
    problems: list[Problem] = []
    if request.scope["query_string"]:
        problems += _unknown_parameters(request, sorted(set(_parameters(getattr(route, "dependant", None)))))
    if _has_body(request) and "requestBody" not in (getattr(route, "openapi_extra", None) or {}):
        problems += _unread_keys(await request.body())
    if problems:
        raise SpecError(problems)


def _unknown_parameters(request: Request, known: list[str]) -> Iterator[Problem]:
    for name in dict.fromkeys(request.query_params):
        if name not in known:
            possible = f"Possible: {', '.join(known)}." if known else "This address takes none."
            hint = did_you_mean(name, known) or possible
            yield Problem(f'unknown query parameter "{_short(name)}"', join_pointer([name]), hint=hint)


def _parameters(dependant: Any) -> Iterator[str]:
    """Yield the names of the query parameters of a door and of what it depends on."""
    if dependant is None:
        return
    yield from (field.alias for field in dependant.query_params)
    for part in dependant.dependencies:
        yield from _parameters(part)


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _unread_keys(body: bytes) -> Iterator[Problem]:
    """Yield what a body says where none is read; clients that always send one send an empty object."""
    if not body.strip():
        return
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        document = body
    if document is None or document == {}:
        return
    hint = "Leave the body out."
    if not isinstance(document, dict):
        yield Problem("this address takes no body", hint=hint)
        return
    for name in document:
        yield Problem(f'unknown key "{_short(name)}": this address takes no body', join_pointer([name]), hint=hint)


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"
