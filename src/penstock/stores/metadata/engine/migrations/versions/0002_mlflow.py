"""The whole MLflow protocol: datasets, logged models, registry; and the indexes that searches walk.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ROW = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DIGEST = sa.String(64)
HIDDEN_TAG = "penstock.inputs"


def upgrade() -> None:
    """Make the new tables, widen the old ones, and move what they held elsewhere until now."""
    _make_tables()
    _widen_attempts_and_tokens()
    _widen_assets()
    _move_inputs()
    attributes = ["experiment", "lifecycle_stage", "status", "user_id", "start_time", "end_time"]
    op.create_index("ix_runs_attributes", "runs", attributes)
    _recreate("params", _make_pairs, "run, key, value", "o.run, o.key, o.value, r.experiment")
    _recreate("tags", _make_pairs, "run, key, value", "o.run, o.key, o.value, r.experiment")
    _recreate(
        "latest",
        _make_latest,
        "run, key, step, timestamp, value, is_nan",
        "o.run, o.key, o.step, o.timestamp, o.value, o.is_nan, r.experiment, r.start_time",
    )


def _widen_attempts_and_tokens() -> None:
    op.add_column("attempts", sa.Column("relay_seq", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("tokens", sa.Column("token_id", NAME))
    op.add_column("tokens", sa.Column("created_by", sa.Text(), nullable=False, server_default=""))
    op.add_column("tokens", sa.Column("revoked_at", sa.BigInteger()))
    op.create_index("ix_tokens_token_id", "tokens", ["token_id"], unique=True)


def _widen_assets() -> None:
    of_names: tuple[tuple[str, sa.types.TypeEngine[Any], str], ...] = (
        ("created_at", sa.BigInteger(), "0"),
        ("updated_at", sa.BigInteger(), "0"),
        ("description", sa.Text(), ""),
    )
    for name, type_, default in of_names:
        op.add_column("asset_names", sa.Column(name, type_, nullable=False, server_default=default))
    of_versions: tuple[tuple[str, sa.types.TypeEngine[Any], str], ...] = (
        ("updated_at", sa.BigInteger(), "0"),
        ("description", sa.Text(), ""),
        ("stage", sa.String(16), "None"),
        ("status", sa.String(32), "READY"),
        ("status_message", sa.Text(), ""),
        ("source", sa.Text(), ""),
        ("run_link", sa.Text(), ""),
    )
    for name, type_, default in of_versions:
        op.add_column("asset_versions", sa.Column(name, type_, nullable=False, server_default=default))
    op.add_column("asset_versions", sa.Column("model_id", NAME))
    op.create_index("ix_asset_versions_model_id", "asset_versions", ["model_id"])
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, created_at, document FROM asset_versions")).all()
    for row, created_at, text in rows:
        document: dict[str, Any] = json.loads(text)
        tags = document.pop("tags", None) or {}
        description = document.pop("description", None) or ""
        connection.execute(
            sa.text("UPDATE asset_versions SET document = :d, description = :t, updated_at = :u WHERE id = :id"),
            {"d": json.dumps(document, separators=(",", ":")), "t": description, "u": created_at, "id": row},
        )
        for key, value in tags.items():
            connection.execute(
                sa.text("INSERT INTO asset_version_tags (version, key, value) VALUES (:id, :key, :value)"),
                {"id": row, "key": key, "value": value},
            )
    for column, chosen in (("created_at", "min"), ("updated_at", "max")):
        connection.execute(
            sa.text(
                f"UPDATE asset_names SET {column} = coalesce((SELECT {chosen}(v.created_at) FROM asset_versions v"  # noqa: S608
                " WHERE v.kind = asset_names.kind AND v.name = asset_names.name), 0)"
            )
        )


def _move_inputs() -> None:
    connection = op.get_bind()
    rows = connection.execute(
        sa.text("SELECT t.run, r.experiment, t.value FROM tags t JOIN runs r ON r.id = t.run WHERE t.key = :key"),
        {"key": HIDDEN_TAG},
    ).all()
    for run, experiment, text in rows:
        kept = json.loads(text)
        for item in kept.get("dataset_inputs", []):
            _move_dataset(connection, run, experiment, item)
        for model_id in {item.get("model_id"): None for item in kept.get("model_inputs", [])}:
            if isinstance(model_id, str):
                connection.execute(
                    sa.text(
                        "INSERT INTO run_models (run, direction, model_id, step) VALUES (:run, 'input', :model, 0)"
                    ),
                    {"run": run, "model": model_id},
                )
    connection.execute(sa.text("DELETE FROM tags WHERE key = :key"), {"key": HIDDEN_TAG})


def _move_dataset(connection: sa.Connection, run: int, experiment: int, item: dict[str, Any]) -> None:
    dataset = item["dataset"]
    found = {"experiment": experiment, "name": dataset["name"], "digest": dataset["digest"]}
    known = sa.text("SELECT id FROM datasets WHERE experiment = :experiment AND name = :name AND digest = :digest")
    row = connection.execute(known, found).scalar_one_or_none()
    if row is None:
        connection.execute(
            sa.text(
                'INSERT INTO datasets (experiment, name, digest, source_type, source, "schema", profile)'
                " VALUES (:experiment, :name, :digest, :source_type, :source, :schema, :profile)"
            ),
            {
                **found,
                "source_type": dataset["source_type"],
                "source": dataset["source"],
                "schema": _text(dataset.get("schema")),
                "profile": _text(dataset.get("profile")),
            },
        )
        row = connection.execute(known, found).scalar_one()
    tags = {str(tag["key"]): str(tag.get("value") or "") for tag in item.get("tags") or [] if "key" in tag}
    connection.execute(
        sa.text("INSERT INTO run_datasets (run, dataset, context, tags) VALUES (:run, :dataset, :context, :tags)"),
        {"run": run, "dataset": row, "context": tags.get("mlflow.data.context"), "tags": json.dumps(tags)},
    )


def _text(value: Any) -> str | None:
    """Return what the old version kept as it was sent: mostly a text, but nothing saw to it."""
    return value if value is None or isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _recreate(table: str, make: Callable[[str], None], kept: str, chosen: str) -> None:
    """Make a table anew with the run's own columns in it, so that its key and row layout are those of a new one."""
    op.execute(f"CREATE TABLE old_{table} AS SELECT {kept} FROM {table}")  # noqa: S608
    op.drop_table(table)
    make(table)
    op.execute(f"INSERT INTO {table} SELECT {chosen} FROM old_{table} o JOIN runs r ON r.id = o.run")  # noqa: S608
    op.drop_table(f"old_{table}")


