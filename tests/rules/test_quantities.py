"""Cores and memory as Kubernetes writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.quantities import (
    check_resources,
    choose_cores,
    parse_cpu,
    parse_instance_types,
    parse_memory,
    read_limits,
    show_bytes,
    warn_of_scarcity,
)


@pytest.mark.parametrize(
    ("text", "cores"), [("2", 2), (2, 2), (0.5, 0.5), ("500m", 0.5), ("1.5", 1.5), (".5", 0.5), ("2.", 2)]
)
def test_cores(text, cores):
    assert parse_cpu(text) == cores


@pytest.mark.parametrize(
    ("text", "count"),
    [("128974848", 128974848), ("129e6", 129_000_000), ("129M", 129_000_000), ("123Mi", 123 << 20), (1024, 1024),
     ("1.5Gi", 3 << 29), ("1k", 1000), ("1Ki", 1024), ("2T", 2 * 10**12), ("128974848000m", 128974848)],
)  # fmt: skip
def test_memory(text, count):
    assert parse_memory(text) == count


@pytest.mark.parametrize("text", ["", "many", "-1", "1 Gi", "1GiB", "1gi", True, None, "nan", "inf", "1mi", "٣"])
def test_what_is_no_amount_is_refused(text):
    assert [p.pointer for p in check_resources({"limits": {"memory": text}})] == ["/resources/limits/memory"]
    assert [p.pointer for p in check_resources({"requests": {"cpu": text}})] == ["/resources/requests/cpu"]


def test_only_limits_limit():
    block = {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "2Gi", "nvidia.com/gpu": "1"}}
    assert check_resources(block) == []
    found = read_limits(block)
    assert (found.cpu, found.cores, found.memory_bytes, found.gpus) == (None, None, 2 << 30, 1)
    assert read_limits({"limits": {"cpu": "1500m"}}).cores == 2
    assert read_limits({"limits": {"cpu": "nonsense"}}).cpu is None
    assert read_limits(None).memory_bytes is None


def test_unknown_keys_are_named():
    block = {"limit": {"cpu": 1}, "limits": {"disk": 1}, "requests": ["cpu"]}
    assert {p.pointer for p in check_resources(block)} == {
        "/resources/limit",
        "/resources/limits/disk",
        "/resources/requests",
    }


def test_more_than_there_is_is_said():
    block = {"requests": {"cpu": 3}, "limits": {"cpu": 3, "memory": "1Gi"}}
    assert len(warn_of_scarcity(block, 1, cores=2, memory_bytes=2 << 30)) == 2
    assert len(warn_of_scarcity(block, 3, cores=9, memory_bytes=2 << 30)) == 1
    assert warn_of_scarcity(block, 1, cores=4, memory_bytes=2 << 30) == []


@given(st.lists(st.integers(1, 4), max_size=12))
def test_cores_are_shared_evenly(counts):
    load: dict[int, int] = {}
    for count in counts:
        chosen = choose_cores(count, range(4), load)
        assert len(chosen) == count
        for core in chosen:
            load[core] = load.get(core, 0) + 1
    assert max(load.values(), default=0) - min((load.get(core, 0) for core in range(4)), default=0) <= 1


def test_instance_types_are_written_in_one_way():
    assert parse_instance_types(["Standard_DS3_v2=4/14Gi", "gpu=6/112Gi/1"]) == {
        "standard_ds3_v2": {"limits": {"cpu": "4", "memory": "14Gi"}},
        "gpu": {"limits": {"cpu": "6", "memory": "112Gi", "nvidia.com/gpu": "1"}},
    }
    for wrong in ("x", "x=4", "=4/1Gi", "x=four/1Gi", "x=4/1Gi/1/1", "x=4/1Gi/-1"):
        with pytest.raises(ValueError, match=r"\w"):
            parse_instance_types([wrong])


def test_bytes_are_shown_as_people_write_them():
    assert [show_bytes(n) for n in (12, 2048, 3 << 29)] == ["12 bytes", "2 KiB", "1.5 GiB"]
