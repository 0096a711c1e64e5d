"""A workspace of the first version, brought to this one: everything is found where it is looked for now."""

# ruff: noqa: S608 # the SQL here is made of this file's own words

from __future__ import annotations

import math
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.entities.asset import AssetKind
from penstock.entities.attempt import AttemptState
from penstock.entities.errors import NotFoundError
from penstock.entities.run import LifecycleStage, Metric
from penstock.rules.filters.mlflow import parse_run_filter, parse_run_order
from penstock.rules.names import hash_token
from penstock.stores.metadata import (
    artifacts,
    assets,
    attempts,
    datasets,
    endpoints,
    events,
    experiments,
    jobs,
    registered_models,
    runs,
    tokens,
    trees,
)
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore
from penstock.stores.metadata.search.registry_search import RegistryQuery, search_models, search_versions
from penstock.stores.metadata.search.run_search import RunQuery, find_runs

OLD = Path(__file__).parents[1] / "data" / "workspace-0001.sql"
T = 1700000000000
JOB = "180c29045b3038efbe69f52a9e62ca58"


def make_old(path: Path, more: str = "") -> None:
    connection = sqlite3.connect(path)
    connection.executescript(OLD.read_text("utf-8") + more)
    connection.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetadataStore]:
    """A store over an old database, which the tests of this file only read."""
    path = tmp_path_factory.mktemp("old") / "metadata.db"
    make_old(path)
    store = SqliteMetadataStore(path)
    yield store
    store.close()


def search(store: MetadataStore, where: str, *order: str, view: str = "ACTIVE_ONLY") -> list[str]:
    query = RunQuery(None, parse_run_filter(where), parse_run_order(order), view)
    with store.read() as connection:
        rows = find_runs(connection, query).rows
        ids: dict[int, str] = {row[0]: row[1] for row in connection.exec_driver_sql("SELECT id, run_id FROM runs")}
    return [ids[row] for row in rows]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("metrics.accuracy > 0.8", ["sweep_10", "sweep_08"]),
        ("metrics.loss > 100", ["sweep_05"]),
        ("params.depth = '3' and tags.kind = 'sweep'", ["sweep_07", "sweep_03"]),
        ("params.lr = '1e-09'", ["sweep_09"]),
        ("params.`Ünï` LIKE 'gr%' and attributes.start_time <= 1700000001000", ["sweep_01", "sweep_00"]),
        (f"tags.note = '{'x' * 200}'", ["sweep_03"]),
        ("dataset.name = 'mnist' and dataset.context = 'training'", ["sweep_01", "sweep_00"]),
        ("dataset.digest = 'd2'", ["sweep_00"]),
        ("metrics.loss < 0.2 and params.lr = '0.1'", [JOB]),
    ],
)
def test_old_runs_are_found_by_what_was_logged_to_them(store: MetadataStore, where: str, found: list[str]) -> None:
    assert search(store, where) == found


def test_old_runs_are_ordered_by_a_metric(store: MetadataStore) -> None:
    best = search(store, "tags.kind = 'sweep'", "metrics.accuracy DESC")
    values = [10, 8, 6, 5, 4, 3, 2, 1, 0]
    assert best[:9] == [f"sweep_{number:02d}" for number in values]
    assert set(best[9:]) == {"sweep_07", "sweep_09"}  # NaN comes last
    assert search(store, "tags.kind = 'sweep'", view="DELETED_ONLY") == ["sweep_11"]


def test_old_metrics_keep_their_history(store: MetadataStore) -> None:
    with store.read() as connection:
        latest = {metric.key: metric for metric in runs.get_run(connection, "sweep_07").latest_metrics}
        assert math.isnan(latest["accuracy"].value)
        assert len(runs.metric_history(connection, "sweep_07", "accuracy")) == 3
        assert {metric.key: metric.value for metric in runs.get_run(connection, "sweep_05").latest_metrics} == {
            "accuracy": 0.7,
            "loss": math.inf,
        }
        # Of a job's points those of its latest attempt count.
        assert runs.metric_history(connection, JOB, "loss") == [
            Metric("loss", 0.5 / n, T + n - 1, n - 1) for n in (1, 2, 3, 4)
        ]
        assert runs.get_run(connection, JOB).params == {"lr": "0.1"}
        kept = runs.get_run(connection, "sweep_00")
        assert kept.tags == {"kind": "sweep", "note": "n0", "mlflow.runName": "sweep_00"}
        assert runs.get_run(connection, "lost_one").lifecycle_stage is LifecycleStage.DELETED
        found = experiments.find_experiment_by_name(connection, "digits")
        assert found is not None
        assert (found.tags, found.created_at) == ({"team": "vision"}, T)


