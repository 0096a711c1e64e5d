"""Clients that hang up before their answer: whatever is done for them is ended then."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from penstock.access.actors import Actor

T = TypeVar("T")


def caller_of(actor: Actor, request: Request) -> str:
    """Return whose turn a request takes: a token's or a job's, on one machine."""
    who = actor.token_id or actor.attempt_id or actor.name
    return f"{who} {request.client.host if request.client else ''}"


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what comes of a request whose body was read; cancel it when the client hangs up.

    Raises
    ------
    ClientDisconnect
        If it did.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_hang_up(request))
    both = (working, watching)
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in both:
            task.cancel()
        await asyncio.wait(both)
        if not working.cancelled():
            working.exception()  # it may have failed only now; nobody is left to hear it


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
