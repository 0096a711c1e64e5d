"""The SQLite store passes the suite of every metadata store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore
from penstock.testing.metadata import MetadataStoreSuite


class TestSqlite(MetadataStoreSuite):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Callable[[], MetadataStore]:
        return lambda: SqliteMetadataStore(tmp_path / "db" / "metadata.db")
