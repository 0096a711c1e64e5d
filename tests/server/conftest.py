from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.harness import House, open_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server that the tests of a file share; each uses names of its own."""
    with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture
def fresh_house(tmp_path: Path) -> Iterator[House]:
    """A server of one test alone, for what lists everything."""
    with open_house(tmp_path) as house:
        yield house
