"""A store, a clock that the test moves, and the tokens in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.access.tokens import Access
from penstock.stores.metadata.engine.sqlite import SqliteMetadataStore

NOW = 1_700_000_000_000


class Clock:
    """A clock that the test moves."""

    now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteMetadataStore]:
    store = SqliteMetadataStore(tmp_path / "metadata.db")
    yield store
    store.close()


@pytest.fixture
def access(store: SqliteMetadataStore, clock: Clock) -> Access:
    return Access(store, workspace_token="pst_w", internal_token="pst_i", now=clock, owner="ann")
