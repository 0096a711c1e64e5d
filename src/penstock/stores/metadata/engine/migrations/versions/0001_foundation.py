"""The first schema: run history, artifacts, jobs, assets, endpoints, tokens, the audit log.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ROW = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DIGEST = sa.String(64)


def upgrade() -> None:
    """Make every table, and the experiment ``Default``."""
    op.create_table(
        "asset_names",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_asset_names")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "counters",
        sa.Column("name", NAME, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "endpoints",
        sa.Column("name", NAME, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("primary_key", sa.Text(), nullable=True),
        sa.Column("secondary_key", sa.Text(), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_endpoints")),
    )
    op.create_table(
        "events",
        sa.Column("seq", ROW, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous_hash", DIGEST, nullable=False),
        sa.Column("hash", DIGEST, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_events")),
    )
    op.create_table(
        "experiments",
        sa.Column("id", ROW, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("artifact_location", sa.Text(), nullable=False),
        sa.Column("lifecycle_stage", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiments")),
        sa.UniqueConstraint("name", name=op.f("uq_experiments_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "metric_keys",
        sa.Column("id", ROW, nullable=False),
        sa.Column("key", NAME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metric_keys")),
        sa.UniqueConstraint("key", name=op.f("uq_metric_keys_key")),
    )
    op.create_table(
        "replies",
        sa.Column("scope", NAME, nullable=False),
        sa.Column("key", NAME, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_replies")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_replies_created_at"), "replies", ["created_at"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("token_hash", DIGEST, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("experiment_id", sa.Text(), nullable=True),
        sa.Column("attempt_id", NAME, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_tokens")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_tokens_attempt_id"), "tokens", ["attempt_id"], unique=False)
    op.create_table(
        "trees",
        sa.Column("id", ROW, nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("is_file", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trees")),
        sa.UniqueConstraint("digest", name=op.f("uq_trees_digest")),
    )
    op.create_table(
        "asset_versions",
        sa.Column("id", ROW, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("version", NAME, nullable=False),
        sa.Column("tree", DIGEST, nullable=True),
        sa.Column("job_name", NAME, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("is_archived", sa.Boolean(), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["kind", "name"], ["asset_names.kind", "asset_names.name"], name=op.f("fk_asset_versions_kind_name")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asset_versions")),
        sa.UniqueConstraint("kind", "name", "version", name=op.f("uq_asset_versions_kind_name_version")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_asset_versions_job", "asset_versions", ["job_name"], unique=False)
    op.create_index("ix_asset_versions_newest", "asset_versions", ["kind", "name", "id"], unique=False)
    op.create_table(
        "deployments",
        sa.Column("endpoint_name", NAME, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["endpoint_name"], ["endpoints.name"], name=op.f("fk_deployments_endpoint_name")),
        sa.PrimaryKeyConstraint("endpoint_name", "name", name=op.f("pk_deployments")),
    )
    op.create_table(
        "experiment_tags",
        sa.Column("experiment", ROW, nullable=False),
        sa.Column("key", NAME, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.id"], name=op.f("fk_experiment_tags_experiment")),
        sa.PrimaryKeyConstraint("experiment", "key", name=op.f("pk_experiment_tags")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "runs",
        sa.Column("id", ROW, nullable=False),
        sa.Column("run_id", NAME, nullable=False),
        sa.Column("experiment", ROW, nullable=False),
        sa.Column("run_name", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("lifecycle_stage", sa.String(length=16), nullable=False),
        sa.Column("start_time", sa.BigInteger(), nullable=False),
        sa.Column("end_time", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("artifact_uri", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.id"], name=op.f("fk_runs_experiment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sa.UniqueConstraint("run_id", name=op.f("uq_runs_run_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_runs_newest",
        "runs",
        ["experiment", "lifecycle_stage", sa.literal_column("start_time DESC"), "run_id"],
        unique=False,
    )
    op.create_table(
        "tree_entries",
        sa.Column("tree", ROW, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("path", NAME, nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("executable", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["tree"], ["trees.id"], name=op.f("fk_tree_entries_tree")),
        sa.PrimaryKeyConstraint("tree", "position", name=op.f("pk_tree_entries")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "jobs",
        sa.Column("id", ROW, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("experiment_name", NAME, nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("compute", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["name"], ["runs.run_id"], name=op.f("fk_jobs_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("name", name=op.f("uq_jobs_name")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_experiment", "jobs", ["experiment_name", "id"], unique=False)
    op.create_index(op.f("ix_jobs_status"), "jobs", ["status"], unique=False)
    op.create_table(
        "latest",
        sa.Column("run", ROW, nullable=False),
        sa.Column("key", ROW, nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_nan", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["metric_keys.id"], name=op.f("fk_latest_key")),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f("fk_latest_run")),
        sa.PrimaryKeyConstraint("run", "key", name=op.f("pk_latest")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "params",
        sa.Column("run", ROW, nullable=False),
        sa.Column("key", NAME, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f("fk_params_run")),
        sa.PrimaryKeyConstraint("run", "key", name=op.f("pk_params")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "points",
        sa.Column("run", ROW, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("key", ROW, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_nan", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["metric_keys.id"], name=op.f("fk_points_key")),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f("fk_points_run")),
        sa.PrimaryKeyConstraint("run", "seq", name=op.f("pk_points")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_points_history", "points", ["run", "key", "timestamp", "step", "value", "is_nan", "attempt"], unique=True
    )
    op.create_table(
        "run_artifacts",
        sa.Column("run", ROW, nullable=False),
        sa.Column("path", NAME, nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("executable", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f("fk_run_artifacts_run")),
        sa.PrimaryKeyConstraint("run", "path", name=op.f("pk_run_artifacts")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tags",
        sa.Column("run", ROW, nullable=False),
        sa.Column("key", NAME, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f("fk_tags_run")),
        sa.PrimaryKeyConstraint("run", "key", name=op.f("pk_tags")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "attempts",
        sa.Column("attempt_id", NAME, nullable=False),
        sa.Column("job_name", NAME, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("process_start", sa.BigInteger(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False),
        sa.Column("spool_offset", sa.BigInteger(), nullable=False),
        sa.Column("log_offset", sa.BigInteger(), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["job_name"], ["jobs.name"], name=op.f("fk_attempts_job_name")),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("job_name", "number", name=op.f("uq_attempts_job_name_number")),
    )
    op.create_index(op.f("ix_attempts_state"), "attempts", ["state"], unique=False)

    experiments = sa.table(
        "experiments",
        *(
            sa.column(name)
            for name in ("id", "name", "artifact_location", "lifecycle_stage", "created_at", "updated_at")
        ),
    )
    now = op.get_context().opts["now"]
    op.bulk_insert(
        experiments,
        [
            {
                "id": 0,
                "name": "Default",
                "artifact_location": "mlflow-artifacts:/0",
                "lifecycle_stage": "active",
                "created_at": now,
                "updated_at": now,
            }
        ],
    )
