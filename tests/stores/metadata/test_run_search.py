"""The search over runs equals an evaluation of its tree on one run after another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.stores.metadata import run_filters
from tests.stores.metadata.run_filters import FakeRun

from penstock.entities.errors import UsageError
from penstock.rules.filters.tree import And, Comparison, Condition, Field, Not, Op, OrderKey, Scope
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.patterns import compile_pattern
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore
from penstock.stores.metadata.search.run_search import FoundRuns, Pace, RunQuery, find_runs

LOSS = Field(Scope.METRIC, "loss")
PACES = st.just(Pace()) | st.builds(
    Pace,
    first_piece=st.integers(1, 4),
    largest_piece=st.integers(1, 8),
    probed=st.integers(0, 10),
    few=st.integers(0, 5),
)
VIEWS = st.sampled_from(("ACTIVE_ONLY", "DELETED_ONLY", "ALL"))
EXPERIMENTS = st.none() | st.lists(st.sampled_from((*run_filters.EXPERIMENTS, "9", "x")), max_size=3, unique=True).map(
    tuple
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetadataStore]:
    """A store that the tests of this file share; each makes the runs it needs."""
    store = SqliteMetadataStore(tmp_path_factory.mktemp("db") / "metadata.db")
    yield store
    store.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    found=run_filters.runs(),
    where=st.none() | run_filters.conditions(),
    order=run_filters.orders(),
    experiments=EXPERIMENTS,
    view=VIEWS,
    limit=st.integers(1, 7),
    pace=PACES,
)
def test_a_search_finds_what_its_tree_says_however_it_is_paged(
    store: MetadataStore,
    found: list[FakeRun],
    where: Condition | None,
    order: tuple[OrderKey, ...],
    experiments: tuple[str, ...] | None,
    view: str,
    limit: int,
    pace: Pace,
) -> None:
    store.write(lambda connection: run_filters.store_runs(connection, found))
    wanted = run_filters.expected(found, experiments, where, order, view)
    query: dict[str, Any] = {"experiments": experiments, "where": where, "order": order, "view": view}
    assert ask(store, RunQuery(**query), pace) == FoundRuns(wanted, None)
    pages = [
        ask(store, RunQuery(**query, limit=limit, offset=start), pace) for start in range(0, len(wanted) + 1, limit)
    ]
    assert [row for page in pages for row in page.rows] == wanted
    rows: list[int] = []
    after = None
    for _ in range(len(wanted) + 1):
        page = ask(store, RunQuery(**query, limit=limit, after=after), pace)
        rows += page.rows
        if page.next is None:
            break
        after = tuple(json.loads(json.dumps(page.next)))
    assert rows == wanted


def test_what_a_filter_keeps_of_a_walk_stays_in_its_order(store: MetadataStore) -> None:
    found = [_run(row, start_time=row, metrics={"a": float(row % 4)}) for row in range(1, 9)]
    store.write(lambda connection: run_filters.store_runs(connection, found))
    where = Comparison(Field(Scope.METRIC, "a"), Op.NE, 1.0)
    for order in ((), (OrderKey(Field(Scope.METRIC, "a"), is_descending=True),), (OrderKey(Field(Scope.METRIC, "a")),)):
        wanted = run_filters.expected(found, ("1",), where, order, "ACTIVE_ONLY")
        assert ask(store, RunQuery(("1",), where, order)).rows == wanted
        assert ask(store, RunQuery(("1",), where, order, limit=2)).rows == wanted[:2]


def test_a_run_made_between_two_pages_moves_nothing(store: MetadataStore) -> None:
    found = [_run(row, metrics={"a": float(row)}) for row in range(1, 7)]
    order = (OrderKey(Field(Scope.METRIC, "a"), is_descending=True),)
    store.write(lambda connection: run_filters.store_runs(connection, found[:5]))
    first = ask(store, RunQuery(("1",), order=order, limit=2))
    store.write(lambda connection: run_filters.store_runs(connection, found))
    second = ask(store, RunQuery(("1",), order=order, limit=2, after=first.next))
    assert (first.rows, second.rows) == ([5, 4], [3, 2])


@pytest.mark.parametrize(
    "after", [(), (1,), ("x", "y", "z"), (0, "high", 5, "r1"), (0, None, None, None), ({}, [], 1, "")]
)
def test_a_place_of_another_search_is_refused(store: MetadataStore, after: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError, match="place where a page"):
        ask(store, RunQuery(("1",), order=(OrderKey(LOSS),), after=after))


@pytest.mark.parametrize(
    "where",
    [
        Comparison(Field(Scope.ATTRIBUTE, "colour"), Op.EQ, "red"),
        Comparison(Field(Scope.DATASET, "colour"), Op.EQ, "red"),
        Comparison(Field(Scope.TAG, "a"), Op.MATCHES, "(unclosed"),
        Comparison(Field(Scope.TAG, "a"), Op.MATCHES, "a" * 2000),
        Comparison(Field(Scope.TAG, "a"), Op.LIKE, "%" * 20_000),
    ],
)
def test_what_cannot_be_asked_is_refused(store: MetadataStore, where: Condition) -> None:
    with pytest.raises(UsageError):
        ask(store, RunQuery(("1",), where=where))


def test_numbers_beyond_64_bits_compare(store: MetadataStore) -> None:
    store.write(lambda connection: run_filters.store_runs(connection, [_run(1)]))
    large = Comparison(Field(Scope.ATTRIBUTE, "start_time"), Op.LT, 10**30)
    assert ask(store, RunQuery(None, where=large)).rows == [1]


def test_a_pattern_that_explodes_elsewhere_ends_at_once(store: MetadataStore) -> None:
    run = _run(1, tags={"a": "a" * 5000 + "b"})
    store.write(lambda connection: run_filters.store_runs(connection, [run]))
    where = Comparison(Field(Scope.TAG, "a"), Op.MATCHES, "(a+)+$")
    assert ask(store, RunQuery(None, where=where)).rows == []


TEXTS = ("hello", "Hello", "say hello", "othello", "hh", "h" * 300, "", "é", "1\n2", "(?i)", "a\\z")
PATTERNS = (
    r"(?i)hello",
    r"a(?i)b|hello",
    r"(?P<n>h)",
    r"\pL",
    r"\PL",
    r"h{300}",
    r"h\x{68}",
    r"(?U)h+o",
    r"\Q(?i)\E",
    r"o\z",
    r"\bhello",
    r"hello\b",
    r"^\w+$",
    r"[[:alpha:]]",
    r"1.2",
    r"(?s)1.2",
    r"",
    r"$^",
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_means_the_same_on_every_backend(store: MetadataStore, pattern: str) -> None:
    found = [
        _run(row, params={"a": text}, tags={"mlflow.runName": text}, user_id=text, datasets=[(text, "1", None)])
        for row, text in enumerate(TEXTS, 1)
    ]
    store.write(lambda connection: run_filters.store_runs(connection, [*found, _run(50), _run(51, experiment="2")]))
    engine = compile_pattern(pattern)
    wanted = {run.row for run in found if engine.search(run.params["a"])}
    fields = [(Scope.PARAM, "a"), (Scope.ATTRIBUTE, "run_name"), (Scope.ATTRIBUTE, "user_id"), (Scope.DATASET, "name")]
    for scope, key in fields:
        where = Comparison(Field(scope, key), Op.MATCHES, pattern)
        own = wanted | ({50} if key == "user_id" and engine.search("ada") else set())
        assert set(ask(store, RunQuery(("1",), where)).rows) == own
        negated = And((Comparison(where.field, Op.IS_NOT_NULL), Not(where)))
        there = {run.row for run in found} | ({50} if key == "user_id" else set())
        assert set(ask(store, RunQuery(("1",), negated)).rows) == there - own


def test_as_many_experiments_and_values_are_named_as_one_likes(store: MetadataStore) -> None:
    store.write(lambda connection: run_filters.store_runs(connection, [_run(1, params={"a": "x7"}), _run(2)]))
    many = tuple(str(number) for number in range(70_000))
    values = tuple(f"x{number}" for number in range(70_000))
    one = Comparison(Field(Scope.PARAM, "a"), Op.IN, values)
    other = Comparison(Field(Scope.ATTRIBUTE, "run_id"), Op.NOT_IN, values)
    for order in ((), (OrderKey(LOSS),), (OrderKey(Field(Scope.PARAM, "a")),)):
        assert len(ask(store, RunQuery(many, order=order)).rows) == 2
        assert ask(store, RunQuery(many, where=one, order=order)).rows == [1]
        assert len(ask(store, RunQuery(many, where=other, order=order)).rows) == 2


def ask(store: MetadataStore, query: RunQuery, pace: Pace = Pace()) -> FoundRuns:  # noqa: B008
    """Run one search on a snapshot."""
    with store.read() as connection:
        return find_runs(connection, query, pace)


def _run(row: int, **values: Any) -> FakeRun:
    fields: dict[str, Any] = {
        "experiment": "1",
        "stage": "active",
        "status": "FINISHED",
        "user_id": "ada",
        "start_time": 0,
        "end_time": None,
        "metrics": {},
        "params": {},
        "tags": {},
        **values,
    }
    return FakeRun(row=row, **fields)
