"""Pages of runs: every value as it was stored, in the order asked for."""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.entities.run import Metric
from penstock.server.mlflow.run_pages import encode_runs
from penstock.stores.metadata import runs
from penstock.stores.metadata.base import MetadataStore
from penstock.stores.metadata.datasets import Dataset, log_datasets
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore
from penstock.stores.metadata.run_log import row_of
from penstock.stores.metadata.search.run_pages import AT_ONCE
from penstock.testing.fixtures import make_run

LARGEST = sys.float_info.max


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetadataStore]:
    store = SqliteMetadataStore(tmp_path_factory.mktemp("db") / "metadata.db")
    yield store
    store.close()


def page(store: MetadataStore, run_ids: list[str]) -> list[dict[str, Any]]:
    with store.read() as connection:
        rows = [row_of(connection, run_id).id for run_id in run_ids]
        found: list[dict[str, Any]] = json.loads(msgspec.json.encode(encode_runs(connection, rows)))
        return found


def test_a_run_is_shown_whole(store: MetadataStore) -> None:
    run_id = make_run(store, start_time=5)
    metrics = [Metric("loss", 0.1, 7, 3), Metric("a", math.nan, 8, 0), Metric("b", -math.inf, 9, 0)]
    values = {"lr": '"quoted" \\ \n\x01 é 损失 \U0001f600', "empty": ""}
    store.write(lambda c: runs.log_batch(c, run_id, metrics=metrics, params=values, tags={"t": "v"}))
    store.write(lambda c: log_datasets(c, run_id, [Dataset("d", "1", "local", "here", tags={"k": "v"})]))
    (shown,) = page(store, [run_id])
    assert shown["info"]["run_id"] == shown["info"]["run_uuid"] == run_id
    assert "end_time" not in shown["info"]
    assert sorted(shown["data"]["metrics"], key=lambda metric: str(metric["key"])) == [
        {"key": "a", "value": "NaN", "timestamp": 8, "step": 0},
        {"key": "b", "value": -LARGEST, "timestamp": 9, "step": 0},
        {"key": "loss", "value": 0.1, "timestamp": 7, "step": 3},
    ]
    assert {pair["key"]: pair["value"] for pair in shown["data"]["params"]} == values
    assert {"key": "t", "value": "v"} in shown["data"]["tags"]
    assert shown["inputs"]["dataset_inputs"][0]["dataset"]["name"] == "d"
    assert shown["outputs"] == {}


def test_what_a_run_lacks_is_left_out(store: MetadataStore) -> None:
    (shown,) = page(store, [make_run(store)])
    assert set(shown["data"]) == {"tags"}
    assert shown["inputs"] == {}


def test_more_runs_than_are_read_at_once_keep_their_order(store: MetadataStore) -> None:
    run_ids = [make_run(store) for _ in range(AT_ONCE + 3)]
    assert [run["info"]["run_id"] for run in page(store, run_ids[::-1])] == run_ids[::-1]
    assert page(store, []) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# A negative zero is stored as zero.
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0), min_size=1, max_size=30)
)
def test_numbers_come_back_bit_by_bit(store: MetadataStore, values: list[float]) -> None:
    run_id = make_run(store)
    metrics = [Metric(f"m{index}", value, 0, 0) for index, value in enumerate(values)]
    store.write(lambda c: runs.log_batch(c, run_id, metrics=metrics))
    (shown,) = page(store, [run_id])
    found = {metric["key"]: metric["value"] for metric in shown["data"]["metrics"]}
    assert [struct.pack("d", found[f"m{index}"]) for index in range(len(values))] == [
        struct.pack("d", value) for value in values
    ]
