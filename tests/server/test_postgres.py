"""The whole server with its rows in PostgreSQL: the tests of its doors, once more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.postgresql import PostgresServer
from tests.server.harness import House, open_house

# What pytest finds in this module uses this module's fixtures.
from tests.server.test_any_time import *  # noqa: F403
from tests.server.test_assets import *  # noqa: F403
from tests.server.test_endpoints import *  # noqa: F403
from tests.server.test_export import *  # noqa: F403
from tests.server.test_gc import *  # noqa: F403
from tests.server.test_internal import *  # noqa: F403
from tests.server.test_jobs import *  # noqa: F403
from tests.server.test_run_search import *  # noqa: F403
from tests.server.test_streams import *  # type: ignore[assignment] # noqa: F403 # each keeps its own
from tests.server.test_tokens import *  # noqa: F403

from penstock.stores.metadata.engine.postgres import PostgresMetadataStore

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[House]:
    """A server on PostgreSQL that the tests of this file share."""
    store = PostgresMetadataStore(postgres_server.url())
    with open_house(tmp_path_factory.mktemp("house"), store=store) as house:
        yield house


@pytest.fixture
def fresh_house(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[House]:
    """A server on PostgreSQL of one test alone."""
    with open_house(tmp_path, store=PostgresMetadataStore(postgres_server.url())) as house:
        yield house