def test_old_inputs_are_rows_now(store: MetadataStore) -> None:
    ids = ["sweep_00", "sweep_01", "sweep_02", "sweep_03"]
    with store.read() as connection:
        found = datasets.inputs_of_runs(connection, ids)
        count = connection.exec_driver_sql("SELECT count(*) FROM datasets").scalar_one()
    first, second = found["sweep_00"].datasets
    assert (first.name, first.digest, first.source, first.schema, first.profile) == (
        "mnist",
        "d1",
        '{"uri":"/data"}',
        '{"columns":[]}',
        '{"rows":3}',
    )
    assert first.tags == {"mlflow.data.context": "training", "owner": "ada"}
    assert (second.name, second.schema, second.tags) == ("mnist-test", None, {})
    assert found["sweep_01"].datasets == [first]
    assert found["sweep_02"].model_inputs == ["m-" + "1" * 32]
    assert "sweep_03" not in found or found["sweep_03"].datasets == []
    assert count == 2


def test_old_models_are_what_the_registry_shows(store: MetadataStore) -> None:
    with store.read() as connection:
        models = search_models(connection, RegistryQuery())
        versions = search_versions(connection, RegistryQuery())
        first = assets.get_version(connection, AssetKind.MODEL, "digits", "1")
        listed = assets.list_versions(connection, AssetKind.MODEL, "digits", limit=9)
        archived = assets.get_version(connection, AssetKind.MODEL, "digits", "2")
        data = assets.get_version(connection, AssetKind.DATA, "mnist", "2024-01")
        environment = assets.get_version(connection, AssetKind.ENVIRONMENT, "torch", "1")
        digits = registered_models.get_model(connection, "digits")
        assert first.tree is not None
        assert [entry.path for entry in trees.get_tree(connection, first.tree).entries] == ["MLmodel", "model.onnx"]
        with pytest.raises(NotFoundError):
            assets.get_version(connection, AssetKind.MODEL, "digits", "4")
    assert [model.name for model in models] == ["Letters", "digits"]
    assert (digits.created_at, digits.updated_at, digits.tags, digits.aliases) == (T + 1, T + 4, {}, {})
    assert {(version.name, version.version) for version in versions} >= {
        ("digits", "1"),
        ("digits", "3"),
        ("Letters", "9"),
    }
    assert (first.description, first.tags, first.properties) == ("the first", {"quality": "poor", "a": "1"}, {"p": "q"})
    assert (first.job_name, first.created_at, first.created_by) == (JOB, T + 1, "ada")
    assert {version.version: version.is_archived for version in listed} == {"1": False, "3": False}
    assert archived.is_archived
    assert (data.description, data.tags) == ("pictures", {"source": "lecun"})
    assert environment.definition == {"conda_file": {"dependencies": ["python=3.11"]}}


def test_a_deleted_version_of_old_is_not_given_again(tmp_path: Path) -> None:
    make_old(tmp_path / "metadata.db")
    store = SqliteMetadataStore(tmp_path / "metadata.db")
    made = store.write(
        lambda c: assets.create_version(c, kind=AssetKind.MODEL, name="digits", version=None, now=1, created_by="ada")
    )
    assert made.version == "5"
    store.close()


def test_old_jobs_endpoints_tokens_and_events_are_there(store: MetadataStore) -> None:
    with store.read() as connection:
        job = jobs.get_job(connection, JOB)
        tried = attempts.list_attempts(connection, JOB)
        deployment = endpoints.get_deployment(connection, "digits", "blue")
        token = tokens.find_token(connection, hash_token("old-person-token"))
        shelf = artifacts.walk_artifacts(connection, JOB, "outputs")
        assert endpoints.get_endpoint(connection, "digits").traffic == {"blue": 100}
        assert endpoints.get_keys(connection, "digits").primary_key == "p"
        assert events.verify_chain(connection) == []
        assert [event.verb for event in events.list_events(connection)] == ["submit", "note", "note", "note"]
    assert (job.display_name, job.tags, job.experiment_name) == ("Train it", {"stage": "night"}, "digits")
    assert [(attempt.number, attempt.state) for attempt in tried] == [
        (1, AttemptState.LOST),
        (2, AttemptState.STARTING),
    ]
    assert deployment.spec.model == "azureml:digits:3"
    assert token is not None
    assert (token.actor, token.role) == ("grace", "admin")
    assert [entry.path for entry in shelf] == ["outputs/MLmodel", "outputs/model.onnx"]


