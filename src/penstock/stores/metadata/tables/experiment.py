"""The tables of experiments."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, PrimaryKeyConstraint, String, Table, Text

from penstock.stores.metadata.tables.base import NAME, ROW, metadata

experiments = Table(
    "experiments",
    metadata,
    Column("id", ROW, primary_key=True),
    Column("name", NAME, nullable=False, unique=True),
    Column("artifact_location", Text, nullable=False),
    Column("lifecycle_stage", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

experiment_tags = Table(
    "experiment_tags",
    metadata,
    Column("experiment", ROW, ForeignKey("experiments.id"), nullable=False),
    Column("key", NAME, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("experiment", "key"),
    sqlite_with_rowid=False,
)
