"""The MLflow door with its rows in PostgreSQL: the protocol's tests, once more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

# What pytest finds in this module uses this module's fixtures.
from tests.mlflow.test_history import *  # noqa: F403
from tests.mlflow.test_large_searches import (  # noqa: F401
    run,
    test_an_order_has_at_most_twenty_keys,
    test_every_page_of_an_order_of_twenty_keys_is_found,
    test_many_datasets_are_one_list,
)
from tests.mlflow.test_logged_models import *  # noqa: F403
from tests.mlflow.test_protocol import *  # type: ignore[assignment] # noqa: F403 # each keeps its own
from tests.mlflow.test_registry import *  # noqa: F403
from tests.postgresql import PostgresServer
from tests.server.harness import House, open_house

from penstock.stores.metadata.engine.postgres import PostgresMetadataStore

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[House]:
    """A server on PostgreSQL that the tests of this file share."""
    store = PostgresMetadataStore(postgres_server.url())
    with open_house(tmp_path_factory.mktemp("house"), store=store) as house:
        yield house
