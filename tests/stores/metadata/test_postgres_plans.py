"""What PostgreSQL makes of long filters: work that grows with their length, and no plan that grows faster."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql
from tests.postgresql import PostgresServer

from penstock.entities.run import Metric
from penstock.rules.filters.extended import parse_filter
from penstock.stores.metadata import runs, tables
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.postgres import PostgresMetadataStore
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore
from penstock.stores.metadata.search.run_queries import Pace, RunQuery, Search
from penstock.stores.metadata.search.run_search import find_runs
from penstock.testing.fixtures import make_run

pytestmark = pytest.mark.postgres
MANY = 200


@pytest.fixture
def stores(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[list[MetadataStore]]:
    """The same runs in a file and on a server."""
    stores: list[MetadataStore] = [SqliteMetadataStore(tmp_path / "a.db"), PostgresMetadataStore(postgres_server.url())]
    for store in stores:
        for number in range(20):
            metrics = [Metric(f"m{key}", (number * 7 + key * 3) % 20, 1, 1) for key in range(10)]
            run_id = make_run(store, run_id=f"run-{number:02}")
            store.write(partial(runs.log_batch, run_id=run_id, metrics=metrics))
    yield stores
    for store in stores:
        store.close()


@pytest.mark.parametrize("word", ["and", "or"])
@pytest.mark.parametrize("pace", [Pace(), Pace(first_piece=4, probed=5, few=2)])
def test_a_filter_of_200_comparisons_finds_the_same_in_a_file_and_on_a_server(
    stores: list[MetadataStore], word: str, pace: Pace
) -> None:
    limit = 1 if word == "and" else 18
    where = f" {word} ".join(f"metrics.m{number % 10} >= {limit}" for number in range(MANY))
    query = RunQuery(("0",), where=parse_filter(where), limit=50)
    found = []
    for store in stores:
        with store.read() as connection:
            found.append(find_runs(connection, query, pace).rows)
    assert found[0] == found[1]
    assert 0 < len(found[0]) < 20


def test_no_comparison_becomes_a_join(stores: list[MetadataStore]) -> None:
    # The order of joins is planned, which took 32 s for 200 of them.
    where = parse_filter(" and ".join(f"metrics.m{number % 10} >= 1" for number in range(MANY)))
    assert where is not None
    with stores[1].read() as connection:
        search = Search(connection, RunQuery(("0",), where=where), Pace())
        statement = select(tables.runs.c.id).where(search.condition(where))
        words = statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
        plan = "\n".join(connection.execute(text(f"EXPLAIN {words}")).scalars())
    assert "Join" not in plan
    assert "Nested Loop" not in plan
    assert plan.count("SubPlan") >= MANY
