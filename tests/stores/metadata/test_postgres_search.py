"""The search over runs, on PostgreSQL: its tests once more, the generated filters among them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.postgresql import PostgresServer

# What pytest finds in this module uses this module's fixtures.
from tests.stores.metadata.test_run_search import *  # noqa: F403

from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.postgres import PostgresMetadataStore

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")  # type: ignore[no-redef] # takes the place of the one on SQLite
def store(postgres_server: PostgresServer) -> Iterator[MetadataStore]:
    """A store on PostgreSQL that the tests of this file share."""
    store = PostgresMetadataStore(postgres_server.url())
    yield store
    store.close()
