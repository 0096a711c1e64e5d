"""Copying a whole store: the same rows on the other side, and ids that go on behind them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select, text
from tests.postgresql import PostgresServer
from tests.stores.metadata.test_migrations import make_old
from tests.stores.metadata.test_postgres_server import SHAPE

from penstock.entities.errors import ConflictError, UnavailableError, UsageError
from penstock.entities.run import Metric
from penstock.stores.metadata import events, experiments, runs, tables
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.copying import copy_store
from penstock.stores.metadata.engine.opening import open_metadata
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore
from penstock.testing.fixtures import make_run


def content(store: MetadataStore) -> dict[str, list[str]]:
    """Every row of every table, but for what a store leaves for itself."""
    found = {}
    with store.read() as connection:
        for table in tables.metadata.sorted_tables:
            rows = connection.execute(select(table).order_by(*table.primary_key)).all()
            found[table.name] = sorted(repr(tuple(row)) for row in rows if row[0] != "commit")
    return found


def shape(store: MetadataStore) -> list[list[str]]:
    """Every index and constraint of a store on PostgreSQL."""
    with store.read() as connection:
        found = [[repr(row) for row in connection.execute(text(statement))] for statement in SHAPE]
    assert all(found)
    return found


@pytest.mark.postgres
def test_a_copied_workspace_is_the_same_and_goes_on(tmp_path: Path, postgres_server: PostgresServer) -> None:
    make_old(tmp_path / "metadata.db")
    source = SqliteMetadataStore(tmp_path / "metadata.db")
    last = source.write(lambda c: experiments.create_experiment(c, "gone", now=1)).experiment_id
    source.write(lambda c: c.execute(tables.experiments.delete().where(tables.experiments.c.id == int(last))))
    target = open_metadata(postgres_server.url(), tmp_path / "unused.db")
    before = shape(target)
    told: list[tuple[int, int]] = []
    counts = copy_store(source, target, lambda done, total: told.append((done, total)))
    assert content(target) == content(source)
    assert shape(target) == before  # references and indexes are there again
    assert counts["runs"] == 14
    assert told[-1] == (sum(counts.values()), sum(counts.values()))
    made = target.write(lambda c: experiments.create_experiment(c, "next", now=1))
    assert int(made.experiment_id) == int(last) + 1  # an id is given once, whatever became of it
    run_id = make_run(target)
    target.write(lambda c: runs.set_tag(c, run_id, "a", "b"))
    target.write(lambda c: events.append_event(c, actor="ada", verb="look", ref="x", detail={}, now=1))
    with target.read() as connection:
        assert events.verify_chain(connection) == []
        assert len(runs.metric_history(connection, "sweep_00", "accuracy")) == 3
    with pytest.raises(ConflictError, match="already"):
        copy_store(source, target)
    back = SqliteMetadataStore(tmp_path / "back.db")
    copy_store(target, back)
    assert content(back) == content(target)
    for store in (source, target, back):
        store.close()


@pytest.mark.postgres
def test_what_the_other_side_does_not_take_leaves_nothing_there(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    source = SqliteMetadataStore(tmp_path / "metadata.db")
    run_id = make_run(source)
    long = "".join(chr(0x4E00 + number) for number in range(10_000))
    source.write(lambda c: runs.set_tag(c, run_id, long, "value"))
    target = open_metadata(postgres_server.url(), tmp_path / "unused.db")
    with pytest.raises(UsageError, match="larger than PostgreSQL takes"):
        copy_store(source, target)
    source.write(lambda c: runs.delete_tag(c, run_id, long))
    copy_store(source, target)
    assert content(target) == content(source)
    source.close()
    target.close()


@pytest.mark.postgres
def test_a_copy_that_is_cut_off_leaves_nothing_there_and_can_be_repeated(
    tmp_path: Path, own_server: PostgresServer
) -> None:
    source = SqliteMetadataStore(tmp_path / "metadata.db")
    make_run(source)
    target = open_metadata(own_server.url(), tmp_path / "unused.db")
    with pytest.raises(UnavailableError, match="Nothing of this request was kept"):
        copy_store(source, target, lambda done, total: own_server.kill())
    own_server.start()
    copy_store(source, target)
    assert content(target) == content(source)
    source.close()
    target.close()


@pytest.mark.postgres
@pytest.mark.parametrize(
    "value", ["tab\there", "back\\slash", "line\nand\rreturn", "\\N", "\\.", "", "😀 é", '"quoted"']
)
def test_every_text_arrives_as_it_was(tmp_path: Path, postgres_server: PostgresServer, value: str) -> None:
    source = SqliteMetadataStore(tmp_path / "metadata.db")
    run_id = make_run(source)
    metrics = [Metric("inf", float("inf"), 1, 1), Metric("tiny", 5e-324, 1, -1), Metric("nan", float("nan"), 1, 2**62)]
    source.write(lambda c: runs.log_batch(c, run_id, tags={"text": value, "b": value}, metrics=metrics))
    target = open_metadata(postgres_server.url(), tmp_path / "unused.db")
    copy_store(source, target)
    assert content(target) == content(source)
    with target.read() as connection:
        assert runs.get_run(connection, run_id).tags["text"] == value
    source.close()
    target.close()


@pytest.mark.postgres
def test_a_nul_is_replaced_and_named(
    tmp_path: Path, postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    source = SqliteMetadataStore(tmp_path / "metadata.db")
    run_id = make_run(source)
    source.write(lambda c: runs.set_tag(c, run_id, "nul", "a\0b"))
    target = open_metadata(postgres_server.url(), tmp_path / "unused.db")
    copy_store(source, target)
    with target.read() as connection:
        assert runs.get_run(connection, run_id).tags["nul"] == "a\ufffdb"
    assert [record.getMessage() for record in caplog.records if "NUL" in record.getMessage()] == [
        "value of tags (run 1, key 'nul') held the character NUL; U+FFFD stands there now"
    ]
    source.close()
    target.close()


@pytest.mark.postgres
def test_a_workspace_is_copied_by_one_command(tmp_path: Path, postgres_server: PostgresServer) -> None:
    lab = tmp_path / "lab"
    (lab / "db").mkdir(parents=True)
    make_old(lab / "db" / "metadata.db")
    words = [sys.executable, "-m", "penstock.cli", "store", "copy", "-w", str(lab)]

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **environment})

    assert (run().returncode, "PENSTOCK_STORES__METADATA" in run().stderr) == (2, True)
    url = postgres_server.url()
    with closing(sqlite3.connect(lab / "db" / "metadata.db")) as damaged, damaged:
        (detail,) = damaged.execute("SELECT detail FROM events WHERE seq = 2").fetchone()
        damaged.execute("UPDATE events SET detail = '{}' WHERE seq = 2")
    refused = run(PENSTOCK_STORES__METADATA=url)
    assert refused.returncode == 4
    assert "the audit log is damaged, so nothing was copied: Entry 2" in refused.stderr
    with closing(sqlite3.connect(lab / "db" / "metadata.db")) as mended, mended:
        mended.execute("UPDATE events SET detail = ? WHERE seq = 2", (detail,))
    done = run(PENSTOCK_STORES__METADATA=url)
    assert done.returncode == 0, done.stderr
    assert "14 runs among them" in done.stderr
    assert "The audit log is intact up to entry " in done.stderr
    again = run(PENSTOCK_STORES__METADATA=url)
    assert (again.returncode, "already" in again.stderr) == (4, True)
