"""Every table of the metadata store.

One definition for all backends; a new database is made from it, an old one is brought here by the
migrations, and a test demands that both ways end in the same schema.

Shape, chosen for the whole MLflow protocol:

* A run is known by its integer row everywhere below ``runs``; metric keys are interned. A point then takes
  about 25 bytes an index instead of 150.
* ``points`` is clustered by (run, seq), the order in which a run's points were logged, which live streams
  follow; its one further index is both the rule that exact duplicates are stored once and a covering index
  for the history in (timestamp, step, value) order.
* ``latest`` has one row for each (run, key): what comparing and ordering runs by a metric joins. It repeats the
  run's experiment and start, which never change, so that one index answers "the runs of this experiment in the
  order of this metric, equal ones newest first". ``params`` and ``tags`` repeat the experiment for the same reason;
  their index holds the value, on PostgreSQL, which indexes no long texts, its first characters.
* NaN is the value 0 with ``is_nan``, because SQLite stores no NaN and because NaN competes as 0.
* A registered model is a row of ``asset_names``, its versions are rows of ``asset_versions``: what MLflow's client
  registers and what ``penstock model`` lists is the same row.
* ``run_artifacts``, ``model_artifacts`` and ``loose_artifacts`` have one shape; the last holds what a client puts
  under a location that belongs to no run and no logged model.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    insert,
)

HEAD = "0002"
"""The revision that this file describes; migrations are numbered with four digits and only appended."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Names sort bytewise on every backend; row ids must be INTEGER for SQLite to use its own row id.
NAME = Text().with_variant(Text(collation="C"), "postgresql")
ROW = BigInteger().with_variant(Integer(), "sqlite")
DIGEST = String(64)
INDEXED_CHARACTERS = 64
"""So much of a parameter's or tag's value is in its index on PostgreSQL."""

# Named as Alembic names it, so that it finds its own table.
schema_version = Table(
    "schema_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="schema_version_pkc"),
)

counters = Table(
    "counters",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("value", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

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

metric_keys = Table(
    "metric_keys",
    metadata,
    Column("id", ROW, primary_key=True),
    Column("key", NAME, nullable=False, unique=True),
)

points = Table(
    "points",
    metadata,
    Column("run", ROW, ForeignKey("runs.id"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("key", ROW, ForeignKey("metric_keys.id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("value", Double, nullable=False),
    Column("is_nan", Boolean, nullable=False),
    PrimaryKeyConstraint("run", "seq"),
    sqlite_with_rowid=False,
)
Index(
    "ix_points_history",
    points.c.run,
    points.c.key,
    points.c.timestamp,
    points.c.step,
    points.c.value,
    points.c.is_nan,
    points.c.attempt,
    unique=True,
)

latest = Table(
    "latest",
    metadata,
    Column("run", ROW, ForeignKey("runs.id"), nullable=False),
    Column("key", ROW, ForeignKey("metric_keys.id"), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("value", Double, nullable=False),
    Column("is_nan", Boolean, nullable=False),
    Column("experiment", ROW, nullable=False),
    Column("start_time", BigInteger, nullable=False),
    PrimaryKeyConstraint("run", "key"),
    sqlite_with_rowid=False,
)
Index(
    "ix_latest_order",
    latest.c.experiment,
    latest.c.key,
    latest.c.is_nan,
    latest.c.value,
    latest.c.start_time,
    latest.c.run,
)

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

tokens = Table(
    "tokens",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("experiment_id", Text),
    Column("attempt_id", NAME, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("token_id", NAME),
    Column("created_by", Text, nullable=False, server_default=""),
    Column("revoked_at", BigInteger),
    sqlite_with_rowid=False,
)
Index("ix_tokens_token_id", tokens.c.token_id, unique=True)

events = Table(
    "events",
    metadata,
    Column("seq", ROW, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

replies = Table(
    "replies",
    metadata,
    Column("scope", NAME, nullable=False),
    Column("key", NAME, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
    PrimaryKeyConstraint("scope", "key"),
    sqlite_with_rowid=False,
)


def create_all(connection: Connection, *, now: int) -> None:
    """Make the schema of a new database, its revision and the experiment ``Default``.

    Parameters
    ----------
    connection : Connection
        An open transaction on an empty database.
    now : int
        The time of creation, ms UTC.
    """
    metadata.create_all(connection)
    connection.execute(insert(schema_version).values(version_num=HEAD))
    insert_first_rows(connection, now=now)


def insert_first_rows(connection: Connection, *, now: int) -> None:
    """Insert what every database holds from its first day: the experiment ``0``, ``Default``."""
    connection.execute(
        insert(experiments).values(
            id=0,
            name="Default",
            artifact_location="mlflow-artifacts:/0",
            lifecycle_stage="active",
            created_at=now,
            updated_at=now,
        )
    )
