"""What nobody reads is refused: a body with keys at a door that takes none.

The keys of other bodies are checked by the entities that read them. Unknown names in a query are ignored, so that a
newer client may ask an older server. The doors of Penstock's own processes are left out for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from fastapi import Request

from penstock.entities.errors import Problem, SpecError
from penstock.rules.pointers import join_pointer

OURS = "/api/"
MAX_NAME = 60


async def check_body(request: Request) -> None:
    """Raise SpecError, with a pointer to each key, for a body that this door does not read."""
    if not request.url.path.startswith(OURS):
        return
    route = request.scope.get("route")
    problems: list[Problem] = []
    if _has_body(request) and "requestBody" not in (getattr(route, "openapi_extra", None) or {}):
        problems += _unread_keys(await request.body())
    if problems:
        raise SpecError(problems)


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
