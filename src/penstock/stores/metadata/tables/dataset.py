"""The tables of datasets, and of the runs that read them."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, PrimaryKeyConstraint, Table, Text, UniqueConstraint

from penstock.stores.metadata.tables.base import NAME, ROW, metadata

datasets = Table(
    "datasets",
    metadata,
    Column("id", ROW, primary_key=True),
    Column("experiment", ROW, ForeignKey("experiments.id"), nullable=False),
    Column("name", NAME, nullable=False),
    Column("digest", NAME, nullable=False),
    Column("source_type", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("schema", Text),
    Column("profile", Text),
    UniqueConstraint("experiment", "name", "digest"),
    sqlite_autoincrement=True,
)

run_datasets = Table(
    "run_datasets",
    metadata,
    Column("run", ROW, ForeignKey("runs.id"), nullable=False),
    Column("dataset", ROW, ForeignKey("datasets.id"), nullable=False),
    Column("context", NAME),
    Column("tags", Text, nullable=False),
    PrimaryKeyConstraint("run", "dataset"),
    sqlite_with_rowid=False,
)
Index("ix_run_datasets_dataset", run_datasets.c.dataset, run_datasets.c.run)
