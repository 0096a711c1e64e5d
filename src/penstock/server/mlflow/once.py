"""What a job's relay asks for twice because an answer was lost is done once.

The relay marks a call that registers something, with the same mark when its client sends it again. What was made is
kept under the mark in the transaction that makes it, for as long as the answers to an ``Idempotency-Key``.
"""

from __future__ import annotations

import re

from sqlalchemy import Connection

from penstock.access.actors import Role
from penstock.server.mlflow.call import Call
from penstock.stores.metadata.idempotency import find_reply, put_reply

MARK = "x-penstock-once"
_MARK = re.compile(r"[0-9a-f]{32}")


def find_made(call: Call, connection: Connection) -> str | None:
    """Return what a call with this mark made before, as it was given to :func:`keep_made`."""
    mark = _mark(call)
    return find_reply(connection, mark, _scope(call), call.now) if mark else None


def keep_made(call: Call, connection: Connection, made: str) -> None:
    """Remember what a marked call made; call it in the operation that makes it."""
    mark = _mark(call)
    if mark:
        put_reply(connection, mark, _scope(call), made, call.now)


def _mark(call: Call) -> str:
    mark = call.request.headers.get(MARK, "") if call.actor.role is Role.JOB else ""
    return mark if _MARK.fullmatch(mark) else ""


def _scope(call: Call) -> str:
    return f"{call.actor.name} POST {call.request.scope['path']}"
