"""Every case by the real client: this server answers as MLflow's own does, whose answers are recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow.cases import GROUPS, all_cases
from tests.mlflow.client import ClientProcess
from tests.mlflow.differences import REASONS, agrees, reason_of
from tests.mlflow.record import OURS, read_recorded
from tests.server.harness import House

NAMES = list(all_cases())
RECORDED = {name: outcome for group in GROUPS for name, outcome in read_recorded(group).items()}
DIFFERENT = read_recorded(OURS)


@pytest.fixture(scope="module")
def real_client(mlflow_python: Path) -> Iterator[ClientProcess]:
    with ClientProcess(mlflow_python) as client:
        yield client


def shown(outcome: Any) -> str:
    return json.dumps(outcome, ensure_ascii=False, sort_keys=True)[:4000]


@pytest.mark.parametrize("name", NAMES)
def test_server_answers_as_mlflow_does(house: House, real_client: ClientProcess, name: str) -> None:
    ours = real_client.run(name, house.url, house.token)
    expected = DIFFERENT.get(name, RECORDED[name])
    why = (reason_of(name) if name in DIFFERENT else None) or "MLflow answers so"
    assert agrees(expected, ours), f"{why}:\n{shown(expected)}\nours:\n{shown(ours)}"


@pytest.mark.long
@pytest.mark.twin
@pytest.mark.timeout(600)  # the first may have to install MLflow
@pytest.mark.parametrize("name", NAMES)
def test_mlflow_server_still_answers_as_recorded(mlflow_server: str, real_client: ClientProcess, name: str) -> None:
    theirs = real_client.run(name, mlflow_server, "")
    assert theirs == RECORDED[name], f"recorded:\n{shown(RECORDED[name])}\nnow:\n{shown(theirs)}"


@pytest.fixture(scope="module")
def newest_client(newest_python: Path) -> Iterator[ClientProcess]:
    with ClientProcess(newest_python) as client:
        yield client


@pytest.mark.long
@pytest.mark.twin
@pytest.mark.timeout(600)  # as above
@pytest.mark.parametrize("name", NAMES)
def test_both_servers_answer_the_newest_client_alike(
    house: House, mlflow_server: str, newest_client: ClientProcess, name: str
) -> None:
    expected = DIFFERENT.get(name) or newest_client.run(name, mlflow_server, "")
    ours = newest_client.run(name, house.url, house.token)
    assert agrees(expected, ours), f"MLflow:\n{shown(expected)}\nours:\n{shown(ours)}"


def test_every_difference_is_of_a_case_and_has_a_reason() -> None:
    assert set(RECORDED) == set(NAMES)
    assert [name for name in DIFFERENT if name not in RECORDED or reason_of(name) is None] == []
    assert [name for name, ours in DIFFERENT.items() if agrees(RECORDED[name], ours)] == []


def test_every_reason_is_of_a_difference() -> None:
    globs = [glob for globs in REASONS.values() for glob in globs]
    assert [glob for glob in globs if not any(fnmatchcase(name, glob) for name in DIFFERENT)] == []
