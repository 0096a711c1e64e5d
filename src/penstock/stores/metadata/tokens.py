"""Tokens of attempts and people, kept as hashes only."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, or_, select, update

from penstock.stores.metadata.engine.statements import put_row
from penstock.stores.metadata.tables import tokens

USER = "user"


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What a token lets its holder be; times in ms UTC."""

    token_hash: str
    kind: str
    actor: str
    role: str
    experiment_id: str | None
    attempt_id: str | None
    created_at: int
    expires_at: int | None
    token_id: str | None = None
    created_by: str = ""
    revoked_at: int | None = None


def put_token(
    connection: Connection,
    token_hash: str,
    *,
    kind: str,
    actor: str,
    role: str,
    experiment_id: str | None,
    attempt_id: str | None,
    now: int,
    expires_at: int | None = None,
    token_id: str | None = None,
    created_by: str = "",
) -> None:
    """Record a token by the SHA-256 of its text; those of people have an id."""
    put_row(
        connection,
        tokens,
        token_hash=token_hash,
        kind=kind,
        actor=actor,
        role=role,
        experiment_id=experiment_id,
        attempt_id=attempt_id,
        created_at=now,
        expires_at=expires_at,
        token_id=token_id,
        created_by=created_by,
    )


def find_token(connection: Connection, token_hash: str) -> TokenRecord | None:
    """Return a token's record, expired or not, or None where it is unknown or revoked."""
    wanted = select(tokens).where(tokens.c.token_hash == token_hash, tokens.c.revoked_at.is_(None))
    row = connection.execute(wanted).one_or_none()
    return None if row is None else TokenRecord(**row._asdict())


def find_live_token(connection: Connection, name: str, *, now: int) -> TokenRecord | None:
    """Return the token of a person that has this name, or id, and is neither revoked nor expired."""
    for column in (tokens.c.actor, tokens.c.token_id):
        row = connection.execute(select(tokens).where(column == name, *_live(now))).first()
        if row is not None:
            return TokenRecord(**row._asdict())
    return None


def list_tokens(connection: Connection, *, after: str | None = None, limit: int = 100) -> list[TokenRecord]:
    """Return people's tokens by their ids, revoked and expired ones too."""
    wanted = select(tokens).where(tokens.c.kind == USER)
    if after:
        wanted = wanted.where(tokens.c.token_id > after)
    rows = connection.execute(wanted.order_by(tokens.c.token_id).limit(limit))
    return [TokenRecord(**row._asdict()) for row in rows]


def revoke_token(connection: Connection, token_id: str, *, now: int) -> None:
    """End a person's token; its row stays, so that the log's names can be told."""
    changed = update(tokens).where(tokens.c.token_id == token_id, tokens.c.revoked_at.is_(None))
    connection.execute(changed.values(revoked_at=now))


def _live(now: int) -> tuple[ColumnElement[bool], ...]:
    return (
        tokens.c.kind == USER,
        tokens.c.revoked_at.is_(None),
        or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now),
    )


def revoke_tokens(connection: Connection, attempt_id: str) -> None:
    """Forget the tokens of an attempt; idempotent."""
    connection.execute(delete(tokens).where(tokens.c.attempt_id == attempt_id))
