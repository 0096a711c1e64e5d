"""The SQLite store passes the suite of every metadata store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from penstock.entities.errors import UnavailableError
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore
from penstock.testing.metadata import MetadataStoreSuite


class TestSqlite(MetadataStoreSuite):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Callable[[], MetadataStore]:
        return lambda: SqliteMetadataStore(tmp_path / "db" / "metadata.db")


def test_behind_a_lock_only_the_first_group_waits_to_the_end(tmp_path: Path) -> None:
    file = tmp_path / "metadata.db"
    store = SqliteMetadataStore(file)

    def patience_ms() -> int:
        return store.write(lambda c: int(c.exec_driver_sql("PRAGMA busy_timeout").scalar_one()))

    usual = patience_ms()
    store.write(lambda c: c.exec_driver_sql("PRAGMA busy_timeout=50").close())
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="locked by another process"):
            store.write(lambda c: None)
        other.execute("ROLLBACK")
    assert patience_ms() < usual / 10
    assert patience_ms() == usual
    store.close()
