"""The PostgreSQL store passes the suite of every metadata store."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.postgresql import PostgresServer

from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.postgres import PostgresMetadataStore
from penstock.testing.metadata import MetadataStoreSuite

pytestmark = pytest.mark.postgres


class TestPostgres(MetadataStoreSuite):
    @pytest.fixture
    def open_store(self, postgres_server: PostgresServer) -> Callable[[], MetadataStore]:
        url = postgres_server.url()
        return lambda: PostgresMetadataStore(url)
