"""The tables of endpoints and their deployments."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, PrimaryKeyConstraint, Table, Text

from penstock.stores.metadata.tables.base import NAME, metadata

endpoints = Table(
    "endpoints",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("primary_key", Text),
    Column("secondary_key", Text),
    Column("document", Text, nullable=False),
)

deployments = Table(
    "deployments",
    metadata,
    Column("endpoint_name", NAME, ForeignKey("endpoints.name"), nullable=False),
    Column("name", NAME, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    PrimaryKeyConstraint("endpoint_name", "name"),
)
