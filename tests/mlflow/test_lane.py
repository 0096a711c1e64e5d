"""Single points that travel together: each gets its own answer, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection

from penstock.entities.errors import PenstockError, RefusedError, UnavailableError, UsageError
from penstock.entities.run import Metric, RunStatus
from penstock.server.mlflow.lane import Lane, LogsPoints
from penstock.stores.metadata import runs
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore
from penstock.stores.metadata.run_log import RunRow, row_of


class Caller:
    """Who logs: may write every run but those it is told to refuse."""

    def __init__(self, *refused: str) -> None:
        self.actor = object()
        self.refused = refused
        self.opened: list[str] = []
        self.heard: list[str] = []

    def check_row(self, connection: Connection, run_id: str, row: RunRow | None) -> RunRow:
        self.opened.append(run_id)
        if run_id in self.refused:
            raise RefusedError(f"not {run_id}")
        return row or row_of(connection, run_id)

    def attempt(self, run_id: str) -> int:
        return 0

    def changed(self, run_id: str) -> None:
        self.heard.append(run_id)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteMetadataStore]:
    store = SqliteMetadataStore(tmp_path / "metadata.db")
    for name in ("a", "b", "c"):
        store.write(partial(make_run, name=name))
    yield store
    store.close()


def make_run(connection: Connection, name: str) -> None:
    runs.create_run(
        connection,
        run_id=name,
        experiment_id="0",
        run_name=name,
        user_id="u",
        status=RunStatus.RUNNING,
        start_time=1,
    )


def log_together(store: MetadataStore, caller: LogsPoints, *points: tuple[str, Metric]) -> list[PenstockError | None]:
    async def log() -> list[PenstockError | None]:
        lane = Lane(store)
        calls = [lane.log(caller, run_id, metric) for run_id, metric in points]
        return await asyncio.gather(*calls, return_exceptions=True)  # type: ignore[return-value] # ours alone

    return asyncio.run(log())


def values(store: MetadataStore, run_id: str) -> list[float]:
    with store.read() as connection:
        return [metric.value for metric in runs.metric_history(connection, run_id, "m")]


def point(value: float, step: int = 0) -> Metric:
    return Metric("m", value, int(value), step)


def test_every_point_is_there_when_it_was_answered(store: SqliteMetadataStore) -> None:
    caller = Caller()
    outcomes = log_together(store, caller, *((name, point(n)) for n in range(20) for name in "abc"))
    assert outcomes == [None] * 60
    assert [values(store, name) for name in "abc"] == [list(range(20))] * 3
    assert set(caller.heard) == {"a", "b", "c"}
    assert len(caller.opened) < 60  # they travelled together


def test_refused_run_does_not_hold_up_the_others(store: SqliteMetadataStore) -> None:
    outcomes = log_together(store, Caller("b"), ("a", point(1)), ("b", point(2)), ("none", point(3)), ("c", point(4)))
    assert [type(outcome).__name__ for outcome in outcomes] == ["NoneType", "RefusedError", "NotFoundError", "NoneType"]
    assert [values(store, name) for name in "abc"] == [[1], [], [4]]


def test_point_that_the_database_does_not_take_harms_no_other(store: SqliteMetadataStore) -> None:
    outcomes = log_together(store, Caller(), ("a", point(1)), ("a", point(2, step=2**63)), ("b", point(3)))
    assert [type(outcome) for outcome in outcomes] == [type(None), UsageError, type(None)]
    assert [values(store, name) for name in "ab"] == [[1], [3]]


def test_closed_store_answers_everybody(store: SqliteMetadataStore) -> None:
    store.close()
    outcomes = log_together(store, Caller(), ("a", point(1)), ("b", point(2)))
    assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 2