# Ends where the last statement of the migration would be, with everything before it done and nothing committed.
KILLED = """
import os, signal, sys
from pathlib import Path
from penstock.stores.metadata.engine import migrate, schema
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore

upgrade = migrate.upgrade

def upgrade_and_die(connection, *, now):
    connection.exec_driver_sql("PRAGMA cache_size=10").close()  # so that most of it is in the log by then
    upgrade(connection, now=now)
    os.kill(os.getpid(), signal.SIGKILL)

migrate.upgrade = upgrade_and_die
SqliteMetadataStore(Path(sys.argv[1]))
"""


def test_kill_9_in_the_middle_of_a_migration_leaves_the_old_database(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    make_old(path, _many_runs(2000))
    before = _dump(path)
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, timeout=100)
    assert done.returncode == -signal.SIGKILL
    assert _dump(path) == before
    SqliteMetadataStore(path).close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM latest").fetchone()[0] > 2000 * 5
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_inputs_that_an_old_client_wrote_oddly_do_not_stop_a_migration(tmp_path: Path) -> None:
    odd = (
        '{"dataset_inputs":[{"dataset":{"name":"odd","digest":"d","source_type":"s","source":"x","schema":{"a":1}},'
        '"tags":null}],"model_inputs":[{}]}'
    )
    make_old(tmp_path / "metadata.db", f"INSERT INTO tags VALUES (5, 'penstock.inputs', '{odd}');")
    store = SqliteMetadataStore(tmp_path / "metadata.db")
    with store.read() as connection:
        found = datasets.inputs_of_runs(connection, ["sweep_04"])["sweep_04"]
    store.close()
    assert [(dataset.name, dataset.schema, dataset.tags) for dataset in found.datasets] == [("odd", '{"a":1}', {})]


@pytest.mark.long
def test_a_hundred_thousand_old_runs_are_migrated(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    make_old(path, _many_runs(100_000))
    start = time.monotonic()
    store = SqliteMetadataStore(path)
    print(f"migrated 100,000 runs in {time.monotonic() - start:.1f} s, {path.stat().st_size / 2**20:.0f} MiB")
    assert len(search(store, "metrics.m1 > 0.5 and params.p2 = '7'")) > 100
    store.close()


def _many_runs(count: int) -> str:
    """Return SQL for so many old runs, each with five metrics of one point, five parameters and three tags."""
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"  # a number
    named = "1000 + i, 'many_' || i, 1, 'many', 'ada', 'FINISHED', 'active', 1700000000000 + i, NULL, NULL, 'x', 0"
    parts = [
        f"{numbers} INSERT INTO runs SELECT {named} FROM n;",
        "INSERT INTO metric_keys SELECT 100 + value, 'm' || value FROM json_each('[0,1,2,3,4]');",
        f"{numbers} INSERT INTO points SELECT 1000 + i, k.value + 1, 100 + k.value, 0, 1, 1, (i % 997) / 997.0, 0"
        " FROM n, json_each('[0,1,2,3,4]') k;",
        f"{numbers} INSERT INTO latest SELECT 1000 + i, 100 + k.value, 1, 1, (i % 997) / 997.0, 0"
        " FROM n, json_each('[0,1,2,3,4]') k;",
        f"{numbers} INSERT INTO params SELECT 1000 + i, 'p' || k.value, i % 100 FROM n, json_each('[0,1,2,3,4]') k;",
        f"{numbers} INSERT INTO tags SELECT 1000 + i, 't' || k.value, i % 10 FROM n, json_each('[0,1,2]') k;",
    ]
    return "BEGIN;" + "\n".join(parts) + "COMMIT;"


def _dump(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    lines = list(connection.iterdump())
    connection.close()
    return lines
