"""What SQLite does for a search over runs: it reads indexes that hold all it needs, and sorts no more than ties."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event
from tests.stores.metadata.run_filters import FakeRun, store_runs

from penstock.rules.filters.extended import parse_filter, parse_order
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore
from penstock.stores.metadata.search.run_queries import Pace
from penstock.stores.metadata.search.run_search import RunQuery, find_runs

# What may be gone through from end to end, and what reads a table's rows by their own key.
_WHOLE = re.compile(r"SCAN (json_each|\(subquery|SUBQUERY|CONSTANT|anon_|metric_keys|experiments)")
_BY_INDEX = re.compile(
    r"SEARCH \w+ USING (COVERING INDEX|PRIMARY KEY|INTEGER PRIMARY KEY)|SEARCH runs USING INDEX sqlite_"
)
_BY_NAME = re.compile(r"SEARCH metric_keys USING COVERING INDEX")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetadataStore]:
    """Forty runs, of which each half has what the other has not."""
    store = SqliteMetadataStore(tmp_path_factory.mktemp("db") / "metadata.db")
    found = [
        FakeRun(
            row=row,
            experiment="1",
            stage="active",
            status="FINISHED",
            user_id="ada",
            start_time=row,
            end_time=None,
            metrics={"a": float(row), "b": float(row % 3)},
            params={"a": str(row % 2)},
            tags={"b": str(row)},
        )
        for row in range(1, 41)
    ]
    store.write(lambda connection: store_runs(connection, found))
    yield store
    store.close()


FILTERS = [
    "",
    "metrics.a > 3",
    "metrics.a > 3 AND metrics.b = 1",
    "metrics.a != 3",
    "params.a = '1'",
    "params.a != '1'",
    "params.a LIKE '1%'",
    "tags.b ILIKE '%3'",
    "tags.b MATCHES '3$'",
    "tags.b IN ('3', '4')",
    "tags.c IS NULL",
    "status = 'FAILED' AND user_id = 'ada'",
    "start_time > 7",
    "end_time > 7",
    "duration < 7",
    "run_name = 'x'",
    "params.a = '1' AND tags.b = '2' AND metrics.a < 9 AND status = 'RUNNING'",
    "params.a = '1' OR NOT tags.b = '2'",
]


@pytest.mark.parametrize("order", [[], ["metrics.a DESC"], ["metrics.b"]])
@pytest.mark.parametrize("text", FILTERS)
@pytest.mark.parametrize("pace", [Pace(), Pace(first_piece=4, probed=0, few=0), Pace(first_piece=4, probed=0, few=100)])
def test_a_search_reads_indexes_only(store: MetadataStore, order: list[str], text: str, pace: Pace) -> None:
    plans = explain(store, RunQuery(("1",), parse_filter(text), parse_order(order), limit=5), pace)
    assert plans
    for sql, plan in plans:
        for line in plan:
            is_fine = _BY_INDEX.match(line) or _WHOLE.match(line) or _BY_NAME.match(line)
            assert is_fine or not line.startswith(("SCAN", "SEARCH")), f"{line}\n{sql}"


@pytest.mark.parametrize("order", [[], ["metrics.a DESC"]])
def test_a_walk_sorts_nothing(store: MetadataStore, order: list[str]) -> None:
    query = RunQuery(("1",), parse_filter("params.a = '1'"), parse_order(order), limit=2)
    assert not [line for _, plan in explain(store, query, Pace()) for line in plan if "TEMP B-TREE" in line]


def test_a_rising_walk_sorts_ties_only(store: MetadataStore) -> None:
    query = RunQuery(("1",), None, parse_order(["metrics.a"]), limit=2)
    sorts = [line for _, plan in explain(store, query, Pace()) for line in plan if "TEMP B-TREE" in line]
    assert set(sorts) <= {"USE TEMP B-TREE FOR RIGHT PART OF ORDER BY"}


def explain(store: MetadataStore, query: RunQuery, pace: Pace) -> list[tuple[str, list[str]]]:
    """Return each statement of a search with its plan."""
    asked: list[tuple[str, Any]] = []
    with store.read() as connection:
        event.listen(
            connection, "before_cursor_execute", lambda c, cursor, sql, bound, context, many: asked.append((sql, bound))
        )
        find_runs(connection, query, pace)
        driver: Any = connection.connection.driver_connection
        return [
            (sql, [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {sql}", bound)])
            for sql, bound in list(asked)
            if sql.startswith("SELECT")
        ]