def _make_pairs(table: str) -> None:
    op.create_table(
        table,
        sa.Column("run", ROW, nullable=False),
        sa.Column("key", NAME, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("experiment", ROW, nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f(f"fk_{table}_run")),
        sa.PrimaryKeyConstraint("run", "key", name=op.f(f"pk_{table}")),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "sqlite":
        op.create_index(f"ix_{table}_value", table, ["experiment", "key", "value", "run"])
    else:
        op.create_index(f"ix_{table}_find", table, ["experiment", "key", sa.text("substr(value, 1, 64)"), "run"])


def _make_latest(table: str) -> None:
    op.create_table(
        table,
        sa.Column("run", ROW, nullable=False),
        sa.Column("key", ROW, nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_nan", sa.Boolean(), nullable=False),
        sa.Column("experiment", ROW, nullable=False),
        sa.Column("start_time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["metric_keys.id"], name=op.f(f"fk_{table}_key")),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f(f"fk_{table}_run")),
        sa.PrimaryKeyConstraint("run", "key", name=op.f(f"pk_{table}")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_latest_order", table, ["experiment", "key", "is_nan", "value", "start_time", "run"])


def _make_tables() -> None:
    op.create_table(
        "loose_artifacts",
        sa.Column("path", NAME, nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("executable", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_loose_artifacts")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "asset_aliases",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("alias", NAME, nullable=False),
        sa.Column("version", NAME, nullable=False),
        sa.ForeignKeyConstraint(
            ["kind", "name"], ["asset_names.kind", "asset_names.name"], name=op.f("fk_asset_aliases_kind_name")
        ),
        sa.PrimaryKeyConstraint("kind", "name", "alias", name=op.f("pk_asset_aliases")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "asset_name_tags",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("key", NAME, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["kind", "name"], ["asset_names.kind", "asset_names.name"], name=op.f("fk_asset_name_tags_kind_name")
        ),
        sa.PrimaryKeyConstraint("kind", "name", "key", name=op.f("pk_asset_name_tags")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "datasets",
        sa.Column("id", ROW, nullable=False),
        sa.Column("experiment", ROW, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("digest", NAME, nullable=False),
        sa.Column("source_type", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("schema", sa.Text(), nullable=True),
        sa.Column("profile", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.id"], name=op.f("fk_datasets_experiment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datasets")),
        sa.UniqueConstraint("experiment", "name", "digest", name=op.f("uq_datasets_experiment_name_digest")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "logged_models",
        sa.Column("id", ROW, nullable=False),
        sa.Column("model_id", NAME, nullable=False),
        sa.Column("experiment", ROW, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("artifact_location", sa.Text(), nullable=False),
        sa.Column("model_type", sa.Text(), nullable=False),
        sa.Column("source_run_id", NAME, nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("lifecycle_stage", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.id"], name=op.f("fk_logged_models_experiment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logged_models")),
        sa.UniqueConstraint("model_id", name=op.f("uq_logged_models_model_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_logged_models_newest", "logged_models", ["experiment", "created_at"], unique=False)
    op.create_index("ix_logged_models_source_run_id", "logged_models", ["source_run_id"], unique=False)
    op.create_table(
        "asset_version_tags",
        sa.Column("version", ROW, nullable=False),
        sa.Column("key", NAME, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["version"], ["asset_versions.id"], name=op.f("fk_asset_version_tags_version")),
        sa.PrimaryKeyConstraint("version", "key", name=op.f("pk_asset_version_tags")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "logged_model_metrics",
        sa.Column("model", ROW, nullable=False),
        sa.Column("key", ROW, nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("run", ROW, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_nan", sa.Boolean(), nullable=False),
        sa.Column("dataset_name", NAME, nullable=True),
        sa.Column("dataset_digest", NAME, nullable=True),
        sa.ForeignKeyConstraint(["key"], ["metric_keys.id"], name=op.f("fk_logged_model_metrics_key")),
        sa.ForeignKeyConstraint(["model"], ["logged_models.id"], name=op.f("fk_logged_model_metrics_model")),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f("fk_logged_model_metrics_run")),
        sa.PrimaryKeyConstraint("model", "key", "timestamp", "step", "run", name=op.f("pk_logged_model_metrics")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_logged_model_metrics_run", "logged_model_metrics", ["run"], unique=False)
    op.create_table(
        "logged_model_params",
        sa.Column("model", ROW, nullable=False),
        sa.Column("key", NAME, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["logged_models.id"], name=op.f("fk_logged_model_params_model")),
        sa.PrimaryKeyConstraint("model", "key", name=op.f("pk_logged_model_params")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "logged_model_tags",
        sa.Column("model", ROW, nullable=False),
        sa.Column("key", NAME, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["logged_models.id"], name=op.f("fk_logged_model_tags_model")),
        sa.PrimaryKeyConstraint("model", "key", name=op.f("pk_logged_model_tags")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "model_artifacts",
        sa.Column("model", ROW, nullable=False),
        sa.Column("path", NAME, nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("executable", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["logged_models.id"], name=op.f("fk_model_artifacts_model")),
        sa.PrimaryKeyConstraint("model", "path", name=op.f("pk_model_artifacts")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_datasets",
        sa.Column("run", ROW, nullable=False),
        sa.Column("dataset", ROW, nullable=False),
        sa.Column("context", NAME, nullable=True),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["dataset"], ["datasets.id"], name=op.f("fk_run_datasets_dataset")),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f("fk_run_datasets_run")),
        sa.PrimaryKeyConstraint("run", "dataset", name=op.f("pk_run_datasets")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_run_datasets_dataset", "run_datasets", ["dataset", "run"], unique=False)
    op.create_table(
        "run_models",
        sa.Column("run", ROW, nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("model_id", NAME, nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f("fk_run_models_run")),
        sa.PrimaryKeyConstraint("run", "direction", "model_id", name=op.f("pk_run_models")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_run_models_model", "run_models", ["model_id", "run"], unique=False)
