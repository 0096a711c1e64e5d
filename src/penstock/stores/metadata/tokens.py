"""Tokens of attempts and people, kept as hashes only."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from penstock.stores.metadata.statements import put_row
from penstock.stores.metadata.tables import tokens


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
) -> None:
    """Record a token by the SHA-256 of its text."""
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
    )


def find_token(connection: Connection, token_hash: str) -> TokenRecord | None:
    """Return a token's record, expired or not, or None where it is unknown or revoked."""
    row = connection.execute(select(tokens).where(tokens.c.token_hash == token_hash)).one_or_none()
    return None if row is None else TokenRecord(**row._asdict())


def revoke_tokens(connection: Connection, attempt_id: str) -> None:
    """Forget the tokens of an attempt; idempotent."""
    connection.execute(delete(tokens).where(tokens.c.attempt_id == attempt_id))
