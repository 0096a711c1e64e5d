"""The tables that say which content lies where: artifacts, and trees of files.

``run_artifacts``, ``model_artifacts`` and ``loose_artifacts`` have one shape; the last holds what a client puts
under a location that belongs to no run and no logged model.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, PrimaryKeyConstraint, Table

from penstock.stores.metadata.tables.base import DIGEST, NAME, ROW, metadata

run_artifacts = Table(
    "run_artifacts",
    metadata,
    Column("run", ROW, ForeignKey("runs.id"), nullable=False),
    Column("path", NAME, nullable=False),
    Column("digest", DIGEST, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("executable", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("run", "path"),
    sqlite_with_rowid=False,
)

model_artifacts = Table(
    "model_artifacts",
    metadata,
    Column("model", ROW, ForeignKey("logged_models.id"), nullable=False),
    Column("path", NAME, nullable=False),
    Column("digest", DIGEST, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("executable", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("model", "path"),
    sqlite_with_rowid=False,
)

loose_artifacts = Table(
    "loose_artifacts",
    metadata,
    Column("path", NAME, primary_key=True),
    Column("digest", DIGEST, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("executable", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

trees = Table(
    "trees",
    metadata,
    Column("id", ROW, primary_key=True),
    Column("digest", DIGEST, nullable=False, unique=True),
    Column("is_file", Boolean, nullable=False),
)

tree_entries = Table(
    "tree_entries",
    metadata,
    Column("tree", ROW, ForeignKey("trees.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("path", NAME, nullable=False),
    Column("digest", DIGEST, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("executable", Boolean, nullable=False),
    PrimaryKeyConstraint("tree", "position"),
    sqlite_with_rowid=False,
)
