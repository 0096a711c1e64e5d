"""Replies to requests with an ``Idempotency-Key``, kept 24 hours, so a repeated request is answered, not redone."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from penstock.stores.metadata.engine.statements import put_row
from penstock.stores.metadata.tables import replies

KEPT_MS = 24 * 60 * 60 * 1000


def find_reply(connection: Connection, key: str, scope: str, now: int) -> str | None:
    """Return the reply that was given to ``key`` within the last 24 hours, or None.

    Parameters
    ----------
    scope : str
        Who asked for what, such as ``admin POST /api/v1/jobs``; keys of different scopes are strangers.
    """
    statement = select(replies.c.body).where(
        replies.c.scope == scope, replies.c.key == key, replies.c.created_at > now - KEPT_MS
    )
    return connection.execute(statement).scalar_one_or_none()


def put_reply(connection: Connection, key: str, scope: str, body: str, now: int) -> None:
    """Keep a reply; call it in the operation that makes the change. Forgets replies that have expired."""
    connection.execute(delete(replies).where(replies.c.created_at <= now - KEPT_MS))
    put_row(connection, replies, scope=scope, key=key, body=body, created_at=now)
