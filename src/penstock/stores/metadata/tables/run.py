"""The tables of runs, their parameters and their tags.

A run is known by its integer row everywhere below ``runs``. ``params`` and ``tags`` repeat the run's experiment, which
never changes, so that one index answers "the runs of this experiment with this value"; their index holds the value, on
PostgreSQL, which indexes no long texts, its first characters.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, PrimaryKeyConstraint, String, Table, Text, func

from penstock.stores.metadata.tables.base import NAME, ROW, metadata

INDEXED_CHARACTERS = 64
"""So much of a parameter's or tag's value is in its index on PostgreSQL."""

runs = Table(
    "runs",
    metadata,
    Column("id", ROW, primary_key=True),
    Column("run_id", NAME, nullable=False, unique=True),
    Column("experiment", ROW, ForeignKey("experiments.id"), nullable=False),
    Column("run_name", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("lifecycle_stage", String(16), nullable=False),
    Column("start_time", BigInteger, nullable=False),
    Column("end_time", BigInteger),
    Column("deleted_at", BigInteger),
    Column("artifact_uri", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    sqlite_autoincrement=True,
)
Index("ix_runs_newest", runs.c.experiment, runs.c.lifecycle_stage, runs.c.start_time.desc(), runs.c.run_id)
# Holds every short attribute, so that comparing them reads no whole rows.
Index(
    "ix_runs_attributes",
    runs.c.experiment,
    runs.c.lifecycle_stage,
    runs.c.status,
    runs.c.user_id,
    runs.c.start_time,
    runs.c.end_time,
)

params = Table(
    "params",
    metadata,
    Column("run", ROW, ForeignKey("runs.id"), nullable=False),
    Column("key", NAME, nullable=False),
    Column("value", Text, nullable=False),
    Column("experiment", ROW, nullable=False),
    PrimaryKeyConstraint("run", "key"),
    sqlite_with_rowid=False,
)

tags = Table(
    "tags",
    metadata,
    Column("run", ROW, ForeignKey("runs.id"), nullable=False),
    Column("key", NAME, nullable=False),
    Column("value", Text, nullable=False),
    Column("experiment", ROW, nullable=False),
    PrimaryKeyConstraint("run", "key"),
    sqlite_with_rowid=False,
)

for _pairs in (params, tags):
    # An index that holds all a search reads is many times faster on SQLite; PostgreSQL's entries are at most 2.7 kB.
    _scope = (_pairs.c.experiment, _pairs.c.key)
    Index(f"ix_{_pairs.name}_value", *_scope, _pairs.c.value, _pairs.c.run).ddl_if(dialect="sqlite")
    Index(f"ix_{_pairs.name}_find", *_scope, func.substr(_pairs.c.value, 1, INDEXED_CHARACTERS), _pairs.c.run).ddl_if(
        dialect="postgresql"
    )
