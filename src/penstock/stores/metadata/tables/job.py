"""The tables of jobs and their attempts."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from penstock.stores.metadata.tables.base import NAME, ROW, metadata

jobs = Table(
    "jobs",
    metadata,
    Column("id", ROW, primary_key=True),
    Column("name", NAME, ForeignKey("runs.run_id"), nullable=False, unique=True),
    Column("type", String(32), nullable=False),
    Column("display_name", Text, nullable=False),
    Column("experiment_name", NAME, nullable=False),
    Column("status", String(32), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("attempt", Integer, nullable=False),
    Column("compute", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("state", Text, nullable=False),
    sqlite_autoincrement=True,
)
Index("ix_jobs_experiment", jobs.c.experiment_name, jobs.c.id)

attempts = Table(
    "attempts",
    metadata,
    Column("attempt_id", NAME, primary_key=True),
    Column("job_name", NAME, ForeignKey("jobs.name"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("token_hash", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("process_start", BigInteger, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("spool_offset", BigInteger, nullable=False),
    Column("log_offset", BigInteger, nullable=False),
    Column("exit_code", Integer),
    Column("reason", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("relay_seq", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("job_name", "number"),
)
