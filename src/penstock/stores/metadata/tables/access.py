"""The tables of tokens, of the audit log, and of replies that are given again to a repeated request."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, PrimaryKeyConstraint, String, Table, Text

from penstock.stores.metadata.tables.base import NAME, ROW, metadata

tokens = Table(
    "tokens",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("experiment_id", Text),
    Column("attempt_id", NAME, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("token_id", NAME),
    Column("created_by", Text, nullable=False, server_default=""),
    Column("revoked_at", BigInteger),
    sqlite_with_rowid=False,
)
Index("ix_tokens_token_id", tokens.c.token_id, unique=True)

events = Table(
    "events",
    metadata,
    Column("seq", ROW, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

replies = Table(
    "replies",
    metadata,
    Column("scope", NAME, nullable=False),
    Column("key", NAME, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
    PrimaryKeyConstraint("scope", "key"),
    sqlite_with_rowid=False,
)
