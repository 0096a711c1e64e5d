"""Every table of the metadata store: a file for each noun, one metadata object for all.

One definition for all backends, in a shape that serves the whole MLflow protocol. A new database is made from it, an
old one is brought here by the migrations, and a test demands that both ways end in the same schema.
"""

from penstock.stores.metadata.tables.access import events, replies, tokens
from penstock.stores.metadata.tables.artifact import (
    loose_artifacts,
    model_artifacts,
    run_artifacts,
    tree_entries,
    trees,
)
from penstock.stores.metadata.tables.asset import (
    asset_aliases,
    asset_name_tags,
    asset_names,
    asset_version_tags,
    asset_versions,
)
from penstock.stores.metadata.tables.base import DIGEST, NAME, ROW, metadata
from penstock.stores.metadata.tables.dataset import datasets, run_datasets
from penstock.stores.metadata.tables.endpoint import deployments, endpoints
from penstock.stores.metadata.tables.experiment import experiment_tags, experiments
from penstock.stores.metadata.tables.job import attempts, jobs
from penstock.stores.metadata.tables.logged_model import (
    logged_model_metrics,
    logged_model_params,
    logged_model_tags,
    logged_models,
    run_models,
)
from penstock.stores.metadata.tables.metric import latest, metric_keys, points
from penstock.stores.metadata.tables.run import INDEXED_CHARACTERS, params, runs, tags
from penstock.stores.metadata.tables.store import HEAD, counters, create_all, insert_first_rows, schema_version

__all__ = [
    "DIGEST",
    "HEAD",
    "INDEXED_CHARACTERS",
    "NAME",
    "ROW",
    "asset_aliases",
    "asset_name_tags",
    "asset_names",
    "asset_version_tags",
    "asset_versions",
    "attempts",
    "counters",
    "create_all",
    "datasets",
    "deployments",
    "endpoints",
    "events",
    "experiment_tags",
    "experiments",
    "insert_first_rows",
    "jobs",
    "latest",
    "logged_model_metrics",
    "logged_model_params",
    "logged_model_tags",
    "logged_models",
    "loose_artifacts",
    "metadata",
    "metric_keys",
    "model_artifacts",
    "params",
    "points",
    "replies",
    "run_artifacts",
    "run_datasets",
    "run_models",
    "runs",
    "schema_version",
    "tags",
    "tokens",
    "tree_entries",
    "trees",
]
