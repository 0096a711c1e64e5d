"""The tables of logged models, and of the runs that made or read them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Index, PrimaryKeyConstraint, String, Table, Text

from penstock.stores.metadata.tables.base import NAME, ROW, metadata

run_models = Table(
    "run_models",
    metadata,
    Column("run", ROW, ForeignKey("runs.id"), nullable=False),
    Column("direction", String(8), nullable=False),
    Column("model_id", NAME, nullable=False),
    Column("step", BigInteger, nullable=False),
    PrimaryKeyConstraint("run", "direction", "model_id"),
    sqlite_with_rowid=False,
)
Index("ix_run_models_model", run_models.c.model_id, run_models.c.run)

logged_models = Table(
    "logged_models",
    metadata,
    Column("id", ROW, primary_key=True),
    Column("model_id", NAME, nullable=False, unique=True),
    Column("experiment", ROW, ForeignKey("experiments.id"), nullable=False),
    Column("name", NAME, nullable=False),
    Column("artifact_location", Text, nullable=False),
    Column("model_type", Text, nullable=False),
    Column("source_run_id", NAME),
    Column("status", String(32), nullable=False),
    Column("status_message", Text, nullable=False),
    Column("lifecycle_stage", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
    sqlite_autoincrement=True,
)
Index("ix_logged_models_newest", logged_models.c.experiment, logged_models.c.created_at)
Index("ix_logged_models_source_run_id", logged_models.c.source_run_id)

logged_model_params = Table(
    "logged_model_params",
    metadata,
    Column("model", ROW, ForeignKey("logged_models.id"), nullable=False),
    Column("key", NAME, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("model", "key"),
    sqlite_with_rowid=False,
)

logged_model_tags = Table(
    "logged_model_tags",
    metadata,
    Column("model", ROW, ForeignKey("logged_models.id"), nullable=False),
    Column("key", NAME, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("model", "key"),
    sqlite_with_rowid=False,
)

logged_model_metrics = Table(
    "logged_model_metrics",
    metadata,
    Column("model", ROW, ForeignKey("logged_models.id"), nullable=False),
    Column("key", ROW, ForeignKey("metric_keys.id"), nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("run", ROW, ForeignKey("runs.id"), nullable=False),
    Column("value", Double, nullable=False),
    Column("is_nan", Boolean, nullable=False),
    Column("dataset_name", NAME),
    Column("dataset_digest", NAME),
    PrimaryKeyConstraint("model", "key", "timestamp", "step", "run"),
    sqlite_with_rowid=False,
)
Index("ix_logged_model_metrics_run", logged_model_metrics.c.run)
