"""The tables of assets.

A registered model is a row of ``asset_names``, its versions are rows of ``asset_versions``: what MLflow's client
registers and what ``penstock model`` lists is the same row.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from penstock.stores.metadata.tables.base import DIGEST, NAME, ROW, metadata

asset_names = Table(
    "asset_names",
    metadata,
    Column("kind", String(16), nullable=False),
    Column("name", NAME, nullable=False),
    Column("last_number", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False, server_default="0"),
    Column("updated_at", BigInteger, nullable=False, server_default="0"),
    Column("description", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("kind", "name"),
    sqlite_with_rowid=False,
)

asset_name_tags = Table(
    "asset_name_tags",
    metadata,
    Column("kind", String(16), nullable=False),
    Column("name", NAME, nullable=False),
    Column("key", NAME, nullable=False),
    Column("value", Text, nullable=False),
    ForeignKeyConstraint(["kind", "name"], ["asset_names.kind", "asset_names.name"]),
    PrimaryKeyConstraint("kind", "name", "key"),
    sqlite_with_rowid=False,
)

asset_aliases = Table(
    "asset_aliases",
    metadata,
    Column("kind", String(16), nullable=False),
    Column("name", NAME, nullable=False),
    Column("alias", NAME, nullable=False),
    Column("version", NAME, nullable=False),
    ForeignKeyConstraint(["kind", "name"], ["asset_names.kind", "asset_names.name"]),
    PrimaryKeyConstraint("kind", "name", "alias"),
    sqlite_with_rowid=False,
)

asset_versions = Table(
    "asset_versions",
    metadata,
    Column("id", ROW, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", NAME, nullable=False),
    Column("version", NAME, nullable=False),
    Column("tree", DIGEST),
    Column("job_name", NAME),
    Column("created_at", BigInteger, nullable=False),
    Column("is_archived", Boolean, nullable=False),
    Column("is_deleted", Boolean, nullable=False),
    Column("document", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False, server_default="0"),
    Column("description", Text, nullable=False, server_default=""),
    Column("stage", String(16), nullable=False, server_default="None"),
    Column("status", String(32), nullable=False, server_default="READY"),
    Column("status_message", Text, nullable=False, server_default=""),
    Column("source", Text, nullable=False, server_default=""),
    Column("run_link", Text, nullable=False, server_default=""),
    Column("model_id", NAME),
    ForeignKeyConstraint(["kind", "name"], ["asset_names.kind", "asset_names.name"]),
    UniqueConstraint("kind", "name", "version"),
    sqlite_autoincrement=True,
)
Index("ix_asset_versions_newest", asset_versions.c.kind, asset_versions.c.name, asset_versions.c.id)
Index("ix_asset_versions_job", asset_versions.c.job_name)
Index("ix_asset_versions_model_id", asset_versions.c.model_id)

asset_version_tags = Table(
    "asset_version_tags",
    metadata,
    Column("version", ROW, ForeignKey("asset_versions.id"), nullable=False),
    Column("key", NAME, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("version", "key"),
    sqlite_with_rowid=False,
)
